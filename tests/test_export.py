"""Generators in files for other programs: each format gives the images of the generator itself."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from gan import export, generator_file, sampling
from gan import programs as program_file
from gan.config.errors import ConfigError
from gan.config.schema import Sampling
from gan.data.image_shape import ImageShape
from gan.model_card import write_card
from gan.models.base import Generator
from gan.noise import Noise
from gan.training import build
from gan.training.build import TrainedRun
from gan.tricks.base import Tricks
from tests.conftest import CONF, IMAGE_MODELS, ROOT, composed, narrow

CPU = torch.device("cpu")
FORMATS = ("onnx", "torchscript", "safetensors")
ENDINGS = {"onnx": "onnx", "torchscript": "pt", "safetensors": "safetensors"}
MODELS = IMAGE_MODELS


DIGITS = ImageShape(1, 28, 10)


def untrained(*overrides, image=DIGITS):
    """A run as `load_trained` returns it, of networks with random statistics of BatchNorm."""
    cfg = composed("noise.dim=7", *overrides)
    generator, discriminator = build.build_networks(cfg, image)
    Tricks(list(build.build_tricks(cfg).values())).modify_networks(generator, discriminator, image)
    for layer in generator.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return TrainedRun(cfg, 0, image, generator.eval(), discriminator.eval(), Noise(cfg.noise.kind, cfg.noise.dim))


def inputs_of(run, count):
    noise = torch.randn(count, run.noise.dim)
    return (noise, torch.arange(count) % 10) if run.generator.class_count else (noise,)


def load(kind, path):
    """What maps arrays to an array, for a file of this format."""
    if kind == "onnx":
        session = onnxruntime.InferenceSession(str(path))
        names = [each.name for each in session.get_inputs()]
        return lambda *inputs: torch.from_numpy(
            session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})[0]
        )
    return export.load_torchscript(path) if kind == "torchscript" else generator_file.load_generator(path)


@pytest.mark.parametrize("tricks", ["[]", "[conditional]"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["torchscript", "safetensors", pytest.param("onnx", marks=pytest.mark.slow)])
def test_every_model_gives_the_same_images_in_every_format(kind, model, tricks, tmp_path):
    run = untrained(f"model={model}", *narrow(model), f"trick={tricks}")
    path = tmp_path / "file"
    assert "images within 0.0001" in export.export_generator(run, kind, "float", path)
    call = load(kind, path)
    for count in (1, 5):
        inputs = inputs_of(run, count)
        with torch.no_grad():
            expected = run.generator(*inputs)
        images = call(*inputs)
        assert images.dtype == torch.float32 and images.shape == (count, 1, 28, 28) and not images.requires_grad
        assert torch.allclose(images, expected, rtol=0, atol=1e-4)


LITERATURE = {  # what changes G in another way than by its layers
    "virtual_batch_norm": ["model=dcgan", *narrow("dcgan"), "trick=[virtual_batch_norm]"],
    "virtual_batch_norm of an MLP": [*narrow("mlp"), "trick=[virtual_batch_norm]"],
    "infogan": [*narrow("mlp"), "noise.dim=20", "trick=[infogan]"],
    "clusters": ["model=dcgan", *narrow("dcgan"), "trick=[clusters]"],
    "acgan": ["model=dcgan", *narrow("dcgan"), "trick=[conditional]", "trick.conditional.kind=acgan"],
    "attention": ["model=dcgan", *narrow("dcgan"), "model.generator.attention=16"],
    "attention in blocks": ["model=residual", *narrow("residual"), "model.generator.attention=16"],
}


@pytest.mark.parametrize("name", LITERATURE)
@pytest.mark.parametrize("kind", ["torchscript", "safetensors", pytest.param("onnx", marks=pytest.mark.slow)])
def test_generators_of_the_literature_give_the_same_images_in_every_format(kind, name, tmp_path):
    run = untrained(*LITERATURE[name])
    for weight in run.generator.parameters():
        torch.nn.init.normal_(weight, std=0.2)  # attention begins as the identity
    export.export_generator(run, kind, "float", tmp_path / "file")
    call = load(kind, tmp_path / "file")
    for count in (1, 5):
        inputs = inputs_of(run, count)
        with torch.no_grad():
            expected = run.generator(*inputs)
        assert expected.std() > 0.01 and (call(*inputs) - expected).abs().max() < 1e-3


def test_onnx_gives_the_same_images_for_batches_of_any_size(tmp_path):
    run = untrained("model=dcgan", *narrow("dcgan"), "trick=[conditional]", image=ImageShape(3, 9, 10))
    export.export_generator(run, "onnx", "float", tmp_path / "file")
    call = load("onnx", tmp_path / "file")
    for count in (1, 5):
        inputs = inputs_of(run, count)
        assert torch.allclose(call(*inputs), run.generator(*inputs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
@pytest.mark.parametrize("output", ["tanh", "sigmoid", "linear"])
def test_uint8_is_what_sampling_makes_of_the_pixels(kind, output, tmp_path):
    run = untrained(*narrow("mlp"), f"model.generator.output={output}")
    export.export_generator(run, kind, "uint8", tmp_path / "file")
    (noise,) = inputs_of(run, 50)
    images, expected = load(kind, tmp_path / "file")(noise), sampling.generate(run.generator, noise, None, 50)
    difference = (images.int() - expected.int()).abs()
    assert images.dtype == torch.uint8 and difference.max() <= 1 and (difference > 0).float().mean() < 1e-3
    assert expected.float().std() > 1


def test_the_inputs_and_the_output_of_onnx_have_names_and_a_batch_of_any_size(tmp_path):
    run = untrained(*narrow("mlp"), "trick=[conditional]")
    export.export_generator(run, "onnx", "uint8", tmp_path / "file")
    session = onnxruntime.InferenceSession(str(tmp_path / "file"))
    found = [(each.name, each.type, each.shape) for each in (*session.get_inputs(), *session.get_outputs())]
    assert found == [
        ("noise", "tensor(float)", ["batch", 7]),
        ("labels", "tensor(int64)", ["batch"]),
        ("images", "tensor(uint8)", ["batch", 1, 28, 28]),
    ]
    onnx.checker.check_model(onnx.load(tmp_path / "file"), full_check=True)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_names_no_folder_of_this_machine(kind, tmp_path):
    export.export_generator(untrained(*narrow("mlp")), kind, "uint8", tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    parts = [data]
    if kind == "torchscript":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts += map(archive.read, archive.namelist())
    for folder in (ROOT, Path(torch.__file__).parent.parent):
        assert not any(str(folder).encode() in part for part in parts)


@pytest.mark.parametrize("trick", ["generator_noise", "generator_dropout"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_generator_with_random_numbers_of_its_own_keeps_them_and_is_not_compared(kind, trick, tmp_path):
    run = untrained(*narrow("mlp"), f"trick=[{trick}]")
    check = export.export_generator(run, kind, "float", tmp_path / "file")
    assert "not compared" in check and "random" in check
    call, (noise,) = load(kind, tmp_path / "file"), inputs_of(run, 1)
    noise = noise.expand(2000, -1)
    for images in (call(noise), call(noise)):
        with torch.no_grad():
            expected = run.generator(noise)
        assert images.std(dim=0).mean() == pytest.approx(expected.std(dim=0).mean().item(), rel=0.1)
        assert (images.mean(dim=0) - expected.mean(dim=0)).abs().max() < 0.2 * expected.std(dim=0).max()
    assert not torch.equal(call(noise), call(noise))


def test_the_run_s_generator_stays_as_it_is(tmp_path):
    run = untrained(*narrow("mlp"))
    before = {name: value.clone() for name, value in run.generator.state_dict().items()}
    for kind in FORMATS:
        export.export_generator(run, kind, "uint8", tmp_path / kind)
    assert all(torch.equal(value, before[name]) for name, value in run.generator.state_dict().items())
    assert all(weight.requires_grad for weight in run.generator.parameters())


# What is not the generator is noticed


class Unstable(nn.Module):
    """A generator whose file has other images: what it computes depends on the size of the batch it was traced with."""

    def __init__(self, factor):
        super().__init__()
        self.linear, self.factor = nn.Linear(7, 784), factor

    def forward(self, noise):
        images = self.linear(noise).unflatten(1, (1, 28, 28))
        return images if self.factor is None else images * (1 + self.factor * float(noise.mean()))


@pytest.mark.parametrize("output", ["uint8", "float"])
@pytest.mark.parametrize(("factor", "is_noticed"), [(None, False), (1e-7, False), (0.1, True)])
def test_a_file_with_other_images_is_an_error_and_is_not_kept(factor, is_noticed, output, tmp_path):
    run = untrained(*narrow("mlp"))
    run = TrainedRun(run.cfg, 0, run.image, Generator(Unstable(factor)), run.discriminator, run.noise)
    if is_noticed:
        with pytest.raises(ConfigError, match="differ"):
            export.export_generator(run, "torchscript", output, tmp_path / "file")
    else:
        export.export_generator(run, "torchscript", output, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ([] if is_noticed else ["file"])


class Fading(nn.Module):
    """A generator with random numbers, which torch.jit.trace takes for constants."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(7, 784)

    def forward(self, noise):
        return self.linear(noise).unflatten(1, (1, 28, 28)) + float(torch.rand(()))


def test_a_file_that_lost_its_random_numbers_is_an_error(tmp_path):
    run = untrained(*narrow("mlp"))
    run = TrainedRun(run.cfg, 0, run.image, Generator(Fading()), run.discriminator, run.noise)
    with pytest.raises(ConfigError, match="random"):
        export.export_generator(run, "torchscript", "float", tmp_path / "file")
    assert not any(tmp_path.iterdir())


class OneSize(nn.Module):
    """A generator whose file takes only batches of the size that it was traced with."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(7, 784)

    def forward(self, noise):
        return self.linear(noise).view(int(noise.shape[0]), 1, 28, 28)


def test_a_file_that_takes_one_size_of_batch_only_is_an_error(tmp_path):
    run = untrained(*narrow("mlp"))
    run = TrainedRun(run.cfg, 0, run.image, Generator(OneSize()), run.discriminator, run.noise)
    with pytest.raises(ConfigError, match=r"^format=torchscript: the file cannot be run: [^\n]*\.$"):
        export.export_generator(run, "torchscript", "float", tmp_path / "file")
    assert not any(tmp_path.iterdir())


class Refusing(nn.Module):
    def forward(self, noise):
        if noise.sum() > 0:
            noise = noise * 2
        return noise.new_zeros(len(noise), 1, 28, 28) + noise.mean()


def test_a_network_that_torch_cannot_export_is_one_sentence(tmp_path, capfd):
    run = untrained(*narrow("mlp"))
    run = TrainedRun(run.cfg, 0, run.image, Generator(Refusing()), run.discriminator, run.noise)
    with pytest.raises(ConfigError, match=r"^format=onnx: torch cannot export this generator: [^\n]*\.$"):
        export.export_generator(run, "onnx", "float", tmp_path / "file")
    assert not any(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_a_missing_package_is_one_sentence_with_what_to_install(monkeypatch, missing, tmp_path):
    monkeypatch.setattr(export, "is_installed", lambda name: name != missing)
    with pytest.raises(ConfigError, match=rf"needs {missing}; type pip install onnx onnxscript onnxruntime"):
        export.export_generator(untrained(*narrow("mlp")), "onnx", "uint8", tmp_path / "file")
    assert not any(tmp_path.iterdir())


def test_without_onnxruntime_the_file_is_written_and_nothing_claims_that_it_was_checked(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "is_installed", lambda name: name != "onnxruntime")
    check = export.export_generator(untrained(*narrow("mlp")), "onnx", "uint8", tmp_path / "file")
    assert "none" in check and "onnxruntime" in check and (tmp_path / "file").exists()


def test_the_packages_of_onnx_are_looked_for():
    assert export.is_installed("onnx") and not export.is_installed("no_such_package")


# Files of strangers


def change_recipe(path, change):
    """Change the YAML of a safetensors file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    metadata["generator"] = change(metadata["generator"])
    path.write_bytes(safetensors.torch.save(safetensors.torch.load(data), metadata))


CHANGES = {
    "model.generator._target_=os.system": lambda text: text.replace("gan.models.mlp.Generator", "os.system"),
    "model.generator._target_=own.G": lambda text: text.replace("gan.models.mlp.Generator", "own.G"),
    "trick.conditional._target_=subprocess.call": lambda text: text.replace(
        "gan.tricks.conditional.Conditional", "subprocess.call"
    ),
    "no resolved configuration": lambda text: text.replace("dim: 7", "dim: ${oc.env:HOME}"),
    "does not fit": lambda text: text.replace("dim: 7", "dim: 8"),
    "does not fit.": lambda text: text.replace("image:", "images:"),
    "no resolved": lambda text: "- 1",
    "must be a file of": lambda text: "",
}


@pytest.mark.parametrize("message", CHANGES)
def test_a_file_of_a_stranger_runs_no_code_of_theirs(message, tmp_path):
    path = tmp_path / "x.safetensors"
    export.export_generator(untrained(*narrow("mlp"), "trick=[conditional]"), "safetensors", "float", path)
    change_recipe(path, lambda text: text)
    generator_file.load_generator(path)
    change_recipe(path, CHANGES[message])
    with pytest.raises(ConfigError, match=message.rstrip(".")):
        generator_file.load_generator(path)


@pytest.mark.parametrize("content", [b"", b"not a file of tensors", safetensors.torch.save({"a": torch.zeros(1)})])
def test_another_file_is_a_config_error(content, tmp_path):
    (tmp_path / "x").write_bytes(content)
    for path in (tmp_path / "x", tmp_path):
        with pytest.raises(ConfigError, match="safetensors"):
            generator_file.load_generator(path)
    with pytest.raises(FileNotFoundError):
        generator_file.load_generator(tmp_path / "y")


# From a run


def exported(run, kind, *overrides):
    """The file that sample.py writes for a run."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("sample", overrides=[f"run={run}", "device=cpu", f"format={kind}", *overrides])
    return Path(program_file.sample_images(cfg).partition(" written to ")[2].partition(", with ")[0])


OWN = """
import torch
from torch import nn

class G(nn.Module):
    def __init__(self, image, noise_dim):
        super().__init__()
        self.shape, self.linear = (image.channels, image.size, image.size), nn.Linear(noise_dim, image.pixels)
        self.pixel_range = (0.0, 1.0)

    def forward(self, noise):
        return torch.sigmoid(self.linear(noise)).unflatten(1, self.shape)
"""


@pytest.mark.parametrize("kind", FORMATS)
def test_a_network_of_one_s_own_is_exported_and_its_weights_need_trust(tmp_path, monkeypatch, kind):
    (tmp_path / "own_export.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    cfg = composed("model.discriminator.hidden=[8]", "noise.dim=7")
    OmegaConf.update(cfg, "model.generator", {"_target_": "own_export.G"}, merge=False)
    generator, discriminator = build.build_networks(cfg, DIGITS)
    run = TrainedRun(cfg, 0, DIGITS, generator.eval(), discriminator.eval(), Noise("normal", 7))
    path = tmp_path / "file"
    assert "within 0.0001" in export.export_generator(run, kind, "float", path)
    settings = {"checkpoint": "last", "ema": True, "format": kind, "output": "float", "out": str(path)}
    card = write_card(run, tmp_path, Sampling.model_construct(**settings), "none").read_text("utf-8")
    assert ("trust=True" in card) == (kind == "safetensors") and "from 0 to 1" in card
    if kind == "safetensors":
        with pytest.raises(ConfigError, match="trust"):
            generator_file.load_generator(path)
        noise = torch.randn(3, 7)
        assert torch.equal(generator_file.load_generator(path, trust=True)(noise), generator(noise))


@pytest.mark.parametrize("ema", ["true", "false"])
def test_a_run_is_exported_with_its_ema_unless_that_is_turned_off(train_here, tmp_path, ema):
    train_here(tmp_path / "run", "train.max_steps=3", "noise.dim=5")
    path = exported(tmp_path / "run", "safetensors", f"ema={ema}")
    assert path == tmp_path / "run" / "generated" / f"generator{'' if ema == 'true' else '_no-ema'}.safetensors"
    images = {}
    noise = torch.randn(3, 5)
    for which in (True, False):
        images[which] = build.load_trained(tmp_path / "run", "last", which, CPU).generator(noise)
    found = generator_file.load_generator(path)(noise)
    assert torch.equal(found, images[ema == "true"]) and not torch.equal(found, images[ema != "true"])


@pytest.mark.parametrize(
    "overrides", [["class=3"], ["truncation=0.5"], ["out=x.png"], ["format=torchscript", "out=x.onnx"]]
)
def test_what_an_export_does_not_have_is_a_config_error(train_here, tmp_path, overrides):
    train_here(tmp_path, "train.max_steps=1", "trick=[conditional]")
    with pytest.raises(ConfigError, match=f"^{overrides[-1].partition('=')[0]}="):
        exported(tmp_path, "onnx", *overrides)
    assert not (tmp_path / "generated").exists()


def test_sample_py_says_where_the_generator_is_and_how_it_was_checked(train_here, program, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    done = program("sample.py", f"run={tmp_path}", "format=onnx", "device=cpu")
    path = tmp_path / "generated" / "generator.onnx"
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count("\n") == 1 and "generator of step 1" in done.stdout and f"written to {path}" in done.stdout
    assert "images within 0.0001" in done.stdout and "onnxruntime" in done.stdout
    assert sorted(each.name for each in path.parent.iterdir()) == ["generator.onnx", "generator.onnx.md"]
    images = load("onnx", path)(torch.randn(2, 100))
    assert images.shape == (2, 1, 28, 28) and np.ptp(images.numpy()) > 0
