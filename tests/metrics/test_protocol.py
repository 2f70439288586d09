"""Real images to compare with, the real-data baseline, generated images, and the discriminator gap."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gan.config.errors import ConfigError
from gan.data.datasets import ImageDataset
from gan.metrics import features, protocol
from gan.training import build
from tests.conftest import composed
from tests.metrics.conftest import CPU


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Classifiers after one epoch."""
    monkeypatch.setattr(features, "EPOCHS", 1)
    monkeypatch.setattr(features, "MIN_STEPS", 20)
    monkeypatch.setattr(features, "MIN_ACCURACY", 0)


class Network(features.FeatureNetwork):
    """Pixels as features and as logits."""

    name, accuracy = "any", None

    def forward(self, images):
        return images.flatten(1)[:, :2].float(), images.flatten(1)[:, :3].float()


def random_reference(name, generator):
    train, real = (
        ImageDataset(torch.randint(0, 256, (200, 1, 8, 8), generator=generator).to(torch.uint8), torch.arange(200) % 3)
        for _ in range(2)
    )
    return protocol.Reference(name, train, real, "test", Network(), CPU)


def test_the_real_data_baseline_depends_on_the_images_and_is_cached(tmp_path):
    generator, baselines = torch.Generator().manual_seed(0), []
    for name in ("one", "other"):
        reference = random_reference(name, generator)
        baselines.append(reference.real_data_baseline(100, False, tmp_path))
        assert reference.real_data_baseline(100, False, tmp_path) == baselines[-1]
    assert list(baselines[0].values()) != list(baselines[1].values())
    paths = sorted(tmp_path.iterdir())
    assert [path.name.split("-")[:3] for path in paths] == [["baseline", "any", "one"], ["baseline", "any", "other"]]
    (tmp_path / "file").write_text("")  # a folder that cannot be written to
    assert reference.real_data_baseline(100, False, tmp_path / "file") == baselines[1]
    for content in ('{"fid_other": ', "[]", "{}", "5", '{"fid_other": "x"}', '{"fid_other": null}', '{"what": 1.0}'):
        paths[1].write_text(content)
        assert reference.real_data_baseline(100, False, tmp_path) == baselines[1]
        assert json.loads(paths[1].read_text()) == baselines[1]


def test_columns_name_the_dataset_or_inception():
    reference = random_reference("cifar10", torch.Generator().manual_seed(0))
    assert reference.features == "cifar10" and "fid_cifar10" in reference.score(reference.real_stats, parzen=False)
    reference.network.column = "inception"
    scores = reference.score(reference.real_stats, parzen=False)
    assert {"fid_inception", "inception_score"} <= scores.keys() and not {"modes", "classifier_score"} & scores.keys()


def test_the_parzen_estimate_is_computed_only_if_asked_for_and_of_small_images():
    reference = random_reference("one", torch.Generator().manual_seed(0))
    assert "parzen" in reference.score(reference.real_stats, parzen=True)
    assert "parzen" not in reference.score(reference.real_stats, parzen=False)
    large = ImageDataset(torch.zeros(10, 3, 33, 33, dtype=torch.uint8), torch.arange(10) % 3)
    reference = protocol.Reference("large", large, large, "test", Network(), CPU)
    assert "parzen" not in reference.score(reference.real_stats, parzen=True)


def test_a_conditional_generator_draws_the_given_classes():
    requested, labels = [], torch.arange(600) % 3

    class Conditional(nn.Module):
        pixel_range, class_count = (-1, 1), 3

        def forward(self, noise, labels):
            requested.extend(labels.tolist())
            return noise[:, :1, None, None].expand(-1, 1, 8, 8)

    noise = SimpleNamespace(sample=lambda count, generator: torch.randn(count, 2, generator=generator))
    batches = list(protocol.generate_images(Conditional(), noise, 600, 0, CPU, labels))
    assert [len(batch) for batch in batches] == [256, 256, 88]
    assert requested == labels.tolist()
    fewer = list(protocol.generate_images(Conditional(), noise, 10, 0, CPU, labels))
    assert torch.equal(fewer[0], batches[0][:10])


def test_classes_are_as_frequent_as_in_training():
    reference = random_reference("one", torch.Generator().manual_seed(0))
    reference.train = ImageDataset(reference.train.images, torch.tensor([0] * 180 + [1] * 15 + [2] * 5))
    labels = reference.draw_labels(3, 400, seed=0)
    assert labels.bincount().tolist() == [360, 30, 10] and labels[:200].bincount().tolist() == [180, 15, 5]
    assert torch.equal(reference.draw_labels(3, 30, seed=0), labels[:30])
    assert not torch.equal(reference.draw_labels(3, 400, seed=1), labels)
    assert reference.draw_labels(0, 400, seed=0) is None


def test_metrics_on_some_of_the_real_images_take_random_ones():
    images = torch.arange(200, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    real = ImageDataset(images, torch.arange(200) % 3)
    values = protocol.Reference("one", real, real, "test", Network(), CPU).real_stats.features[:, 0]
    assert values.sort().values.tolist() == [*range(200)]
    assert abs(values[:50].mean() - 99.5) < 25  # the first 50 in their order have a mean of 24.5


def test_a_discriminator_that_memorized_its_images_has_a_gap():
    light = ImageDataset(torch.full((40, 1, 8, 8), 255, dtype=torch.uint8), torch.arange(40) % 3)
    dark = ImageDataset(torch.zeros(30, 1, 8, 8, dtype=torch.uint8), torch.arange(30) % 4)

    def brightness(images, labels=None):
        assert labels is None or labels.max() < 3
        return images.mean((1, 2, 3)) / 1000 - 100  # only the order counts

    def gap(train, test, batch_size=10, classes=0):
        where = {"pixel_range": (-1.0, 1.0), "batch_size": batch_size, "classes": classes, "device": CPU}
        return protocol.discriminator_gap(brightness, train, test, **where)

    assert gap(light, dark) == 1 and gap(dark, light) == -1 and gap(light, light) == 0
    assert gap(light, dark, classes=3) == 1  # the fourth class is left out
    assert gap(light, dark, batch_size=35) is None
    rising = (torch.arange(5000) / 20).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    rises, falls = (ImageDataset(images, torch.zeros(5000)) for images in (rising, rising.flip(0)))
    assert abs(gap(rises, falls)) < 0.06  # whatever the order of the images


def test_images_of_the_user_are_compared_with_test_images_only_if_there_are_any(tmp_path, cache):
    for split, count in (("train", 240), ("other", 120)):
        for number in range(count):
            folder = tmp_path / split / str(number % 2)
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 100, (8, 8)) + 150 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    overrides = ["dataset=image_folder", f"dataset.path={tmp_path / 'train'}"]
    folders = (tmp_path, cache)
    alone = build.build_reference(composed(*overrides), None, "classifier", folders, CPU)
    assert (alone.split, len(alone.real), alone.features) == ("train", 240, "image_folder")
    assert alone.real_data_baseline(100, False, cache) == {}
    test = [f"dataset.test_path={tmp_path / 'other'}", "dataset.limit=5"]
    both = build.build_reference(composed(*overrides, *test), None, "classifier", folders, CPU)
    assert (both.split, len(both.real), len(both.train)) == ("test", 120, 240)
    with pytest.raises(ConfigError, match=r"dataset\.test_path"):
        build.build_reference(composed(*overrides), "test", "classifier", folders, CPU)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("color", r"dataset\.test_path.*8x8x3 in 2 classes.*8x8x1 in 2 classes"),
        ("flat", r"dataset\.test_path.*8x8x1 in 0 classes"),
        ("few", "100 training images"),
        ("absent", "nowhere"),
        ("renamed", r"dataset\.test_path.*folder 0 "),
    ],
)
def test_test_images_of_another_kind_are_a_config_error(tmp_path, cache, kind, expected):
    for split, count in (("train", 120), ("other", 20 if kind == "few" else 120)):
        for number in range(count):
            name = str(number % 2 + (1 if split == "other" and kind == "renamed" else 0))
            folder = tmp_path / split / ("" if split == "other" and kind == "flat" else name)
            folder.mkdir(parents=True, exist_ok=True)
            mode = "RGB" if split == "other" and kind == "color" else "L"
            color = (number, 0, 200) if mode == "RGB" else number
            Image.new(mode, (8, 8), color).save(folder / f"{number}.png")
    test = tmp_path / ("nowhere" if kind == "absent" else "other")
    overrides = ["dataset=image_folder", f"dataset.path={tmp_path / 'train'}", f"dataset.test_path={test}"]
    with pytest.raises(ConfigError, match=expected):
        build.build_reference(composed(*overrides), None, "classifier", (tmp_path, cache), CPU)
