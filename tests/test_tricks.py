"""Tricks do what their papers say, on discriminators whose slope is known."""

import copy

import pytest
import torch
from torch import nn

from gan.losses import Hinge, Relativistic
from gan.step import Batch, step_discriminator
from gan.training import loop
from gan.tricks.base import Tricks
from gan.tricks.noise import NoisyLabels, with_noise
from gan.tricks.slope import R1, R2, Dragan, GradientPenalty
from tests.conftest import NARROW
from tests.test_step import make_players

REAL, FAKE = torch.rand(2, 6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
NO_NOISE = torch.empty(6, 0)
WEIGHTS = torch.tensor([3.0, 0.0, -4.0, 0.0])


def linear(images):
    """A D whose slope is WEIGHTS everywhere, of length 5."""
    return images.flatten(1) @ WEIGHTS


def square(images):
    """A D whose slope at x is x."""
    return images.flatten(1).square().sum(1) / 2


def test_r1_and_r2_of_a_linear_discriminator_are_its_squared_weights():
    assert R1(gamma=0.2, every=1).penalties(linear, REAL, FAKE)["r1"].item() == pytest.approx(0.1 * 25)
    assert R2(gamma=0.2, every=1).penalties(linear, REAL, FAKE)["r2"].item() == pytest.approx(0.1 * 25)


def test_r1_looks_at_real_images_and_r2_at_fakes():
    length = {name: images.flatten(1).square().sum(1).mean().item() for name, images in (("r1", REAL), ("r2", FAKE))}
    assert R1(gamma=2.0, every=1).penalties(square, REAL, FAKE)["r1"].item() == pytest.approx(length["r1"], rel=1e-5)
    assert R2(gamma=2.0, every=1).penalties(square, REAL, FAKE)["r2"].item() == pytest.approx(length["r2"], rel=1e-5)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_lazy_penalty_is_the_same_in_the_mean_and_asks_nothing_in_between(name):
    trick = {"r1": R1, "r2": R2}[name](gamma=0.2, every=4)
    asked, found = [], []
    for step in range(8):
        trick.begin(step)
        found.append(trick.penalties(lambda images: asked.append(0) or linear(images), REAL, FAKE)[name].item())
    assert len(asked) == 2 and found[1:4] == found[5:] == [0, 0, 0]
    assert sum(found) / len(found) == pytest.approx(0.1 * 25)


@pytest.mark.parametrize("trick", [GradientPenalty(weight=10.0), Dragan(weight=10.0, noise_scale=0.5)])
def test_a_slope_of_one_costs_nothing_and_another_its_squared_distance(trick):
    (cost,) = trick.penalties(linear, REAL, FAKE).values()
    assert cost.item() == pytest.approx(10 * (5 - 1) ** 2, rel=1e-5)
    (cost,) = trick.penalties(lambda images: linear(images) / 5, REAL, FAKE).values()
    assert cost.item() == pytest.approx(0, abs=1e-6)


def test_a_flat_discriminator_has_a_finite_gradient():
    scale = torch.zeros((), requires_grad=True)
    (cost,) = GradientPenalty(weight=10.0).penalties(lambda images: scale * linear(images), REAL, FAKE).values()
    cost.backward()
    assert cost.item() == pytest.approx(10, rel=1e-4) and torch.isfinite(scale.grad)


def test_wgan_gp_looks_between_the_two_and_dragan_around_the_real_one():
    seen = []

    def judge(images):
        seen.append(images.detach())
        return linear(images)

    GradientPenalty(weight=1.0).penalties(judge, torch.zeros(500, 1, 2, 2), torch.ones(500, 1, 2, 2))
    assert (seen[0].flatten(1).std(1) < 1e-6).all()  # each image has its own share
    assert seen[0].mean().item() == pytest.approx(0.5, abs=0.06) and seen[0].min() >= 0 and seen[0].max() <= 1
    real = torch.randn(500, 1, 2, 2)
    Dragan(weight=1.0, noise_scale=0.5).penalties(judge, real, real)
    distance = (seen[1] - real) / real.std()
    assert distance.min() >= 0 and distance.max() <= 0.5 and distance.mean().item() == pytest.approx(0.25, abs=0.02)


def test_a_penalty_moves_the_discriminator_and_is_logged():
    moved = []
    for tricks in (Tricks([]), Tricks([R1(gamma=10.0, every=1)])):
        players = make_players()
        images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        numbers = step_discriminator(players, Hinge(terms="sum"), tricks, Batch(images, NO_NOISE), -images)
        moved.append(torch.cat([parameter.detach().flatten() for parameter in players.discriminator.parameters]))
    assert not torch.equal(*moved)
    parts = sum(numbers[f"discriminator/{name}"].item() for name in ("loss_real", "loss_fake", "r1"))
    assert numbers["discriminator/loss"].item() == pytest.approx(parts, rel=1e-5) and numbers["discriminator/r1"] > 0


def test_clipped_weights_stay_in_their_box(make_run):
    run = make_run("loss=wasserstein", "trick=[weight_clipping]", "precision=bf16", *NARROW["mlp"])
    loop.update(run)
    discriminator = run.players.discriminator
    largest = max(parameter.abs().max().item() for parameter in discriminator.parameters)
    assert largest == pytest.approx(0.01) and max(p.abs().max().item() for p in run.players.generator.parameters) > 0.02
    for parameter, working in zip(discriminator.parameters, discriminator.working_parameters, strict=True):
        assert torch.equal(parameter.to(working.dtype), working)


def test_noisy_labels_swap_pairs_with_their_probability_and_lose_none():
    real, fake = torch.arange(20_000.0), -1 - torch.arange(20_000.0)
    told_real, told_fake = NoisyLabels(probability=0.1).label(real, fake)
    swapped = told_real < 0
    assert swapped.double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(torch.where(swapped, told_fake, told_real), real) and torch.equal(
        told_real + told_fake, real + fake
    )
    assert all(
        torch.equal(a, b) for a, b in zip(NoisyLabels(probability=0.0).label(real, fake), (real, fake), strict=True)
    )


def test_noisy_labels_change_what_d_learns_and_not_what_is_said_of_it(make_run):
    rows = []
    for tricks in ("[]", "[noisy_labels]"):
        run = make_run(f"trick={tricks}", "model.discriminator.dropout=0", *NARROW["mlp"])
        if run.tricks.tricks:
            run.tricks.tricks[0].probability = 1.0
        rows.append(loop.update(run))
    assert rows[0]["discriminator/real"] == rows[1]["discriminator/real"]
    assert rows[0]["discriminator/loss_real"] != rows[1]["discriminator/loss_real"]


def test_presets_set_the_numbers_they_name(make_run):
    run = make_run("trick=[two_time_scale,more_discriminator]", *NARROW["mlp"])
    assert [player.optimizer.defaults["lr"] for player in run.players] == [1e-4, 4e-4]
    loop.update(run)
    made = [int(next(iter(player.optimizer.state.values()))["step"]) for player in run.players]
    assert made == [1, 5]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_spectral_norm_leaves_no_matrix_that_lengthens(make_run, precision):
    run = make_run(
        f"precision={precision}", "trick=[spectral_norm]", "trick.spectral_norm.power_iterations=50", *NARROW["mlp"]
    )
    for _ in range(3):
        loop.update(run)
        run.step += 1
    matrices = [
        module.weight for module in run.players.discriminator.network.modules() if isinstance(module, nn.Linear)
    ]
    assert len(matrices) == 3
    for matrix in matrices:
        assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=0.01)


def test_spectral_norm_is_the_same_after_resuming(make_run):
    chosen = ["trick=[spectral_norm,ema]", "model=dcgan", *NARROW["dcgan"]]
    run, again = make_run(*chosen), make_run(*chosen)
    for resumed in ([], [], [again], [again]):
        if resumed and again.step == 0:
            again.restore(copy.deepcopy(run.state()))
        for each in (run, *resumed):
            loop.update(each)
            each.step += 1
    states = run.players.discriminator.network.state_dict(), again.players.discriminator.network.state_dict()
    assert any(name.endswith("_u") for name in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("model", ["mlp", "dcgan"])
@pytest.mark.parametrize(
    "tricks",
    [
        "replay,adaptive_augment,track_failures,generator_noise",
        "conditional,minibatch_discrimination,generator_dropout",
    ],
)
def test_a_resumed_run_equals_an_unbroken_one_with_every_trick_that_keeps_something(make_run, model, tricks):
    chosen = [f"trick=[{tricks}]", f"model={model}", "dataset.image_size=8", *NARROW[model]]
    chosen += ["trick.replay.images=16", "trick.adaptive_augment.images=40"] if "replay" in tricks else []
    runs = [make_run(*chosen), make_run(*chosen)]
    for number in range(6):
        if number == 3:
            runs[1].restore(copy.deepcopy(runs[0].state()))
        for run in runs[: 1 if number < 3 else 2]:
            numbers = loop.update(run)
            run.step += 1
            run.tricks.review(run.step, {name: number.item() for name, number in numbers.items()})
    states = [flattened(run.state()) for run in runs]
    assert states[0].keys() == states[1].keys()
    different = [name for name, value in states[0].items() if not equal(value, states[1][name])]
    assert different == []


def flattened(state, path=""):
    if isinstance(state, (dict, list)):
        parts = state.items() if isinstance(state, dict) else enumerate(state)
        return {name: leaf for key, part in parts for name, leaf in flattened(part, f"{path}.{key}").items()}
    return {path: state}


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("model", ["mlp", "dcgan", "conv", "maxout", "residual"])
@pytest.mark.parametrize("trick", ["generator_noise", "generator_dropout"])
def test_noise_within_g_stays_when_sampling_and_is_the_seeds(make_run, model, trick):
    run = make_run(f"model={model}", f"trick=[{trick}]", "dataset.image_size=8", *NARROW[model])
    plain = make_run(f"model={model}", "trick=[]", "dataset.image_size=8", *NARROW[model])
    generator, noise = run.players.generator.network.eval(), torch.randn(8, 100)
    assert all(
        torch.equal(a, b)
        for a, b in zip(generator.parameters(), plain.players.generator.network.parameters(), strict=True)
    )
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(generator(noise))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], plain.players.generator.network.eval()(noise))


def test_noise_within_g_is_a_share_of_what_each_image_has_there():
    inputs = torch.randn(50, 1000) * torch.linspace(1, 5, 50)[:, None]
    added = with_noise(inputs, 0.2) - inputs
    assert torch.allclose(added.std(1) / inputs.std(1), torch.tensor(0.2), rtol=0.15)


def test_grids_are_drawn_with_the_same_noise_within_g_every_time(train_here, tmp_path):
    for name in ("a", "b"):
        train_here(
            tmp_path / name,
            "trick=[generator_dropout]",
            "train.max_steps=2",
            f"watch.samples_every={'1' if name == 'a' else '2'}",
        )
    a, b = ((tmp_path / name / "samples" / "step_0000002.png").read_bytes() for name in ("a", "b"))
    assert a == b


@pytest.mark.parametrize("model", ["mlp", "residual"])
@pytest.mark.parametrize("trick", ["r1", "r2", "wgan_gp", "dragan"])
def test_a_penalty_is_the_same_up_to_rounding_in_a_half_precision_run(make_run, trick, model):
    costs, gradients = [], []
    for precision in ("fp32", "bf16"):
        dropout = ["model.discriminator.dropout=0"] if model == "mlp" else []
        run = make_run(f"precision={precision}", f"model={model}", f"trick=[{trick}]", *dropout, *NARROW[model])
        player, images = run.players.discriminator, torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(0)
        for weight in player.parameters:  # some begin at 0, and have no part in the penalty then
            weight.data += 0.05 * torch.randn_like(weight)
        player.follow()
        (cost,) = run.tricks.penalties(player.uncompiled, images, -images).values()
        player.backward(cost + 0 * player(images).sum())
        costs.append(cost.item())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in player.parameters]))
    assert costs[1] == pytest.approx(costs[0], rel=0.05) and gradients[0].count_nonzero() > 0.9 * len(gradients[0])
    assert (gradients[1] - gradients[0]).norm() < 0.1 * gradients[0].norm()


def test_a_relativistic_run_moves_every_matrix_of_the_generator(make_run):
    run = make_run("loss=relativistic", "trick=[]", *NARROW["mlp"])
    numbers = loop.update(run)
    assert isinstance(run.loss, Relativistic) and "discriminator/loss_pairs" in numbers
    assert all(parameter.grad.abs().sum() > 0 for parameter in run.players.generator.parameters if parameter.dim() > 1)
