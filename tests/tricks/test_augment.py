"""Augmentation of the images that D sees."""

import pytest
import torch

from gan.config.errors import ConfigError
from gan.training import loop
from gan.tricks.augment import AdaptiveAugment, DiffAugment
from tests.conftest import NARROW

SIDE = 16
NAMES = ("color", "translation", "cutout")
IMAGES = torch.rand(400, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def only(**strengths):
    """DiffAugment with these transforms alone."""
    return DiffAugment(**(dict.fromkeys(NAMES, 0.0) | strengths))


def test_a_translated_image_is_complete_and_filled_with_gray():
    translated = only(translation=0.125).augment(IMAGES)
    padded = torch.nn.functional.pad(IMAGES, [2] * 4)
    offsets = set()
    for image, larger in zip(translated, padded, strict=True):
        matches = [
            (y, x) for y in range(5) for x in range(5) if torch.equal(image, larger[:, y : y + SIDE, x : x + SIDE])
        ]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) == 25  # up to two pixels in each direction


def test_cutout_makes_a_gray_square_that_may_reach_over_the_edge():
    cut = only(cutout=0.5).augment(IMAGES)
    holes = (cut != IMAGES).any(1)
    assert (cut[:, 0][holes] == 0).all()
    sides = [(int(hole.any(0).sum()), int(hole.any(1).sum())) for hole in holes]
    assert all(int(hole.sum()) == a * b for hole, (a, b) in zip(holes, sides, strict=True))
    assert {side for pair in sides for side in pair} == {4, 5, 6, 7, 8}


def test_color_changes_brightness_and_contrast_within_their_ranges():
    colored = only(color=1.0).augment(IMAGES)
    brightness = colored.mean((1, 2, 3)) - IMAGES.mean((1, 2, 3))
    assert brightness.abs().max() <= 0.5 and brightness.std().item() == pytest.approx(1 / 12**0.5, rel=0.1)
    gray = [images.mean(1).flatten(1) for images in (IMAGES, colored)]
    centered = [pixels - pixels.mean(1, keepdim=True) for pixels in gray]
    contrast = centered[1].norm(dim=1) / centered[0].norm(dim=1)
    assert contrast.min() >= 0.5 - 1e-4 and contrast.max() <= 1.5 + 1e-4
    assert torch.cosine_similarity(*centered).min() > 0.999


def test_images_in_0_to_1_are_changed_in_the_same_proportion(make_run):
    tricks = make_run("trick=[diffaugment]", "model.generator.output=sigmoid", *NARROW["mlp"]).tricks
    torch.manual_seed(0)
    expected = DiffAugment().augment(IMAGES)
    torch.manual_seed(0)
    assert torch.allclose(tricks.augment((IMAGES + 1) / 2), (expected + 1) / 2, atol=1e-5)


def test_the_gradient_passes_through_to_the_generator():
    images = IMAGES[:8].clone().requires_grad_()
    DiffAugment().augment(images).square().sum().backward()
    assert (images.grad != 0).double().mean() > 0.4  # except for pixels that were cut out or moved outside


def test_with_probability_zero_images_are_unchanged_and_each_is_transformed_with_its_probability():
    trick = AdaptiveAugment()
    assert torch.equal(trick.augment(IMAGES), IMAGES)
    for probability in (0.3, 1.0):
        trick.probability = torch.tensor(probability)
        changed = (trick.apply_to_some(trick.translate, IMAGES) != IMAGES).flatten(1).any(1).double().mean()
        assert changed.item() == pytest.approx(probability * 24 / 25, abs=0.06)  # one offset in 25 is (0, 0)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 0.02), (-1.0, 0.0)])
def test_the_probability_rises_while_real_logits_are_mostly_positive(sign, expected):
    trick, logits = AdaptiveAugment(images=1000), torch.full((10,), sign)
    for _ in range(2):
        metrics = trick.observe(IMAGES[:10], IMAGES[:10], logits, -logits)
    assert metrics["discriminator/augment_probability"].item() == pytest.approx(expected)


@pytest.mark.parametrize(("positive", "expected"), [(7, 0.5 - 0.01), (8, 0.5), (9, 0.5 + 0.01)])
def test_the_target_is_the_mean_sign_of_the_real_logits(positive, expected):
    trick, logits = AdaptiveAugment(target=0.6, images=1000), torch.tensor([1.0] * positive + [-1.0] * (10 - positive))
    trick.probability = torch.tensor(0.5)
    trick.observe(IMAGES[:10], IMAGES[:10], logits, logits)
    assert trick.probability.item() == pytest.approx(expected)


def test_the_probability_is_at_most_one():
    trick = AdaptiveAugment(images=4)
    for _ in range(3):
        trick.observe(IMAGES[:10], IMAGES[:10], torch.ones(10), torch.ones(10))
    assert trick.probability == 1


@pytest.mark.parametrize("loss", ["least_squares", "relativistic", "wasserstein"])
def test_adaptive_augment_needs_a_loss_whose_logits_have_a_meaningful_sign(make_run, loss):
    tricks = "[adaptive_augment,weight_clipping]"
    with pytest.raises(ConfigError, match="trick=adaptive_augment"):
        make_run(f"loss={loss}", f"trick={tricks}", *NARROW["mlp"])


@pytest.mark.parametrize("trick", ["diffaugment", "adaptive_augment"])
def test_augmentation_without_any_transform_is_a_config_error(make_run, trick):
    zeros = [f"trick.{trick}.{name}=0" for name in NAMES]
    with pytest.raises(ConfigError, match=f"trick={trick}"):
        make_run(f"trick=[{trick}]", *zeros, *NARROW["mlp"])
    for name in NAMES:
        make_run(f"trick=[{trick}]", *(zero for zero in zeros if name not in zero), *NARROW["mlp"])


def test_both_players_are_updated_on_augmented_images(make_run):
    run = make_run("trick=[diffaugment]", *NARROW["mlp"])
    counts = []
    augment = run.tricks.augment
    run.tricks.augment = lambda images: counts.append(len(images)) or augment(images)
    loop.training_step(run)
    assert counts == [8, 8, 8]  # real and fake for D, fake for G
