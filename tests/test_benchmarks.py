"""What the benchmarks compare is the same work, counted right. Nothing here depends on a time."""

import copy

import pytest
import torch
from torch import nn

from benchmarks import usual
from benchmarks.floor import Arithmetic, optimizer_bytes, replay
from benchmarks.shares import KINDS, REST, kind, look
from gan.losses import NonSaturating
from gan.optim import sgd
from gan.step import Batch, step
from gan.training import loop
from gan.tricks.base import Tricks
from tests.test_step import ADAM, make_players

MM, ADDMM = torch.ops.aten.mm.default, torch.ops.aten.addmm.default
ORDERS = ["discriminator_first", "generator_first", "simultaneous"]


def test_products_are_counted_by_shape_and_can_be_called_again():
    layer, inputs = nn.Linear(5, 3), torch.randn(7, 5)
    with Arithmetic() as arithmetic:
        layer(inputs).sum().backward()
        layer(inputs)
    assert sorted(arithmetic.calls.values()) == [1, 2]  # the weight's gradient, and two forward passes
    outputs = {call[0]: replay(call)().shape for call in arithmetic.calls}
    assert outputs == {ADDMM: (7, 3), MM: (3, 5)}
    assert arithmetic.seconds(0.001) > 0


@pytest.mark.parametrize("order", ORDERS)
def test_a_step_makes_no_product_that_nobody_needs(make_run, order):
    run = make_run(
        "model.generator.hidden=[16]", "model.discriminator.hidden=[16]", f"train.update={order}", "trick=[]"
    )
    with Arithmetic() as arithmetic:
        loop.training_step(run)
    made = {kind: sum(n for call, n in arithmetic.calls.items() if call[0] == kind) for kind in (ADDMM, MM)}
    # Two layers each. Backward: the weights of either player, 2 and 2; through G's last layer to its first, 1; through
    # D's last layer, 1 in its own step, and through both, 2, in G's.
    assert made[MM] == 8
    # Forward, each player twice; a simultaneous step has but one pass of each.
    assert made[ADDMM] == (4 if order == "simultaneous" else 8)


def test_an_optimiser_reads_and_writes_what_it_keeps():
    player = make_players().discriminator
    weights = 64 * 16 + 16 + 16 + 1
    assert optimizer_bytes(player) == 4 * 7 * weights  # Adam: weight, gradient and two means in; all but it out
    player.optimizer = sgd(player.parameters, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    assert optimizer_bytes(player) == 4 * 5 * weights


def test_the_profile_of_a_step_knows_what_each_call_is_for(make_run):
    run = make_run("model=conv", "train.batch_size=8", "trick=[instance_noise]")
    found = look(lambda: loop.training_step(run), 2)
    assert list(found.kinds) == [*KINDS, REST]
    assert sum(found.kinds.values()) == pytest.approx(1)
    assert min(found.kinds.values()) > 0


def test_the_operations_of_a_step_are_those_of_its_products(make_run):
    run = make_run("model.generator.hidden=[16]", "model.discriminator.hidden=[16]", "train.batch_size=8", "trick=[]")
    pixels, noise = run.shape.pixels, run.settings.noise.dim
    generator, discriminator = noise * 16 + 16 * pixels, pixels * 16 + 16
    # D's step: fakes, D on twice the batch, its weights' gradients, and through its last layer. G's: forward through
    # both, back through D, G's weights' gradients, and through its last layer.
    times = generator + 2 * (2 * discriminator + 16) + generator + 2 * discriminator + generator + 16 * pixels
    assert look(lambda: loop.training_step(run), 1).operations == 2 * 8 * times


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("aten::addmm", "products"),
        ("aten::convolution_backward", "products"),
        ("Optimizer.step#Adam.step", "optimisers"),
        ("aten::native_batch_norm", "normalisation"),
        ("aten::max_pool2d_with_indices", "activations, pooling"),
        ("aten::max", "activations, pooling"),
        ("aten::maximum", REST),
        ("aten::random_", "random numbers"),
        ("aten::copy_", "copies"),
        ("aten::sum", REST),
    ],
)
def test_a_call_is_for_one_thing(call, what):
    assert kind(call) == what


@pytest.mark.parametrize(
    ("order", "reuse"), [*((order, False) for order in ORDERS), ("discriminator_first", True)]
)  # those of the published set-ups
def test_the_usual_loop_does_the_same_as_ours(monkeypatch, order, reuse):
    players = make_players()
    networks = [copy.deepcopy(player.network) for player in players]
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    noises = list(torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1)))
    drawn = iter(
        [noises[1], noises[0]] if order == "generator_first" else [noises[1]] if order == "simultaneous" else noises
    )
    optimizers = [torch.optim.Adam(network.parameters(), lr=ADAM["lr"], betas=ADAM["betas"]) for network in networks]
    shown = usual.PictureByPicture(images, None, (-1.0, 1.0))
    steps = usual.usual_loop(*networks, optimizers, shown, 6, 4, order, reuse, torch.device("cpu"))
    monkeypatch.setattr(usual.torch, "randn", lambda *shape, device: next(drawn))
    numbers = next(steps)
    monkeypatch.undo()

    loss = NonSaturating(terms="sum", real_target=1.0, fake_target=0.0)
    ours = step(players, loss, Tricks([]), order, reuse, [Batch(images / 127.5 - 1, noise) for noise in noises])
    assert numbers["d"] == pytest.approx(ours["discriminator/loss"].item(), abs=1e-5)
    assert numbers["g"] == pytest.approx(ours["generator/loss"].item(), abs=1e-5)
    for player, network in zip(players, networks, strict=True):
        for mine, theirs in zip(player.parameters, network.parameters(), strict=True):
            assert torch.allclose(mine, theirs, atol=1e-5)
