"""init_from: a new run starts from the weights of another, and from nothing else of it."""

import shutil

import pytest
import torch

import gan
from gan.config.errors import ConfigError
from gan.training import checkpoint, loop
from gan.training.initial_weights import read_source, start_from
from tests.conftest import NARROW, TINY, read_status, same_weights, weights

DCGAN = ["model=dcgan", "dataset.image_size=16", *NARROW["dcgan"], "train.batch_size=8", "dataset.limit=64"]


def trained(make_run, folder, *overrides):
    """A run of a few steps in `folder`, whose EMA differs from its generator."""
    loop.train(make_run(*overrides, "train.max_steps=3", "watch.samples=4"), folder)
    return folder


def started(make_run, path, *overrides):
    """A run that has not made a step yet, with the weights at `path`."""
    run = make_run(*overrides)
    start_from(run, read_source(path))
    return run


def tensors(run):
    """The weights of a run, by the names of `tests.conftest.weights`."""
    parts = {"generator": run.generator, "discriminator": run.players.discriminator.network, "ema": run.ema.network}
    return {f"{part}.{name}": tensor for part, it in parts.items() for name, tensor in it.state_dict().items()}


@pytest.fixture
def dcgan(make_run, tmp_path):
    return trained(make_run, tmp_path / "dcgan", *DCGAN)


def test_a_run_starts_from_all_weights_of_the_same_networks_and_from_no_state_of_the_optimizers(make_run, dcgan):
    run, before = started(make_run, dcgan, *DCGAN, "loss=hinge", "optim=sgd"), weights(dcgan)
    after = tensors(run)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert not torch.equal(after["ema.layers.1.weight"], after["generator.layers.1.weight"])
    assert run.step == 0 and not any(player.optimizer.state for player in run.players)
    assert not run.ema.warms_up


def test_a_checkpoint_file_and_a_generator_file_do_as_well(make_run, dcgan, tmp_path):
    from_file = started(make_run, dcgan / "checkpoints" / "last.pt", *DCGAN)
    assert all(torch.equal(value, weights(dcgan)[name]) for name, value in tensors(from_file).items())
    exported = gan.load(dcgan).export(tmp_path / "g.safetensors")
    fresh, run = make_run(*DCGAN), started(make_run, exported, *DCGAN)
    before, after = gan.load(dcgan).generator.state_dict(), run.generator.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(torch.equal(a, b) for a, b in zip(run.ema.weights, run.generator.parameters(), strict=True))
    pairs = zip(run.players.discriminator.parameters, fresh.players.discriminator.parameters, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)  # the file has no discriminator


def test_layers_of_another_shape_are_named_and_keep_their_own_initial_weights(make_run, dcgan, caplog):
    caplog.set_level("INFO")
    changed = [*DCGAN, "noise.dim=7", "trick=[conditional,minibatch_stddev]"]
    fresh, run = make_run(*changed), started(make_run, dcgan, *changed)
    after, initial, before = tensors(run), tensors(fresh), weights(dcgan)
    anew = ["generator.layers.1.weight", "discriminator.logit.1.weight", "discriminator.label_projection.weight"]
    for name, value in after.items():
        is_anew = name in (*anew, "generator.label_embedding.weight") or name.startswith(("ema.layers.1.", "ema.label"))
        assert torch.equal(value, initial[name] if is_anew else before[name]), name
    text = " ".join(" ".join(record.message.split()) for record in caplog.records)
    for name in ("layers.1 (17x8x4x4; there 100x8x4x4)", "label_projection", "logit.1"):
        assert name in text
    assert run.ema.warms_up  # whose initial weights are to be forgotten, as some are random


@pytest.mark.parametrize("change", ["model.discriminator.dropout=0.3", "trick=[packing]", "trick=[spectral_norm]"])
def test_a_layer_keeps_its_place_where_one_without_weights_or_a_norm_comes_before_it(make_run, dcgan, change):
    run, before = started(make_run, dcgan, *DCGAN, change), weights(dcgan)
    last = [value for name, value in before.items() if name.startswith("discriminator.logit")]
    logit = run.players.discriminator.network.logit[0]
    assert torch.equal(logit.parametrizations.weight.original if "spectral" in change else logit.weight, last[0])
    names = [name for name in before if name.startswith("discriminator.features") and "weight" in name]
    convs = [layer for layer in run.players.discriminator.network.features if isinstance(layer, torch.nn.Conv2d)]
    second = [before[name] for name in names if before[name].dim() == 4][1]
    parametrized = convs[1].parametrizations.weight.original if "spectral" in change else convs[1].weight
    assert torch.equal(parametrized, second)


def test_the_tenth_layer_of_a_generator_file_comes_after_the_second(make_run, tmp_path):
    deep = ["model.generator.hidden=[8,8,8,8,8]"]
    folder = trained(make_run, tmp_path / "deep", *deep)
    exported = gan.load(folder).export(tmp_path / "g.safetensors")
    run = started(make_run, exported, *deep)
    before = gan.load(folder).generator.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in run.generator.state_dict().items())


def test_bfloat16_copies_have_the_weights_too(make_run, dcgan):
    run = started(make_run, dcgan, *DCGAN, "precision=bf16")
    for player in run.players:
        assert all(torch.equal(weight.bfloat16(), copy) for weight, copy in player.copies)


def test_a_run_of_which_nothing_fits_is_one_sentence(make_run, dcgan):
    with pytest.raises(ConfigError, match="init_from"):
        start_from(make_run(*NARROW["mlp"]), read_source(dcgan))


@pytest.mark.parametrize("kind", ["missing", "text.pt", "text.safetensors", "folder", "link", "old"])
def test_what_is_no_run_is_one_sentence(dcgan, tmp_path, kind):
    path = tmp_path / kind
    if kind.startswith("text"):
        path.write_text("no weights")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        shutil.copytree(dcgan, path)
        (path / "notes").symlink_to(tmp_path)
    elif kind == "old":
        torch.save(checkpoint.load(dcgan) | {"format": 1}, path)
    with pytest.raises(ConfigError, match=kind):
        read_source(path)


@pytest.mark.slow
def test_it_is_recorded_and_resuming_needs_the_first_run_no_more(train, tmp_path):
    first, second, unbroken = tmp_path / "first", tmp_path / "second", tmp_path / "unbroken"
    assert train(f"hydra.run.dir={first}", "train.max_steps=3").returncode == 0
    for folder, steps in ((unbroken, 6), (second, 3)):
        assert train(f"hydra.run.dir={folder}", f"init_from={first}", f"train.max_steps={steps}").returncode == 0
    first.rename(tmp_path / "away")
    assert train(f"resume={second}", "train.max_steps=6").returncode == 0
    assert same_weights(second, unbroken)
    assert checkpoint.parse_config(checkpoint.load(second)["config"])["init_from"] == str(first)
    gone = train(f"hydra.run.dir={tmp_path / 'third'}", f"init_from={first}", "train.max_steps=3")
    assert gone.returncode == 1 and gone.is_clean_exit() and "init_from" in gone.stderr
    assert read_status(tmp_path / "third")["state"] == "refused"


def test_python_takes_it_too(cache, tmp_path):
    settings = [*TINY, f"cache_dir={cache}", "train.max_steps=2"]
    first = gan.train(*settings, folder=tmp_path / "first")
    second = gan.train(*settings, f"init_from={first.folder}", folder=tmp_path / "second")
    assert second.step == 2 and second.config["init_from"] == str(first.folder)


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_weights_of_a_kind_that_no_layer_has_are_one_sentence(make_run, dcgan, tmp_path):
    state = checkpoint.load(dcgan)
    state["generator"] = {name: tensor.float().to_sparse() for name, tensor in state["generator"].items()}
    torch.save(state, tmp_path / "strange.pt")
    with pytest.raises(ConfigError, match=r"strange\.pt"):
        start_from(make_run(*DCGAN), read_source(tmp_path / "strange.pt"))
