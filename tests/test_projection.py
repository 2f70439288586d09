"""The noise whose image is nearest to a given one."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

import gan
from gan import projection, sampling
from gan.config.errors import ConfigError
from gan.training import build
from tests.test_sample_files import sample

CPU = torch.device("cpu")
SMALL = ["train.max_steps=2", "dataset.image_size=12", "noise.dim=6"]


@pytest.fixture(autouse=True)
def short_search(monkeypatch):
    monkeypatch.setattr(projection, "STEPS", 80)


@pytest.fixture
def make(train_here, tmp_path):
    """`make(*overrides)`: a run as `load_trained` returns it, of a few steps."""

    def train(*overrides):
        train_here(tmp_path / "run", *SMALL, *overrides)
        run = build.load_trained(tmp_path / "run", "last", True, CPU)
        run.cfg.cache_dir = str(tmp_path / "cache")  # without the classifiers that other tests train
        return run

    return train


def images_of(run, count, labels=None):
    """Images uint8 of noise that the search does not draw."""
    noise = sampling.draw_noise(run.noise, count, 99, "sample")
    return sampling.generate(run.generator, noise, labels, count)


KINDS = ["noise.kind=normal", "noise.kind=uniform", "noise.kind=sphere", "trick=[clusters]"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_of_a_generated_image_is_found(make, kind):
    run = make(kind, *(["trick.clusters.count=5"] if "clusters" in kind else []))
    targets = images_of(run, 2)
    found = projection.project(run, targets, None, 0, CPU)
    assert found.images.shape == targets.shape and found.images.dtype == torch.uint8
    search = projection.Search(run, None, 0, CPU)
    for target, distance in zip(targets, found.distances, strict=True):
        nearest_drawn = search.distance(search.candidates, search.embed(target[None].float())).min().item()
        assert 0 <= distance < nearest_drawn / 4
    assert torch.equal(found.images, sampling.generate(run.generator, found.noise, found.labels, 2))
    assert (found.labels is not None) == ("clusters" in kind)
    assert torch.allclose(run.noise.nearest(found.noise), found.noise, atol=1e-5)


def test_the_distance_is_0_for_equal_images_and_1_on_average_for_generated_ones(make):
    search = projection.Search(make(), None, 0, CPU)
    one, other = ([each[part] for each in search.candidates] for part in (slice(0, 256), slice(256, 512)))
    assert search.distance(one, one).max() == 0
    assert search.distance(one, other).mean() == pytest.approx(1, abs=0.2)


def test_a_conditional_run_is_searched_in_all_classes_or_in_one(make):
    run = make("trick=[conditional]", "train.max_steps=30")
    (target,) = images_of(run, 1, torch.tensor([7]))
    found = projection.project(run, target[None], None, 0, CPU)
    assert found.labels.tolist() == [7]
    other = projection.project(run, target[None], "3", 0, CPU)
    assert other.labels.tolist() == [3] and other.distances[0] > found.distances[0]
    with pytest.raises(ConfigError, match="class=cat"):
        projection.project(run, target[None], "cat", 0, CPU)


def test_the_search_leaves_the_networks_as_they_were(make):
    run = make()
    before = {name: weight.clone() for name, weight in run.generator.state_dict().items()}
    projection.project(run, images_of(run, 1), None, 0, CPU)
    assert all(torch.equal(weight, before[name]) for name, weight in run.generator.state_dict().items())
    assert all(weight.grad is None for player in (run.generator, run.discriminator) for weight in player.parameters())


def test_images_are_compared_by_the_classifier_of_the_dataset_or_else_by_d(make):
    run = make()
    name, features = projection.choose_features(run, CPU)
    assert name == "D" and features(torch.rand(3, 1, 12, 12) * 255).shape == (3, run.discriminator.feature_count)
    run = make("dataset.image_size=28")
    name, features = projection.choose_features(run, CPU)
    assert "digits-28x28x1" in name and features(torch.rand(3, 1, 28, 28) * 255).shape == (3, 128)


def test_a_discriminator_of_several_images_sees_each_beside_itself(make):
    run = make("trick=[packing]")
    images = torch.rand(3, 1, 12, 12) * 255
    found = projection.choose_features(run, CPU)[1](images)
    scaled = images / 127.5 - 1
    alone = [run.discriminator.features(image.expand(2, -1, -1, -1)).flatten(1) for image in scaled]
    assert torch.allclose(found, torch.cat(alone), atol=1e-5)


def test_an_image_of_any_size_and_kind_gets_the_size_and_channels_of_the_run(make, tmp_path):
    run = make()
    Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / "red.png")
    Image.fromarray(np.full((12, 12), 65535, np.uint16)).save(tmp_path / "deep.png")
    targets = projection.read_targets([tmp_path / "red.png", str(tmp_path / "deep.png")], run)
    assert targets.shape == (2, 1, 12, 12) and targets.dtype == torch.uint8
    assert targets[0].unique().tolist() == [76] and targets[1].unique().tolist() == [255]


@pytest.fixture
def folder(train_here, tmp_path):
    """A run, with images A.png and B.png beside it."""
    train_here(tmp_path / "run", *SMALL)
    for name, value in (("A", 200), ("B", 20)):
        Image.new("L", (12, 12), value).save(tmp_path / f"{name}.png")
    return tmp_path / "run"


def tiles(path, size=12):
    grid = np.asarray(Image.open(path))
    return [grid[1 : 1 + size, left : left + size] for left in range(1, grid.shape[1] - 1, size + 1)]


def test_sample_py_writes_the_image_beside_the_nearest_one(folder, program):
    line = ["sample.py", f"run={folder}", "device=cpu", "seed=2"]
    done = program(*line, f"like={folder.parent / 'A.png'}")
    assert done.returncode == 0 and "distance" in done.stdout, done
    target, found = tiles(folder / "generated" / "like_A_seed2.png")
    assert (target == 200).all() and found.shape == (12, 12)
    bad = program(*line, "like=nowhere.png")
    assert bad.returncode == 1 and bad.stderr.count("\n") == 1 and "like=nowhere.png" in bad.stderr


def test_two_images_are_written_with_the_path_between_them(folder):
    both = f"like=[{folder.parent}/A.png,{folder.parent}/B.png]"
    path = sample(folder, both, "frames=4")
    row = tiles(path)
    assert path.name == "like_A_B_seed0.png" and len(row) == 4 + 3
    assert (row[0] == 200).all() and (row[-1] == 20).all()
    run = gan.load(folder, device="cpu")
    found = run.project(folder.parent / "A.png", folder.parent / "B.png")
    assert (row[1] == found.images[0, 0].numpy()).all() and (row[-2] == found.images[1, 0].numpy()).all()
    changes = [np.abs(one.astype(int) - other).mean() for one, other in itertools.pairwise(row[1:-1])]
    assert max(changes) < np.abs(row[1].astype(int) - row[-2]).mean() + 1
    animation = Image.open(sample(folder, both, "frames=4", "format=gif"))
    assert animation.format == "GIF" and animation.n_frames <= 8


@pytest.mark.parametrize(
    "overrides",
    [
        ["like=[A.png,B.png,A.png]"],
        ["like=A.png", "format=gif"],
        ["like=A.png", "format=npz"],
        ["like=A.png", "format=onnx"],
        ["like=A.png", "out=x.npz"],
        ["like=checkpoints"],
        ["like=status.json"],
    ],
)
def test_what_cannot_be_searched_for_or_written_is_a_config_error(folder, monkeypatch, overrides):
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match="like="):
        sample(folder, *overrides)


def test_python_takes_files_and_tensors(folder):
    run = gan.load(folder, device="cpu")
    image = run.sample(1, seed=5)[0]
    found = run.project(image)
    assert torch.equal(found.targets, image[None])
    low, high = run.generator.pixel_range
    images = run.generator(found.noise, found.labels)
    assert torch.equal(sampling.to_uint8(images, (low, high)), found.images)
    for wrong in ([], [image.float()], [torch.zeros(3, 12, 12, dtype=torch.uint8)], [folder / "nowhere.png"]):
        with pytest.raises(ConfigError):
            run.project(*wrong)
