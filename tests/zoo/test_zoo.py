"""The generators that come with this project, and others in files: `run=zoo/mnist`, `run=generator.safetensors`."""

import functools
import re

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

import gan
from gan import generator_file, sampling
from gan.cli import paths
from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape, PointShape
from gan.explorer import page
from gan.metrics.features import find_classifier
from gan.training import build
from gan.zoo.make import COMMANDS
from tests.conftest import CONF, composed, weights
from tests.test_sample_files import sample

CPU = torch.device("cpu")
IMAGES = [name for name in COMMANDS if name != "ring8"]


@pytest.fixture
def files(train_here, tmp_path):
    """`files(*overrides)`: a small run, and the file of its generator."""

    def make(*overrides):
        train_here(tmp_path / "run", "train.max_steps=3", *overrides)
        return tmp_path / "run", gan.load(tmp_path / "run", device="cpu").export(tmp_path / "g.safetensors")

    return make


def test_the_zoo_has_a_file_and_a_card_for_each_command_and_nothing_large():
    found = sorted(path.name for path in paths.ZOO.iterdir() if path.name not in ("make.py", "__pycache__"))
    assert found == sorted(f"{name}.safetensors{ending}" for name in COMMANDS for ending in ("", ".md"))
    sizes = [(paths.ZOO / name).stat().st_size for name in found]
    assert max(sizes) < 1.5e6 and sum(sizes) < 10e6


@pytest.mark.parametrize("name", COMMANDS)
def test_a_generator_of_the_zoo_has_the_settings_that_its_command_stands_for(name):
    run = gan.load(f"zoo/{name}", device="cpu")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=COMMANDS[name])
    expected = OmegaConf.to_container(OmegaConf.masked_copy(cfg, list(generator_file.GROUPS)), resolve=True)
    assert {group: run.config[group] for group in generator_file.GROUPS} == expected
    card = (paths.ZOO / f"{name}.safetensors.md").read_text("utf-8")
    assert f"python train.py {' '.join(COMMANDS[name])}".strip() in card.replace("'", "")
    assert "license: mit" in card and re.search(r"\| (fid_|wasserstein)", card) and f"after {run.step} steps" in card


@pytest.mark.parametrize("name", IMAGES)
def test_a_generator_of_the_zoo_has_sharp_and_varied_images_of_every_class(name, tmp_path):
    images = gan.load(f"zoo/{name}", device="cpu").sample(300, seed=1)
    network = find_classifier(name.partition("_")[0], ImageShape(1, 28, 10), tmp_path, CPU)
    probabilities = network(images)[1].softmax(1)
    assert probabilities.max(1).values.mean() > 0.8 and len(probabilities.argmax(1).unique()) == 10
    assert images.float().std(dim=0).mean() > 40


def test_points_of_the_zoo_are_on_their_circle():
    run = gan.load("zoo/ring8", device="cpu")
    points = run.sample(500)
    assert isinstance(run.trained.image, PointShape) and points.shape == (500, 2)
    angles = torch.atan2(points[:, 1], points[:, 0]).mul(8 / (2 * torch.pi)).round().remainder(8)
    assert len(angles.unique()) == 8


def test_a_loaded_generator_is_that_of_its_run_to_the_bit(files):
    folder, path = files("trick=[conditional]", "noise.kind=uniform", "noise.dim=7")
    run, alone = build.load_trained(folder, "last", True, CPU), generator_file.load_run(path)
    noise = run.noise.sample(30, torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 10
    assert torch.equal(run.generator(noise, labels), alone.generator(noise, labels))
    assert alone.noise == run.noise and alone.step == 3 and alone.discriminator is None
    assert torch.equal(
        gan.load(path, device="cpu").sample(20, seed=5), gan.load(folder, device="cpu").sample(20, seed=5)
    )
    assert all(torch.equal(value, weights(folder)[f"ema.{name}"]) for name, value in alone.generator.named_parameters())


def test_sample_py_and_gan_evaluate_take_it_and_write_nothing_beside_it(files, program, tmp_path, cache, monkeypatch):
    folder, path = files()
    before = sorted(tmp_path.iterdir())
    expected = np.load(sample(folder, "n=5", "seed=2", f"out={tmp_path / 'a.npz'}"))["images"]
    assert np.array_equal(np.load(sample(path, "n=5", "seed=2", f"out={tmp_path / 'b.npz'}"))["images"], expected)
    done = program("gan.evaluate", f"run={path}", "n=100", "device=cpu", f"cache_dir={cache}", "parzen=false")
    assert done.returncode == 0 and "fid_digits" in done.stdout, done
    left = {each.name for each in tmp_path.iterdir()} - {each.name for each in before}
    assert left == {"a.npz", "b.npz"}
    monkeypatch.chdir(tmp_path)
    assert sample(path, "n=4") == paths.GENERATED / "g" / "grid_seed0_n4.png"
    assert sample("zoo/digits", "n=4") == paths.GENERATED / "digits" / "grid_seed0_n4.png"
    with Image.open(paths.GENERATED / "digits" / "grid_seed0_n4.png") as grid:
        assert grid.size == (2 * 29 + 1, 2 * 29 + 1)


@pytest.mark.parametrize("text", ["zoo/nothing", "zoo", "zoo/", "zoo/mnist.safetensors", "zoo/../zoo/mnist"])
def test_what_the_zoo_does_not_have_is_one_sentence_that_lists_what_it_has(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for load in (gan.load, lambda each: sample(each, "n=1")):
        with pytest.raises(ConfigError, match=r"^run=[^\n]*must be [^\n]*zoo/digits, [^\n]*zoo/mnist[^\n]*\.$"):
            load(text)


def test_a_new_run_starts_from_a_generator_of_the_zoo(train, tmp_path):
    settings = ["model=dcgan", "dataset.count=640", "train.max_steps=1", "device=cpu", "init_from=zoo/digits_classes"]
    run = gan.train(*settings, "trick=[conditional]", "optim.generator.lr=1e-9", folder=tmp_path / "run")
    before, after = gan.load("zoo/digits_classes").generator.parameters(), run.generator.parameters()
    assert all(map(functools.partial(torch.allclose, atol=1e-6), before, after))
    done = train("init_from=zoo/nothing")
    assert done.returncode == 1 and "init_from=zoo/nothing" in done.stderr and "zoo/digits" in done.stderr


def test_a_run_folder_of_that_name_comes_first(train_here, tmp_path, monkeypatch):
    train_here(tmp_path / "zoo" / "digits", "train.max_steps=2")
    monkeypatch.chdir(tmp_path)
    assert gan.load("zoo/digits", device="cpu").step == 2


def test_a_generator_alone_has_no_checkpoints_no_other_ema_and_no_discriminator(files):
    _, path = files()
    for choice in ({"checkpoint": "best"}, {"ema": False}, {"ema": 0.9}):
        with pytest.raises(ConfigError, match=r"one generator"):
            gan.load(path, device="cpu", **choice)
    run = gan.load(path, device="cpu")
    assert run.metrics == [] and run.scores == [] and run.discriminator is None
    assert repr(gan.load("zoo/digits", device="cpu")).startswith("gan.load('zoo/digits')")


@pytest.mark.parametrize("kind", ["torchscript", "safetensors", "explorer"])
def test_it_is_exported_again_with_a_card(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "write_onnx", lambda run, network: b"a generator")
    ending = {"torchscript": ".pt", "safetensors": ".safetensors", "explorer": ".html"}[kind]
    out = tmp_path / f"again{ending}"
    sample("zoo/mnist_classes", f"format={kind}", f"out={out}", "n=3")
    text = (out if kind == "explorer" else tmp_path / f"{out.name}.md").read_text("utf-8")
    assert ("<h1>mnist_classes</h1>" if kind == "explorer" else "# Generator of mnist_classes\n") in text
    if kind == "safetensors":
        images = [gan.load(each, device="cpu").sample(10) for each in (out, "zoo/mnist_classes")]
        assert torch.equal(*images)


def test_a_run_folder_may_be_called_like_a_file(train_here, tmp_path):
    train_here(tmp_path / "x.safetensors", "train.max_steps=2")
    assert gan.load(tmp_path / "x.safetensors", device="cpu").step == 2


@pytest.mark.slow
def test_its_noise_is_searched_by_the_features_of_a_classifier_that_comes_along(files):
    _, path = files("noise.dim=5")
    run = gan.load(path, device="cpu")
    found = run.project(run.sample(1)[0])
    assert "classifier digits" in found.features
    _, other = files("noise.dim=5", "dataset.image_size=12")
    run = gan.load(other, device="cpu")
    with pytest.raises(ConfigError, match=r"^like: "):
        run.project(run.sample(1)[0])


def test_the_paths_of_the_machine_are_not_in_the_file(tmp_path):
    cfg = composed("dataset=image_folder", f"dataset.path={tmp_path / 'private'}", f"dataset.test_path={tmp_path}")
    image = ImageShape(1, 12)
    generator, _ = build.build_networks(cfg, image)
    run = build.TrainedRun(cfg, 4, image, generator.eval(), None, build.build_noise(cfg))
    path = tmp_path / "g.safetensors"
    path.write_bytes(generator_file.to_bytes(run, run.generator))
    assert str(tmp_path).encode() not in path.read_bytes()
    loaded = generator_file.load_run(path)
    assert loaded.cfg.dataset.path == "unknown" and loaded.step == 4
    assert sampling.generate(loaded.generator, torch.randn(2, 100), None, 2).shape == (2, 1, 12, 12)


@pytest.mark.slow
def test_a_generator_of_the_zoo_is_what_its_command_trains(tmp_path):
    """Within a bound: kernels of another kind of CPU round differently, and training makes more of it."""
    run = gan.train(*COMMANDS["digits"], "device=cpu", folder=tmp_path / "run")
    kept = gan.load("zoo/digits", device="cpu")
    assert run.step == kept.step
    again, first = (each.score(4000)["fid_digits"] for each in (run, kept))
    assert again == pytest.approx(first, rel=0.5)
