"""Losses at values computed by hand, with the signs of their gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import get_class
from omegaconf import OmegaConf

from gan.config.errors import ConfigError
from gan.losses import (
    BCEProbabilities,
    Hinge,
    LeastSquares,
    Minimax,
    NaiveLog,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from gan.training import loop
from tests.conftest import CONF, NARROW, options

CROSS_ENTROPIES = [NonSaturating(), BCEProbabilities(), NaiveLog()]
LOSSES = [*CROSS_ENTROPIES, Minimax(), LeastSquares(), Hinge(), Wasserstein(), Relativistic()]
EXTREME = [0.0, 20.0, -20.0, 50.0, -50.0, 90.0, -90.0, 104.0, -104.0, 200.0, -200.0]


def close(value, expected):
    return float(torch.as_tensor(value).detach()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", options("loss"))
def test_the_defaults_of_a_loss_are_the_values_of_its_yaml(name):
    node = OmegaConf.load(CONF / "loss" / f"{name}.yaml")
    defaults = vars(get_class(node._target_)())
    assert {key: value for key, value in node.items() if key != "_target_"} == defaults


@pytest.mark.parametrize("loss", [*CROSS_ENTROPIES, Minimax()], ids=lambda loss: type(loss).__name__)
def test_at_logit_zero_the_discriminator_loss_is_two_log_two(loss):
    logits = torch.zeros(5)
    assert close(loss.total(loss.discriminator(logits, logits)), 2 * math.log(2))


def test_terms_mean_is_half_of_terms_sum():
    loss = NonSaturating(terms="mean")
    assert close(loss.total(loss.discriminator(torch.zeros(5), torch.zeros(5))), math.log(2))


@pytest.mark.parametrize("loss", CROSS_ENTROPIES, ids=lambda loss: type(loss).__name__)
def test_each_term_is_computed_from_its_own_images(loss):
    terms = loss.discriminator(torch.tensor([2.0, 0.0]), torch.tensor([-1.0]))
    assert close(terms["loss_real"], (math.log(1 + math.exp(-2)) + math.log(2)) / 2)
    assert close(terms["loss_fake"], math.log(1 + math.exp(-1)))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (NonSaturating(), -math.log(0.75)),
        (BCEProbabilities(), -math.log(0.75)),
        (NaiveLog(), -math.log(0.75)),
        (Minimax(), math.log(0.25)),
        (NaiveLog(saturating=True), math.log(0.25)),
    ],
)
def test_the_generator_loss_where_the_prediction_is_three_quarters(loss, expected):
    assert close(loss.generator(None, torch.tensor([math.log(3.0)])), expected)


@pytest.mark.parametrize(
    ("loss", "gradient"), [(NonSaturating(), -1 / (1 + math.exp(-8))), (Minimax(), -1 / (1 + math.exp(8)))]
)
def test_only_the_minimax_loss_saturates_where_the_discriminator_is_sure(loss, gradient):
    fake = torch.tensor([-8.0], requires_grad=True)
    loss.generator(None, fake).backward()
    assert fake.grad.item() == pytest.approx(gradient, rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_the_discriminator_raises_real_and_lowers_fake_logits_and_the_generator_raises_fake_ones(loss):
    real, fake = torch.full((3,), 0.5, requires_grad=True), torch.full((3,), 0.5, requires_grad=True)
    loss.total(loss.discriminator(real, fake)).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    loss.generator(real.detach(), fake).backward()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("kind", [NonSaturating, BCEProbabilities])
def test_a_smoothed_target_is_optimal_at_that_probability(kind):
    real = torch.tensor([math.log(9.0)], requires_grad=True)  # D(x) = 0.9
    terms = kind(real_target=0.9).discriminator(real, torch.zeros(1))
    terms["loss_real"].backward()
    assert close(terms["loss_real"], -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)))
    assert close(real.grad, 0)


@pytest.mark.parametrize("kind", [NonSaturating, BCEProbabilities])
def test_targets_do_not_change_the_generator_loss(kind):
    fake = torch.randn(9)
    smoothed = kind(real_target=0.9, fake_target=(0.0, 0.3))
    assert torch.equal(smoothed.generator(None, fake), kind().generator(None, fake))


def value_and_gradient(function, logits):
    """A loss of `logits`, one of them or all, and its gradient."""
    logits = torch.tensor(logits, requires_grad=True)
    value = function(logits)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize("logits", [*([logit] for logit in EXTREME), EXTREME], ids=str)
@pytest.mark.parametrize("target", [1.0, 0.0, 0.9])
def test_bce_probabilities_is_bce_loss_of_a_sigmoid_to_the_bit(logits, target):
    def published(logits):
        return torch.nn.BCELoss()(torch.sigmoid(logits), torch.full_like(logits, target))

    loss = BCEProbabilities(real_target=target, fake_target=target)
    other = torch.zeros(1)
    ours = [
        value_and_gradient(lambda logits: loss.discriminator(logits, other)["loss_real"], logits),
        value_and_gradient(lambda logits: loss.discriminator(other, logits)["loss_fake"], logits),
    ]
    if target == 1.0:
        ours.append(value_and_gradient(lambda logits: loss.generator(None, logits), logits))
    expected, expected_gradient = value_and_gradient(published, logits)
    for value, gradient in ours:
        assert torch.equal(value, expected) and torch.equal(gradient, expected_gradient)


@pytest.mark.parametrize(
    ("term", "logit", "value", "gradient", "gradient_from_logits"),
    [
        ("loss_real", -20.0, 20.0, -1.0, -1.0),  # not yet extreme
        ("loss_real", -50.0, 50.0, -math.exp(-50) / 1e-12, -1.0),  # the denominator is 1e-12
        ("loss_real", -104.0, 100.0, 0.0, -1.0),  # the probability is 0, and its log -100
        ("loss_fake", 20.0, 100.0, 0.0, 1.0),  # the probability is 1
        ("loss_fake", 200.0, 100.0, 0.0, 1.0),
        ("generator", -50.0, 50.0, -math.exp(-50) / 1e-12, -1.0),
        ("generator", -200.0, 100.0, 0.0, -1.0),
    ],
)
def test_bce_probabilities_has_a_bound_and_no_gradient_where_bce_on_logits_goes_on(
    term, logit, value, gradient, gradient_from_logits
):
    def loss_of(loss):
        if term == "generator":
            return lambda logits: loss.generator(None, logits)
        return lambda logits: loss.discriminator(logits, logits)[term]

    clamped, derivative = value_and_gradient(loss_of(BCEProbabilities()), [logit])
    assert clamped.item() == pytest.approx(value, rel=1e-6) and derivative.item() == pytest.approx(gradient, rel=1e-5)
    free, derivative = value_and_gradient(loss_of(NonSaturating()), [logit])
    assert free.item() == pytest.approx(abs(logit)) and derivative.item() == pytest.approx(gradient_from_logits)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_run_whose_logits_are_nan_has_diverged_although_bce_loss_raises_an_error_for_them(make_run, player):
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.binary_cross_entropy(torch.tensor([float("nan")]), torch.ones(1))
    run = make_run("loss=bce_probabilities", *NARROW["mlp"])
    with torch.no_grad():
        next(getattr(run.players, player).network.parameters()).fill_(float("nan"))
    loop.training_step(run)
    assert "not finite at step 1" in loop.find_non_finite(run)


def test_bce_probabilities_is_computed_in_float32_outside_autocast_where_cuda_forbids_it(make_run, monkeypatch):
    seen, compute = [], F.binary_cross_entropy

    def spy(probabilities, *args, **kwargs):
        seen.append((probabilities.dtype, torch.is_autocast_enabled("cpu")))
        return compute(probabilities, *args, **kwargs)

    monkeypatch.setattr(F, "binary_cross_entropy", spy)
    run = make_run("loss=bce_probabilities", "precision=bf16", *NARROW["mlp"])
    loop.training_step(run)
    assert seen == [(torch.float32, False)] * 3 and not loop.find_non_finite(run)


@pytest.mark.parametrize("kind", [NonSaturating, BCEProbabilities])
@pytest.mark.parametrize(("term", "logit"), [("loss_real", 1.0), ("loss_fake", 1.0)])
def test_soft_targets_are_drawn_for_each_image_within_their_range(term, logit, kind):
    loss = kind(real_target=(0.7, 1.0), fake_target=(0.7, 1.0))
    # At logit 1 the cross-entropy is softplus(1) - target.
    logits = torch.full((1,), logit)
    targets = [math.log(1 + math.e) - loss.discriminator(logits, logits)[term].item() for _ in range(200)]
    assert 0.7 - 1e-6 <= min(targets) < 0.75 and 0.95 < max(targets) <= 1 + 1e-6


@pytest.mark.parametrize("setting", ["real_target", "fake_target"])
@pytest.mark.parametrize("kind", [NonSaturating, LeastSquares])
def test_a_range_of_targets_must_be_in_order(kind, setting):
    kind(**{setting: [0.2, 0.2]})
    with pytest.raises(ConfigError, match=rf"loss\.{setting}"):
        kind(**{setting: [0.3, 0.2]})


def test_least_squares_moves_each_logit_to_its_target():
    loss = LeastSquares()
    terms = loss.discriminator(torch.tensor([3.0, 1.0]), torch.tensor([-1.0]))
    assert close(terms["loss_real"], (4 + 0) / 2 / 2) and close(terms["loss_fake"], 1 / 2)
    half = torch.full((4,), 0.5)
    assert close(loss.total(loss.discriminator(half, half)), 1 / 4)
    fake = torch.tensor([-2.0, 1.0], requires_grad=True)
    total = loss.generator(None, fake)
    total.backward()
    assert close(total, 9 / 2 / 2) and fake.grad.tolist() == [-1.5, 0.0]


def test_least_squares_can_have_the_other_targets_of_the_paper(make_run):
    """Equation 8: a = -1 for fake images, b = 1 for real ones, and c = 0 for the generator."""
    run = make_run("loss=least_squares", "loss.fake_target=-1", "loss.generator_target=0")
    terms = run.loss.discriminator(torch.tensor([1.0]), torch.tensor([2.0]))
    assert close(terms["loss_real"], 0) and close(terms["loss_fake"], 9 / 2)
    assert close(run.loss.generator(None, torch.tensor([2.0])), 2)


def test_hinge_has_no_gradient_beyond_one():
    loss = Hinge()
    real, fake = torch.tensor([2.0, 0.25], requires_grad=True), torch.tensor([-3.0, 0.5], requires_grad=True)
    terms = loss.discriminator(real, fake)
    assert close(terms["loss_real"], 0.75 / 2) and close(terms["loss_fake"], 1.5 / 2)
    loss.total(terms).backward()
    assert real.grad.tolist() == [0.0, -0.5] and fake.grad.tolist() == [0.0, 0.5]
    assert close(loss.generator(None, torch.tensor([2.0, -1.0])), -0.5)
    assert close(loss.total(loss.discriminator(torch.zeros(3), torch.zeros(3))), 2)


def test_wasserstein_is_the_difference_of_the_means():
    terms = Wasserstein().discriminator(torch.tensor([3.0, 1.0]), torch.tensor([-4.0]))
    assert close(Wasserstein().total(terms), -2 - 4)
    assert close(Wasserstein().generator(None, torch.tensor([-4.0])), 4)


def test_relativistic_compares_each_real_image_with_the_fake_one_at_the_same_position():
    loss = Relativistic()
    real, fake = torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([0.0, math.log(3.0)], requires_grad=True)
    terms = loss.discriminator(real, fake)
    assert close(terms["loss_pairs"], (math.log(1 + math.exp(-1)) + math.log(4)) / 2)
    assert close(loss.generator(real, fake), (math.log(1 + math.e) + math.log(4 / 3)) / 2)
    terms["loss_pairs"].backward()
    assert real.grad[1].item() == pytest.approx(-0.75 / 2) and fake.grad[1].item() == pytest.approx(0.75 / 2)
    same = torch.randn(6)
    assert close(loss.generator(same, same), math.log(2))
    assert close(loss.generator(real + 5, fake + 5), loss.generator(real, fake).item())


def test_labels_are_flipped_for_whole_pairs_with_their_probability():
    real, fake = torch.arange(20_000.0), -1 - torch.arange(20_000.0)
    flipped_real, flipped_fake = Hinge(label_flip_probability=0.1).flip_labels(real, fake)
    flipped = flipped_real < 0
    assert flipped.double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(torch.where(flipped, flipped_fake, flipped_real), real)
    assert torch.equal(flipped_real + flipped_fake, real + fake)
    same_real, same_fake = Hinge(label_flip_probability=0.0).flip_labels(real, fake)
    assert same_real is real and same_fake is fake


def test_the_discriminator_loss_with_one_flipped_pair(monkeypatch):
    monkeypatch.setattr(torch, "rand_like", lambda real: torch.tensor([0.19, 0.2]))  # only the first is flipped
    loss = NonSaturating(label_flip_probability=0.2)
    terms = loss.discriminator(*loss.flip_labels(torch.tensor([2.0, 1.0]), torch.tensor([-3.0, 0.0])))
    assert close(terms["loss_real"], (math.log(1 + math.exp(3)) + math.log(1 + math.exp(-1))) / 2)
    assert close(terms["loss_fake"], (math.log(1 + math.exp(2)) + math.log(2)) / 2)


def test_noisy_labels_change_the_discriminator_loss_and_not_the_logged_predictions(make_run):
    rows = []
    for tricks in (["trick=[]"], ["trick=[noisy_labels]", "trick.noisy_labels.probability=0.999"]):
        run = make_run(*tricks, "model.discriminator.dropout=0", *NARROW["mlp"])
        rows.append(loop.training_step(run))
    assert run.loss.label_flip_probability == 0.999
    assert rows[0]["discriminator/real"] == rows[1]["discriminator/real"]
    assert rows[0]["discriminator/loss_real"] != rows[1]["discriminator/loss_real"]
