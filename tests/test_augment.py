"""What D is shown in place of images."""

import pytest
import torch

from gan.config.errors import ConfigError
from gan.training import loop
from gan.tricks.augment import AdaptiveAugment, DiffAugment
from tests.conftest import NARROW

SIDE = 16
ALL = {"color": 1.0, "translation": 0.125, "cutout": 0.5}
IMAGES = torch.rand(400, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def adaptive(**changes):
    return AdaptiveAugment(**({"target": 0.6, "images": 1000} | ALL | changes))


def test_a_shift_moves_a_image_whole_and_fills_with_the_middle():
    shown = DiffAugment(color=0, translation=0.125, cutout=0).augment(IMAGES)
    padded = torch.nn.functional.pad(IMAGES, [2] * 4)
    found = set()
    for image, large in zip(shown, padded, strict=True):
        places = [
            (y, x) for y in range(5) for x in range(5) if torch.equal(image, large[:, y : y + SIDE, x : x + SIDE])
        ]
        assert len(places) == 1
        found.add(places[0])
    assert len(found) == 25  # every shift of up to two pixels, each way


def test_a_cut_takes_a_square_that_may_reach_over_the_edge():
    shown = DiffAugment(color=0, translation=0, cutout=0.5).augment(IMAGES)
    hole = (shown != IMAGES).any(1)
    assert (shown[:, 0][hole] == 0).all()
    sides = [(int(each.any(0).sum()), int(each.any(1).sum())) for each in hole]
    assert all(int(each.sum()) == a * b for each, (a, b) in zip(hole, sides, strict=True))
    assert {side for pair in sides for side in pair} == {4, 5, 6, 7, 8}


def test_colour_keeps_the_image_and_moves_its_brightness():
    shown = DiffAugment(color=1.0, translation=0, cutout=0).augment(IMAGES)
    brightness = shown.mean((1, 2, 3)) - IMAGES.mean((1, 2, 3))
    assert brightness.abs().max() <= 0.5 and brightness.std().item() == pytest.approx(1 / 12**0.5, rel=0.1)
    grey = [images.mean(1).flatten(1) for images in (IMAGES, shown)]
    centred = [each - each.mean(1, keepdim=True) for each in grey]
    contrast = centred[1].norm(dim=1) / centred[0].norm(dim=1)
    assert contrast.min() >= 0.5 - 1e-4 and contrast.max() <= 1.5 + 1e-4
    assert torch.cosine_similarity(*centred).min() > 0.999


def test_images_from_zero_to_one_are_changed_in_the_same_proportion(make_run):
    tricks = make_run("trick=[diffaugment]", "model.generator.output=sigmoid", *NARROW["mlp"]).tricks
    plain = DiffAugment(**ALL)
    torch.manual_seed(0)
    expected = plain.augment(IMAGES)
    torch.manual_seed(0)
    assert torch.allclose(tricks.show((IMAGES + 1) / 2), (expected + 1) / 2, atol=1e-5)


def test_the_gradient_passes_through_to_g():
    images = IMAGES[:8].clone().requires_grad_()
    DiffAugment(**ALL).augment(images).square().sum().backward()
    assert (images.grad != 0).double().mean() > 0.4  # but for what was cut out or moved away


def test_a_share_of_none_leaves_images_alone_and_a_share_of_all_changes_them_all():
    trick = adaptive()
    assert torch.equal(trick.augment(IMAGES), IMAGES)
    trick.probability = torch.tensor(0.3)
    changed = (adaptive_shift(trick, IMAGES) != IMAGES).flatten(1).any(1).double().mean()
    assert changed.item() == pytest.approx(0.3 * 24 / 25, abs=0.06)  # one shift in 25 is none


def adaptive_shift(trick, images):
    return trick.apply_to_some(trick.translate, images)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, 0.02), (-1.0, 0.0)])
def test_the_share_grows_while_d_is_too_sure(sign, expected):
    trick, logits = adaptive(), torch.full((10,), sign)
    for _ in range(2):
        metrics = trick.observe(IMAGES[:10], IMAGES[:10], logits, -logits)
    assert metrics["discriminator/augment_probability"].item() == pytest.approx(expected)


def test_the_share_never_passes_all():
    trick = adaptive(images=4)
    for _ in range(3):
        trick.observe(IMAGES[:10], IMAGES[:10], torch.ones(10), torch.ones(10))
    assert trick.probability == 1


@pytest.mark.parametrize("loss", ["least_squares", "relativistic", "wasserstein"])
def test_the_sign_of_a_logit_must_mean_something(make_run, loss):
    tricks = "[adaptive_augment,weight_clipping]"
    with pytest.raises(ConfigError, match="says nothing with"):
        make_run(f"loss={loss}", f"trick={tricks}", *NARROW["mlp"])


def test_no_change_at_all_is_refused(make_run):
    zeros = [f"trick.diffaugment.{name}=0" for name in ALL]
    with pytest.raises(ConfigError, match="change nothing"):
        make_run("trick=[diffaugment]", *zeros, *NARROW["mlp"])


def test_both_players_see_changed_images(make_run):
    run = make_run("trick=[diffaugment]", *NARROW["mlp"])
    seen = []
    show = run.tricks.augment
    run.tricks.augment = lambda images: seen.append(len(images)) or show(images)
    loop.training_step(run)
    assert seen == [8, 8, 8]  # real and fake for D, fake for G
