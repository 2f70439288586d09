"""InfoGAN: codes in the noise, their prediction, and the grid over them."""

import math

import pytest
import torch
from PIL import Image

from gan.code_grid import vary_codes
from gan.config.errors import ConfigError
from gan.training import loop
from gan.tricks.infogan import Codes, InfoGAN
from tests.conftest import NARROW

NOISE = torch.tensor([[3.0, 1.0, -2.0, 0.5, 9.0], [-1.0, -0.5, 1.0, -1.5, 9.0]])  # categories 0 and 1


def test_the_term_is_cross_entropy_of_the_category_and_half_the_squared_error_of_the_codes():
    trick = InfoGAN(categories=2, continuous=2)
    predicted = torch.tensor([[0.0, 0.0, -2.0, 1.5], [math.log(3), 0.0, 2.0, -1.5]])
    # categories: log 2, and -log 1/4; codes: 0 and 1, then 1 and 0
    expected = (math.log(2) + math.log(4)) / 2 + (1 / 2 + 1 / 2) / 2
    assert trick.error(predicted, NOISE).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("categories", "continuous"), [(0, 2), (3, 0)])
def test_either_kind_of_code_may_be_left_out(make_run, categories, continuous):
    codes = [f"trick.infogan.categories={categories}", f"trick.infogan.continuous={continuous}"]
    metrics = loop.training_step(make_run("trick=[infogan]", *codes, *NARROW["mlp"]))
    assert all(value.isfinite() for value in metrics.values())


def test_the_generator_sees_which_category_is_the_greatest_and_no_more_of_it(make_run):
    run = make_run("trick=[infogan]", "model.generator.norm=none", *NARROW["mlp"])
    noise = torch.randn(1, 100).repeat(4, 1)
    noise[:, :10] = -1.0
    for row, (category, value) in enumerate([(0, 1.0), (0, 5.0), (1, 1.0), (0, 1.0)]):
        noise[row, category] = value
    noise[3, 11] += 1.0  # the second continuous code
    images = run.generator(noise)
    assert torch.equal(images[0], images[1])
    assert not torch.allclose(images[0], images[2]) and not torch.allclose(images[0], images[3])


def test_every_category_is_as_likely_for_every_kind_of_noise(make_run):
    for kind in ("normal", "uniform", "sphere"):
        noise = make_run(f"noise.kind={kind}", *NARROW["mlp"]).noise
        counts = Codes(10, 2).category(noise.sample(10_000, torch.Generator().manual_seed(0))).bincount(minlength=10)
        assert counts.min() > 850 and counts.max() < 1150


def test_both_players_learn_to_tell_and_to_show_the_codes(make_run):
    run = make_run("trick=[infogan]", "dataset.image_size=8", "model.generator.hidden=[32]", "trick.infogan.weight=5",
                   "model.discriminator.hidden=[32]", "model.discriminator.dropout=0", "train.batch_size=32")  # fmt: skip
    values = []
    for step in range(200):
        run.step = step
        metrics = loop.training_step(run)
        values.append((metrics["generator/codes"].item(), metrics["discriminator/codes"].item()))
    assert values[0][0] > 5 * 2.2 and values[-1][0] < 5 * 1.8  # log 10 is 2.3, and the codes add 1
    assert values[-1][1] < 5 * 1.8


@pytest.mark.parametrize(
    "settings",
    [["noise.dim=11"], ["trick.infogan.categories=1"], ["train.reuse_fakes=true"],
     ["trick.infogan.categories=0", "trick.infogan.continuous=0"]],
)  # fmt: skip
def test_what_has_no_place_for_the_codes_is_one_sentence(make_run, settings):
    with pytest.raises(ConfigError, match=r"infogan[^\n]*\.$"):
        make_run("trick=[infogan]", *NARROW["mlp"], *settings)


def test_a_grid_has_a_column_for_each_category_and_rows_over_each_continuous_code():
    codes = Codes(2, 1)
    noise, columns = vary_codes(NOISE, codes)
    assert columns == 2 and codes.category(noise).tolist() == [0, 1] * 4
    assert noise[:4, 2:].tolist() == [row for row in NOISE[:, 2:].tolist() for _ in range(2)]
    assert noise[4:, 2].tolist() == [-2, -2, 2, 2]
    assert torch.equal(noise[4:, 3:], NOISE[:1, 3:].expand(4, -1))


def test_without_categories_a_continuous_code_goes_over_the_columns():
    noise, columns = vary_codes(NOISE, (0, 1))
    assert columns == 2 and noise[:, 0].tolist() == [-2, 2, -2, 2]
    assert torch.equal(noise[::2, 1:], NOISE[:, 1:]) and torch.equal(noise[1::2, 1:], NOISE[:, 1:])


@pytest.mark.slow
def test_sample_py_writes_the_grid_over_the_codes(train, program, tmp_path):
    plain, folder = tmp_path / "plain", tmp_path / "run"
    train(f"hydra.run.dir={plain}", "train.max_steps=1")
    train(f"hydra.run.dir={folder}", "train.max_steps=1", "trick=[infogan]")
    assert program("sample.py", f"run={folder}", "format=codes", "n=9").returncode == 0
    with Image.open(folder / "generated" / "codes_seed0_n9.png") as image:
        assert image.size == (10 * 29 + 1, 3 * 3 * 29 + 1)  # ten categories; three rows for each of three codes
    wrong = program("sample.py", f"run={plain}", "format=codes")
    assert wrong.returncode == 1 and wrong.is_clean_exit() and "infogan" in wrong.stderr
