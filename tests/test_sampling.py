"""From noise to images, and from images to grids and GIFs."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from gan import sampling
from gan.models.base import Generator
from gan.noise import Noise

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ["normal", "uniform", "sphere"])
def test_a_noise_vector_depends_on_the_seed_and_its_index_alone(kind):
    noise = Noise(kind, 100)
    many = sampling.draw_noise(noise, 200, 0, "sample")
    assert all(torch.equal(sampling.draw_noise(noise, count, 0, "sample"), many[:count]) for count in (1, 63, 64, 65))
    assert not torch.equal(sampling.draw_noise(noise, 200, 1, "sample"), many)
    assert torch.equal(sampling.draw_noise(noise, 100, 0, "sample", 70), many[70:170])
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


def test_a_grid_has_a_column_for_each_class():
    images = (torch.arange(30) % 10 * 20).to(torch.uint8).view(30, 1, 1, 1).expand(30, 1, 4, 4)
    grid = np.asarray(sampling.image_grid(images, sampling.grid_columns(30, 10)))
    assert grid.shape == (3 * 5 + 1, 10 * 5 + 1)
    pixels = [int(grid[2 + 5 * row, 2 + 5 * column]) for row in range(3) for column in range(10)]
    assert pixels == [*range(0, 200, 20)] * 3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "columns"), [(1, 1), (1, 4), (4, 2), (5, 3), (3, 8)])
def test_a_grid_is_that_of_torchvision(channels, count, columns):
    random = torch.Generator().manual_seed(count)
    images = torch.randint(256, (count, channels, 5, 7), dtype=torch.uint8, generator=random)
    theirs = to_pil_image(make_grid(images, nrow=columns, padding=1, pad_value=64)[:channels])
    ours = sampling.image_grid(images, columns)
    assert ours.mode == theirs.mode and np.array_equal(np.asarray(ours), np.asarray(theirs))
    assert np.array_equal(np.asarray(sampling.to_image(images[0])), np.asarray(to_pil_image(images[0])))


@pytest.mark.parametrize(
    ("asked", "classes", "count", "columns"),
    [
        (64, 10, 70, 10),
        (100, 10, 100, 10),
        (10, 10, 10, 10),
        (450, 10, 460, 20),
        (64, 2, 64, 8),
        (63, 2, 66, 6),
        (7, 3, 9, 3),
        (64, 1000, 64, 8),  # fewer than a row
        (2000, 1000, 2000, 45),  # too wide a row
        (64, 0, 64, 8),
        (7, 0, 7, 3),
        (5, 0, 5, 5),  # one row, without a hole
        (3, 0, 3, 3),
        (4, 0, 4, 2),
        (1, 10, 1, 1),
    ],
)
def test_every_column_of_a_grid_has_one_class_and_every_row_is_full(asked, classes, count, columns):
    assert sampling.grid_count(asked, classes) == count and sampling.grid_columns(count, classes) == columns


@pytest.mark.parametrize("classes", [1, 2, 3, 7, 10, 43, 100])
def test_a_grid_has_at_least_the_images_that_were_asked_for(classes):
    for asked in range(classes, 500):
        count = sampling.grid_count(asked, classes)
        columns = sampling.grid_columns(count, classes)
        assert asked <= count < asked + columns and count % columns == columns % classes == 0


def test_labels_cycle_through_the_classes():
    assert sampling.cycle_labels(3, 4, CPU, start=2).tolist() == [2, 0, 1, 2]
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
