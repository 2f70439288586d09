"""All that can be combined trains for two steps, or gets a ConfigError that names the settings."""

import functools
from itertools import combinations_with_replacement

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf
from PIL import Image

from gan.config import check
from gan.config.errors import ConfigError
from gan.models.layers import has_batch_norm
from gan.training import build, loop
from gan.tricks.base import Trick
from tests.conftest import CONF, IMAGE_MODELS, NARROW, composed, narrow, options


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_every_model_trains_on_a_users_own_images(tmp_path, cache, model, channels):
    for number in range(4):
        pixels = torch.randint(256, (14, 20, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{number}.png")
    own = ["dataset=image_folder", f"dataset.path={tmp_path}", f"dataset.channels={channels}", "dataset.image_size=12"]
    cfg = composed(*own, f"cache_dir={cache}", "device=cpu", "train.batch_size=2", f"model={model}", *narrow(model))
    run = build.build_run(cfg, check.check_config(cfg), {})
    loop.training_step(run)
    assert run.players.generator.generate(torch.randn(2, 100)).shape == (2, channels, 12, 12)


FEW = ["dataset.count=640", "dataset.limit=64", "dataset.image_size=8", "train.batch_size=8", "train.max_steps=10"]


@functools.cache
def without_tricks(model, cache):
    cfg = composed(f"model={model}", "trick=[]", "device=cpu", f"cache_dir={cache}", *FEW, *narrow(model))
    OmegaConf.set_struct(cfg, False)
    return cfg


@functools.cache
def trick_file(name):
    file = OmegaConf.load(CONF / "trick" / f"{name}.yaml")
    if name == "clusters":
        file.trick.clusters.count = 8  # as in tests.conftest.composed
    return file


def with_tricks(model, cache, names):
    """What Hydra composes for trick=[...], in a tenth of the time: the tricks' files are merged into a configuration."""
    return OmegaConf.merge(without_tricks(model, cache), *map(trick_file, names))


@functools.cache
def option(group, name):
    """A group's node where `name` is chosen; groups do not depend on each other."""
    return composed(f"{group}={name}", "trick=[]")[group]


# Every model with every loss, and both with every optimizer.
TOGETHER = [
    (model, loss, options("optim")[(number + other) % len(options("optim"))])
    for number, model in enumerate(IMAGE_MODELS)
    for other, loss in enumerate(options("loss"))
]


@pytest.mark.parametrize(("model", "loss", "optim"), TOGETHER)
def test_every_model_loss_and_optimizer_train_together(cache, model, loss, optim):
    names = ["weight_clipping"] if loss == "wasserstein" else []  # it requires a Lipschitz constraint
    cfg = with_tricks(model, cache, names)
    cfg.loss, cfg.optim = option("loss", loss), option("optim", optim)
    run = build.build_run(cfg, check.check_config(cfg), {})
    for _ in range(2):
        numbers = loop.training_step(run)
        run.step += 1
    assert numbers.keys() >= {"discriminator/loss", "generator/loss", "discriminator/real", "generator/fake"}


def test_the_tests_configurations_are_as_hydra_composes_them(cache):
    for names in (["r1", "instance_noise"], ["label_smoothing", "instance_noise", "two_time_scale"]):
        values = ["device=cpu", f"cache_dir={cache}", *FEW, *narrow("mlp")]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            expected = compose("train", overrides=["model=mlp", f"trick=[{','.join(names)}]", *values])
        assert composed("model=mlp", f"trick=[{','.join(names)}]", *values) == expected
        assert with_tricks("mlp", cache, names) == expected


def changes_networks(trick):
    """Whether a trick edits the layers of a network."""
    node = trick_file(trick).get("trick", {}).get(trick, {})
    kind = get_class(node._target_) if "_target_" in node else Trick
    return kind.modify_networks is not Trick.modify_networks


PAIRS = list(combinations_with_replacement(options("trick"), 2))
CONVOLUTIONAL = [
    pytest.param(*pair, "dcgan", marks=pytest.mark.slow) for pair in PAIRS if all(map(changes_networks, pair))
]


PENALTIES = ["dragan", "r1", "r2", "wgan_gp"]
INCOMPATIBLE = {
    "clusters": ["conditional", "infogan", "packing", "replay", "unrolled"],
    "conditional": ["packing", "replay", "unrolled"],
    "feature_matching": ["unrolled"],
    "infogan": ["packing", "replay"],
    "minibatch_discrimination": PENALTIES,
    "r1": ["dragan", "wgan_gp"],  # gradient norms of 0 and of 1
    "r2": ["dragan", "wgan_gp"],
    "separate_batches": PENALTIES,  # BatchNorm and a penalty
    "soft_labels": ["label_smoothing"],
    "weight_clipping": [*PENALTIES, "spectral_norm"],
}


@pytest.mark.parametrize(("one", "other", "model"), [(*pair, "mlp") for pair in PAIRS] + CONVOLUTIONAL)
def test_every_pair_of_tricks_trains_or_gets_one_sentence(cache, one, other, model):
    cfg = with_tricks(model, cache, dict.fromkeys((one, other)))
    if "separate_batches" in (one, other):
        cfg.model.discriminator.norm = "batch"
    if other in INCOMPATIBLE.get(one, ()) or one in INCOMPATIBLE.get(other, ()):
        with pytest.raises(ConfigError, match=r"^[^\n]*\.$"):
            build.build_run(cfg, check.check_config(cfg), {})
        return
    run = build.build_run(cfg, check.check_config(cfg), {})
    for _ in range(2):
        loop.training_step(run)
        run.step += 1
    assert not loop.find_non_finite(run)


@pytest.mark.parametrize("trick", options("trick"))
@pytest.mark.slow
def test_a_discriminator_has_batch_norm_with_every_trick_but_a_gradient_penalty(make_run, trick):
    chosen = ["model=dcgan", f"trick=[{trick}]", "dataset.image_size=16", *NARROW["dcgan"]]
    run = make_run(*chosen)
    loop.training_step(run)
    assert has_batch_norm(run.players.discriminator.network) == (trick not in PENALTIES)
    if trick in PENALTIES:
        with pytest.raises(ConfigError, match=r"model\.discriminator\.norm=none"):
            make_run(*chosen, "model.discriminator.norm=batch")


@pytest.mark.parametrize("trick", options("trick"))
@pytest.mark.slow
def test_every_trick_trains_in_bf16(make_run, trick):
    norm = [] if trick != "separate_batches" else ["model.discriminator.norm=batch"]
    run = make_run("precision=bf16", f"trick=[{trick}]", "dataset.image_size=8", *NARROW["mlp"], *norm)
    for _ in range(2):
        loop.training_step(run)
        run.step += 1
    assert not loop.find_non_finite(run)


@pytest.mark.parametrize("separate", [True, False])
def test_the_discriminator_gets_separate_or_mixed_batches_as_set(make_run, separate):
    run = make_run("model=dcgan", f"train.separate_batches={separate}", "dataset.image_size=16", *NARROW["dcgan"])
    seen = []
    run.players.discriminator.working.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    loop.training_step(run)
    assert seen == ([8, 8, 8] if separate else [16, 8])


@pytest.mark.parametrize("trick", ["weight_clipping", "spectral_norm", "r1", "r2", "wgan_gp", "dragan"])
def test_each_lipschitz_constraint_suffices_for_the_wasserstein_loss(make_run, trick):
    loop.training_step(
        make_run(
            "loss=wasserstein", f"trick=[{trick}]", "model=dcgan", "model.discriminator.norm=none", *NARROW["dcgan"]
        )
    )


def test_a_resumed_run_is_built_from_the_text_in_its_checkpoint(make_run):
    run = make_run("trick=[label_smoothing]")
    again = OmegaConf.create(run.config)
    assert again.loss.real_target == 0.9
    assert build.build_noise(again) == run.noise
