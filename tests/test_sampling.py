"""Samples of a trained generator: grids, files and GIFs."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch import nn

from gan import sampling
from gan.config import check
from gan.config.errors import ConfigError
from gan.models.base import Generator
from gan.noise import Noise
from gan.training import build
from tests.conftest import CONF, ROOT

CPU = torch.device("cpu")


def sample(run, *overrides):
    """What sample.py does with these overrides, in this process. Returns the path of the samples."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("sample", overrides=[f"run={run}", "device=cpu", *overrides])
    request = check.check_sampling(cfg)
    trained = build.load_trained(Path(request.run), request.checkpoint, request.ema, CPU)
    return sampling.write_samples(trained.generator, trained.noise, request, CPU)


def test_samples_are_written_in_every_format_and_depend_on_the_seed_alone(train_here, tmp_path):
    run = tmp_path / "run"
    train_here(run, "train.max_steps=3", "dataset.image_size=12")
    same = ["n=9", "seed=3"]
    images = np.load(sample(run, *same, "format=npz", "batch_size=4"))["images"]
    assert images.shape == (9, 12, 12, 1) and images.dtype == np.uint8
    folder = sample(run, *same, "format=png", f"out={tmp_path / 'many'}")
    paths = sorted(folder.glob("*.png"))
    assert [path.stem for path in paths] == [f"{number:05d}" for number in range(9)]
    assert all((np.asarray(Image.open(path)) == images[number, :, :, 0]).all() for number, path in enumerate(paths))
    grid = np.asarray(Image.open(sample(run, *same)))
    assert grid.shape == (3 * 13 + 1, 3 * 13 + 1) and (grid[1:13, 1:13] == images[0, :, :, 0]).all()
    path = sample(run, "n=3", "format=interpolation", "frames=4", f"out={tmp_path / 'path.gif'}")
    assert Image.open(path).n_frames == 12
    other = np.load(sample(run, "n=9", "seed=4", "format=npz"))["images"]
    assert not np.array_equal(images, other)


def test_the_first_images_are_the_same_however_many_are_asked_for(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1", "model.generator.hidden=[32]")
    images = {n: np.load(sample(tmp_path, f"n={n}", "format=npz", "batch_size=16"))["images"] for n in (1, 20, 64)}
    assert (images[1] == images[64][:1]).all() and (images[20] == images[64][:20]).all()


@pytest.mark.parametrize("kind", ["normal", "uniform", "sphere"])
def test_a_noise_vector_depends_on_the_seed_and_its_index_alone(kind):
    noise = Noise(kind, 100)
    many = sampling.draw_noise(noise, 200, 0, "sample")
    assert all(torch.equal(sampling.draw_noise(noise, count, 0, "sample"), many[:count]) for count in (1, 63, 64, 65))
    assert not torch.equal(sampling.draw_noise(noise, 200, 1, "sample"), many)
    assert len({tuple(vector.tolist()) for vector in many}) == 200


def test_batch_norm_of_an_ema_gets_the_statistics_of_its_own_weights():
    layers = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Unflatten(1, (2, 2, 2)))
    ema = Generator(layers).eval()
    with torch.no_grad():
        layers[0].weight.mul_(5)
        layers[1].running_mean.fill_(7)
    noise = Noise("normal", 4)
    own = sampling.recompute_batch_norm(ema, noise, 32, CPU)
    hidden = sampling.draw_noise(noise, 16 * 32, 0, "batch norm") @ layers[0].weight.T
    assert torch.allclose(own.layers[1].running_mean, hidden.mean(0), atol=1e-4)
    expected = torch.stack([batch.var(0) for batch in hidden.split(32)]).mean(0)
    assert torch.allclose(own.layers[1].running_var, expected, rtol=1e-4)
    assert (layers[1].running_mean == 7).all() and not any(module.training for module in own.modules())
    without = Generator(nn.Sequential(nn.Linear(4, 8), nn.Unflatten(1, (2, 2, 2)))).eval()
    assert sampling.recompute_batch_norm(without, noise, 32, CPU) is without


def test_sample_py_prints_where_the_samples_are_and_writes_nothing_else(train_here, program, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    logs = set(ROOT.glob("*.log"))
    done = program("sample.py", f"run={tmp_path}", "n=9", "seed=3", "device=cpu")
    assert done.returncode == 0 and str(tmp_path / "generated" / "grid_seed3_n9.png") in done.stdout, done.stderr
    assert [path.name for path in (tmp_path / "generated").iterdir()] == ["grid_seed3_n9.png"]
    assert set(ROOT.glob("*.log")) == logs


def test_samples_are_drawn_with_the_ema_unless_it_is_turned_off(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    paths = [sample(tmp_path, "n=9", ema) for ema in ("ema=true", "ema=false")]
    assert [path.name for path in paths] == ["grid_seed0_n9.png", "grid_no-ema_seed0_n9.png"]
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_a_file_name_of_another_format_and_a_path_through_one_image_are_config_errors(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    for overrides, setting in (
        ([f"out={tmp_path / 'checkpoints' / 'last.pt'}"], r"out=.*last\.pt"),
        (["out=a.jpg"], r"out=a\.jpg"),
        (["n=1", "format=interpolation"], "n=1"),
    ):
        with pytest.raises(ConfigError, match=setting):
            sample(tmp_path, *overrides)
    sample(tmp_path, "n=2", "format=interpolation", "frames=1")


def test_a_conditional_run_is_sampled_by_class(train_here, tmp_path):
    train_here(tmp_path, "trick=[conditional]", "train.max_steps=2")
    path = sample(tmp_path, "class=3", "n=4", "format=npz")
    assert path.name == "npz_class3_seed0_n4.npz"
    threes, cycled = (np.load(path)["images"] for path in (path, sample(tmp_path, "n=4", "format=npz")))
    assert threes.shape == (4, 28, 28, 1)
    assert np.array_equal(threes[3], cycled[3]) and not np.array_equal(threes[0], cycled[0])
    sample(tmp_path, "n=3", "format=interpolation")
    sample(tmp_path, "class=9", "n=1")
    with pytest.raises(ConfigError, match="class=10"):
        sample(tmp_path, "class=10")


def test_an_unconditional_run_has_no_classes_to_choose(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    with pytest.raises(ConfigError, match=r"class=1.*conditional"):
        sample(tmp_path, "class=1")


def test_a_grid_has_a_column_for_each_class():
    images = (torch.arange(30) % 10 * 20).to(torch.uint8).view(30, 1, 1, 1).expand(30, 1, 4, 4)
    grid = np.asarray(sampling.image_grid(images, classes=10))
    assert grid.shape == (3 * 5 + 1, 10 * 5 + 1)
    pixels = [int(grid[2 + 5 * row, 2 + 5 * column]) for row in range(3) for column in range(10)]
    assert pixels == [*range(0, 200, 20)] * 3


def test_labels_cycle_through_the_classes():
    assert sampling.cycle_labels(3, 5, CPU).tolist() == [0, 1, 2, 0, 1]
    assert sampling.cycle_labels(0, 5, CPU) is None


@pytest.mark.parametrize("pixel_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_generated_pixels_are_scaled_from_the_pixel_range_and_clipped(pixel_range):
    low, high = pixel_range
    generator = torch.nn.Identity()
    generator.forward = lambda noise, labels: noise[:, :, None, None]
    generator.pixel_range = pixel_range
    pixels = torch.tensor([[low - 1], [low], [low + 0.25 * (high - low)], [high], [high + 1]])
    assert sampling.generate(generator, pixels, None, 2).flatten().tolist() == [0, 0, 64, 255, 255]
    assert generator.training  # as before


def test_a_long_gif_keeps_the_first_and_the_last_grid_and_some_between(train_here, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "MAX_GIF_FRAMES", 4)
    frames = []
    monkeypatch.setattr(
        sampling, "read_image", lambda path, read=sampling.read_image: frames.append(path.stem) or read(path)
    )
    train_here(tmp_path, "train.max_steps=10", "watch.samples_every=1")
    assert len(list((tmp_path / "samples").glob("step_*.png"))) == 11
    assert frames == ["step_0000000", "step_0000004", "step_0000008", "step_0000010"]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_equal_frames_of_a_gif_are_shown_for_no_longer_than_a_gif_can_store(tmp_path, mode):
    frames = [Image.new(mode, (8, 8), color) for color in ["black", *["white"] * 8, "black", "gray"]]
    with (tmp_path / "x.gif").open("wb") as file:
        sampling.write_gif(frames, file, fps=0.01)
    with Image.open(tmp_path / "x.gif") as gif:
        durations = [gif.seek(index) or gif.info["duration"] for index in range(gif.n_frames)]
    assert durations == [100_000, 655_350, 100_000, 100_000]
    with (tmp_path / "x.gif").open("wb") as file:
        sampling.write_gif([frames[0]] * 8, file, fps=0.01)
    assert Image.open(tmp_path / "x.gif").n_frames == 1


def test_a_gif_can_have_more_frames_than_files_can_be_open(tmp_path):
    resource = pytest.importorskip("resource")
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        sampling.write_gif(map(sampling.read_image, [tmp_path / "x.png"] * 300), io.BytesIO(), fps=4)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_gif_has_only_grids_of_the_size_of_the_last_one(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=2", "watch.samples_every=1", "watch.samples=4")
    train_here(tmp_path, "train.max_steps=4", "watch.samples_every=1", "watch.samples=9", resume=True)
    with Image.open(tmp_path / "samples.gif") as gif, Image.open(tmp_path / "samples" / "step_0000004.png") as last:
        assert gif.size == last.size and gif.n_frames == 2
