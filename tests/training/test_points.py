"""Runs on points: the same losses, tricks and optimizers as on images, and one sentence for what only images have."""

import itertools
import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from gan.cli.overrides import with_steps_alone
from gan.config import check
from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape, PointShape, read_shape
from gan.training import build, checkpoint, loop, outputs, point_samples
from gan.training.resume import resume as resume_run
from tests.conftest import IMAGE_MODELS, POINT_MODELS, POINT_SETS, composed, narrow, options, read_status, same_weights
from tests.training.conftest import assert_complete

POINTS = ["dataset=ring8", "model=points", *narrow("points")]
IMAGES_ONLY = {"adaptive_augment", "diffaugment"}


def train_steps(run, count=2):
    for _ in range(count):
        numbers = loop.training_step(run)
        run.step += 1
    assert not loop.find_non_finite(run)
    return numbers


@pytest.mark.parametrize("trick", options("trick"))
def test_every_trick_trains_on_points_or_says_that_it_is_for_images(make_run, trick):
    player = {"separate_batches": "discriminator", "virtual_batch_norm": "generator"}.get(trick)
    norm = [f"model.{player}.norm=batch"] if player else []
    if trick in IMAGES_ONLY:
        with pytest.raises(ConfigError, match=rf"^trick={trick}[^\n]*\.$"):
            make_run(*POINTS, f"trick=[{trick}]")
        return
    run = make_run(*POINTS, f"trick=[{trick}]", *norm)
    train_steps(run)
    assert run.players.generator.generate(torch.randn(8, 100), torch.arange(8)).shape == (8, 2)


@pytest.mark.parametrize(("loss", "optim"), [*itertools.zip_longest(options("loss"), options("optim"))])
def test_every_loss_and_optimizer_trains_on_points(make_run, loss, optim):
    loss, optim = loss or "hinge", optim or "adam"  # where there are more of the others
    clipping = ["trick=[weight_clipping]"] if loss == "wasserstein" else []
    train_steps(make_run(*POINTS, f"loss={loss}", f"optim={optim}", *clipping))


@pytest.mark.parametrize("update", ["discriminator_first", "generator_first", "simultaneous"])
@pytest.mark.parametrize("name", [name for name in POINT_SETS if name != "points"])
def test_every_set_of_points_trains(make_run, name, update):
    model = "linear" if name == "dirac" else "points"
    train_steps(make_run(f"dataset={name}", f"model={model}", *narrow(model), f"train.update={update}"))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_points_of_a_user_train(tmp_path, cache, dim):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(20, dim)))
    own = ["dataset=points", f"dataset.path={tmp_path / 'a.npy'}", "model=points", *narrow("points")]
    cfg = composed(*own, f"cache_dir={cache}", "device=cpu", "train.batch_size=4")
    run = build.build_run(cfg, check.check_config(cfg), {})
    train_steps(run)
    assert run.image == PointShape(dim) and run.players.generator.generate(torch.randn(3, 100)).shape == (3, dim)


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_a_model_of_images_says_which_model_fits_points(make_run, model):
    with pytest.raises(ConfigError, match=r"^model\.(generator|discriminator)[^\n]*model=points\.$"):
        make_run("dataset=ring8", f"model={model}")


@pytest.mark.parametrize("model", POINT_MODELS)
def test_a_model_of_points_says_which_model_fits_images(make_run, model):
    with pytest.raises(ConfigError, match=r"^model\.generator[^\n]*model=dcgan"):
        make_run(f"model={model}")


@pytest.mark.parametrize(
    ("overrides", "setting"),
    [
        (["watch.samples_normalized=true"], r"watch\.samples_normalized"),
        (["watch.scores_every=5", "watch.scores_parzen=true"], r"watch\.scores_parzen"),
        (["model.generator.output=tanh"], r"model\.generator"),
        (["model.generator.output_bias=marginals"], r"model\.generator\.output_bias"),
        (["train.batch_size=100"], r"train\.batch_size=100: must be at most the dataset's 64 points"),
        (["dataset=gaussian1d", "trick=[conditional]"], "trick=conditional"),
        (["model=linear", "trick=[conditional]"], "trick=conditional"),
        (["model=linear", "trick=[packing]"], "trick=packing"),
    ],
)
def test_what_points_do_not_have_is_one_sentence(make_run, overrides, setting):
    model, dataset = ([o for o in overrides if o.startswith(f"{group}=")] for group in ("model", "dataset"))
    chosen = [*([] if dataset else POINTS[:1]), *([] if model else POINTS[1:])]
    with pytest.raises(ConfigError, match=rf"^{setting}[^\n]*\.$"):
        make_run(*chosen, *overrides)


class OwnGenerator(torch.nn.Linear):
    """A user's own network, which says that it generates points."""

    pixel_range = None

    def __init__(self, image, noise_dim):
        super().__init__(noise_dim, *image.dims)


class OwnDiscriminator(torch.nn.Linear):
    def __init__(self, image):
        super().__init__(*image.dims, 1)


class OwnForImages(torch.nn.Linear):
    def __init__(self, image, noise_dim):
        super().__init__(noise_dim, image.pixels)


def own_run(cache, generator):
    cfg = composed("dataset=ring8", "dataset.count=640", f"cache_dir={cache}", "device=cpu", "train.batch_size=8")
    OmegaConf.set_struct(cfg, False)
    cfg.model.generator = {"_target_": f"{__name__}.{generator}"}
    cfg.model.discriminator = {"_target_": f"{__name__}.OwnDiscriminator"}
    return build.build_run(cfg, check.check_config(cfg), {})


def test_a_users_own_networks_train_on_points_or_get_one_sentence(cache, monkeypatch):
    train_steps(own_run(cache, "OwnGenerator"))
    with pytest.raises(ConfigError, match=r"^model\.generator[^\n]*image\.pixels[^\n]*model=points\.$"):
        own_run(cache, "OwnForImages")
    monkeypatch.delattr(OwnGenerator, "pixel_range")
    with pytest.raises(ConfigError, match=r"^model\.generator generates images"):
        own_run(cache, "OwnGenerator")


@pytest.fixture
def train_points(cache):
    """A run on a few points in a folder, with small networks."""

    def call(folder, *overrides, resume=False):
        few = ["device=cpu", "dataset.count=640", "train.batch_size=16", "watch.samples=4", "noise.dim=2"]
        cfg = composed(*POINTS, *few, f"cache_dir={cache}", *with_steps_alone(list(overrides)))
        run = build.build_run(cfg, check.check_config(cfg), {"model": "points", "seed": 0})
        if resume:
            resume_run(run, folder)
        loop.train(run, folder)

    return call


def test_a_run_writes_what_a_run_on_images_writes(train_points, tmp_path):
    train_points(tmp_path, "train.max_steps=4", "watch.samples_every=2", "watch.log_every=2")
    assert_complete(tmp_path, hydra=False)
    for name in ("samples/real.png", "samples/step_0000000.png", "samples/step_0000004.png", "final.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 100 and len(image.convert("RGB").getcolors(2**20) or []) > 5, name
    with Image.open(tmp_path / "samples.gif") as gif:
        assert gif.n_frames == 3
    data = read_status(tmp_path)["data"]
    assert data["shape"] == [2] and data["images"] == 640 and data["classes"] == 8 and data["values"][0] < -1.9


@pytest.mark.parametrize("trick", ["[]", "[instance_noise,r1]", "[conditional]", "[unrolled]", "[packing]"])
def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(train_points, tmp_path, trick):
    chosen = f"trick={trick}"
    scoring = ["watch.scores_every=4", "watch.scores_images=100"]
    train_points(tmp_path / "whole", "train.max_steps=8", chosen, *scoring)
    train_points(tmp_path / "parts", "train.max_steps=5", chosen, *scoring)
    train_points(tmp_path / "parts", "train.max_steps=8", chosen, *scoring, resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "parts")
    rows = [(tmp_path / name / "scores.jsonl").read_text() for name in ("whole", "parts")]
    assert rows[0] == rows[1] and rows[0].count("\n") == 2


def test_drawing_and_scoring_change_nothing_of_the_run(train_points, tmp_path):
    train_points(tmp_path / "plain", "train.max_steps=6")
    often = ["watch.samples_every=1", "watch.scores_every=2", "watch.scores_images=100"]
    train_points(tmp_path / "often", "train.max_steps=6", *often)
    assert same_weights(tmp_path / "plain", tmp_path / "often")


def test_scores_are_those_of_points_with_the_best_checkpoint(train_points, tmp_path):
    train_points(tmp_path, "train.max_steps=9", "watch.scores_every=3", "watch.scores_images=200")
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    columns = {"wasserstein", "modes_found", "high_quality", "mode_kl"}
    assert [row["step"] for row in rows] == [3, 6, 9] and columns <= rows[0].keys()
    assert {row["features"] for row in rows} == {"points"} and rows[0]["generated"] == 200
    best = min(rows, key=lambda row: row["wasserstein"])
    assert checkpoint.load(tmp_path, "best")["step"] == best["step"]
    real = read_status(tmp_path)["real_data"]
    assert real["modes_found"] == 8 and real["high_quality"] > 0.9 and real["wasserstein"] < best["wasserstein"]


def test_a_set_without_modes_has_the_distance_alone(train_points, tmp_path):
    """Nor has it test points, so that there is no baseline of real ones."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(200, 2)))
    cfg = composed(
        *("dataset=points", f"dataset.path={tmp_path / 'a.npy'}", "model=points", *narrow("points"), "device=cpu"),
        *("train.max_steps=2", "watch.scores_every=2", "watch.scores_images=100", "train.batch_size=8"),
        f"cache_dir={tmp_path}",
    )
    loop.train(build.build_run(cfg, check.check_config(cfg), {}), tmp_path / "run")
    status = read_status(tmp_path / "run")
    assert {"wasserstein"} == status["scores"].keys() - {*outputs.PROTOCOL} and status["real_data"] == {}
    assert status["scores"]["split"] == "train"


def fields(make_run, *overrides):
    return point_samples.discriminator_fields(make_run(*POINTS, *overrides))


def test_the_figure_gets_the_logits_and_gradients_of_the_discriminator(make_run):
    run = make_run(*POINTS, "model.discriminator.dropout=0.5")
    logits, gradients = point_samples.discriminator_fields(run)
    points = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    shift = np.array([1e-2, 0], np.float32)
    derivative = (logits(points + shift) - logits(points - shift)) / 2e-2
    assert logits(points).shape == (5,) and gradients(points).shape == (5, 2)
    assert np.allclose(gradients(points)[:, 0], derivative, atol=2e-3)
    assert np.array_equal(logits(points), logits(points))  # without dropout
    assert run.players.discriminator.network.training
    assert all(weight.grad is None for weight in run.players.discriminator.parameters)


@pytest.mark.parametrize("trick", ["packing", "minibatch_stddev", "minibatch_discrimination", "conditional"])
def test_a_discriminator_of_several_points_or_of_classes_has_no_value_at_a_point(make_run, trick):
    assert fields(make_run, f"trick=[{trick}]") == (None, None)


@pytest.mark.parametrize("trick", ["r1", "replay", "spectral_norm", "feature_matching", "unrolled"])
def test_other_tricks_leave_a_value_at_each_point(make_run, trick):
    logits, gradients = fields(make_run, f"trick=[{trick}]")
    assert logits(np.zeros((3, 2), np.float32)).shape == (3,) and gradients is not None


PROBABLE = {"nonsaturating", "minimax", "bce_probabilities", "naive_log"}


@pytest.mark.parametrize("loss", options("loss"))
def test_the_figure_shows_probabilities_where_the_loss_gives_any(make_run, monkeypatch, tmp_path, loss):
    drawn = []
    monkeypatch.setattr(point_samples, "draw_points", lambda *_, is_probability=True: drawn.append(is_probability))
    clipping = ["trick=[weight_clipping]"] if loss == "wasserstein" else []
    run = make_run(*POINTS, f"loss={loss}", *clipping)
    outputs.save_grid(run, outputs.draw_images(run, run.fixed_noise), run.fixed_noise, None, tmp_path / "a.png")
    assert drawn == [loss in PROBABLE]


@pytest.mark.parametrize("shape", [ImageShape(3, 32, 10, tuple("0123456789")), PointShape(2, 8), PointShape(3)])
def test_a_shape_is_read_from_its_record(shape):
    assert read_shape(shape.record()) == shape and read_shape(shape.record()).class_names == shape.class_names
