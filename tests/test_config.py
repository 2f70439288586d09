"""conf/ and the code agree, and all that can be combined runs."""

import ast
import functools
import inspect
from itertools import combinations_with_replacement

import pytest
import torch
from hydra.utils import get_class, get_object
from omegaconf import OmegaConf
from PIL import Image

from gan.config import check
from gan.config.errors import ConfigError
from gan.config.schema import Settings
from gan.training import build, loop
from gan.tricks.base import Trick
from tests.conftest import CONF, NARROW, ROOT, composed, narrow, options

GROUPS = [(group, option) for group in ("model", "optim", "loss", "dataset", "trick") for option in options(group)]


def nodes(tree, path=""):
    """Every node with a `_target_`."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield path, tree
        for name, child in tree.items():
            yield from nodes(child, f"{path}.{name}")


@pytest.mark.parametrize(("group", "option"), GROUPS)
def test_yaml_lists_every_tunable_argument(group, option):
    chosen = f"{group}=[{option}]" if group == "trick" else f"{group}={option}"
    tree = OmegaConf.to_container(composed(chosen)[group], resolve=group != "dataset")
    for path, node in nodes(tree, group):
        target = get_object(node["_target_"])
        if not target.__module__.startswith("gan"):
            continue
        tunable = {
            name
            for name, parameter in inspect.signature(target).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        assert set(node) - {"_target_", "_partial_"} == tunable, path


def test_the_settings_and_their_schema_have_the_same_names():
    cfg = composed()
    assert set(cfg) - set(check.GROUPS) == set(Settings.model_fields)


@pytest.mark.parametrize("module", sorted((ROOT / "gan" / "models").glob("*.py")), ids=lambda path: path.stem)
def test_everything_public_in_a_model_has_a_docstring(module):
    tree = ast.parse(module.read_text())
    public = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")
    ]
    missing = [node.name for node in public if node.name != "forward" and not ast.get_docstring(node)]
    assert not missing


# From the ground up: a module may import from its own folder, and from what stands in an earlier row.
LAYERS = [
    {"config"},
    {"system"},
    {"losses", "numerics", "optim", "noise"},
    {"player", "data"},
    {"models"},
    {"sampling", "tricks"},
    {"metrics"},
    {"cli"},
    {"step", "report"},
    {"training"},
    {"evaluate"},
]


def layer_of(module: str) -> int:
    """The row of LAYERS that a module such as `cli.jobs` stands in."""
    return next(number for number, row in enumerate(LAYERS) if module.split(".")[0] in row)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "gan":
            for alias in node.names:
                parts = [*node.module.split("."), alias.name][1:]
                here = ROOT.joinpath("gan", *parts)
                yield ".".join(parts if here.with_suffix(".py").exists() else parts[:-1])


MODULES = {
    ".".join(path.relative_to(ROOT / "gan").with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "gan").rglob("*.py")
    if path != ROOT / "gan" / "__init__.py"
}


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    for other in imported(MODULES[name]):
        same_folder = other.split(".")[0] == name.split(".")[0]
        assert same_folder or layer_of(other) < layer_of(name), other


def test_hydra_stays_at_the_door():
    knows = {path.stem for path in (ROOT / "gan").rglob("*.py") if "hydra" in path.read_text().replace("`hydra", "")}
    assert knows <= {"overrides", "messages", "jobs", "check", "build", "evaluate", "runs", "claim_results"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", options("model"))
def test_every_model_trains_on_images_of_its_users(tmp_path, cache, model, channels):
    for number in range(4):
        pixels = torch.randint(256, (14, 20, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{number}.png")
    own = ["dataset=image_folder", f"dataset.path={tmp_path}", f"dataset.channels={channels}", "dataset.image_size=12"]
    cfg = composed(*own, f"cache_dir={cache}", "device=cpu", "train.batch_size=2", f"model={model}", *narrow(model))
    run = build.build_run(cfg, check.check_config(cfg), {})
    loop.training_step(run)
    assert run.players.generator.generate(torch.randn(2, 100)).shape == (2, channels, 12, 12)


@functools.cache
def without_tricks(model, cache):
    few = ["dataset.count=640", "dataset.limit=64", "dataset.image_size=8", "train.batch_size=8", "train.max_steps=10"]
    cfg = composed(f"model={model}", "trick=[]", "device=cpu", f"cache_dir={cache}", *few, *narrow(model))
    OmegaConf.set_struct(cfg, False)
    return cfg


def with_tricks(model, cache, names):
    """What Hydra makes of trick=[...], in a tenth of the time: each of these files is laid over the configuration."""
    return OmegaConf.merge(
        without_tricks(model, cache), *(OmegaConf.load(CONF / "trick" / f"{name}.yaml") for name in names)
    )


@functools.cache
def option(group, name):
    """What a group has where this is chosen; groups do not know of each other."""
    return composed(f"{group}={name}", "trick=[]")[group]


# Every model with every loss, and either with every optimiser.
TOGETHER = [
    (model, loss, options("optim")[(number + other) % len(options("optim"))])
    for number, model in enumerate(options("model"))
    for other, loss in enumerate(options("loss"))
]


@pytest.mark.parametrize(("model", "loss", "optim"), TOGETHER)
def test_every_model_loss_and_optimiser_run_together(cache, model, loss, optim):
    names = ["weight_clipping"] if loss == "wasserstein" else []  # it needs something like that
    cfg = with_tricks(model, cache, names)
    cfg.loss, cfg.optim = option("loss", loss), option("optim", optim)
    run = build.build_run(cfg, check.check_config(cfg), {})
    for _ in range(2):
        numbers = loop.training_step(run)
        run.step += 1
    assert numbers.keys() >= {"discriminator/loss", "generator/loss", "discriminator/real", "generator/fake"}


def test_tricks_laid_over_a_configuration_are_as_hydra_composes_them(cache):
    for names in (["r1"], ["label_smoothing", "instance_noise", "two_time_scale"]):
        asked = OmegaConf.to_container(with_tricks("mlp", cache, names), resolve=True)
        few = [
            "dataset.count=640",
            "dataset.limit=64",
            "dataset.image_size=8",
            "train.batch_size=8",
            "train.max_steps=10",
        ]
        whole = composed(f"trick=[{','.join(names)}]", "device=cpu", f"cache_dir={cache}", *few, *narrow("mlp"))
        assert OmegaConf.to_container(whole, resolve=True) == asked


def changes_networks(trick):
    node = OmegaConf.load(CONF / "trick" / f"{trick}.yaml").get("trick", {}).get(trick, {})
    kind = get_class(node._target_) if "_target_" in node else Trick
    return kind.modify_networks is not Trick.modify_networks


PAIRS = list(combinations_with_replacement(options("trick"), 2))
CONVOLUTIONAL = [(*pair, "dcgan") for pair in PAIRS if all(map(changes_networks, pair))]


PENALTIES = ["dragan", "r1", "r2", "wgan_gp"]
REFUSED = {  # what makes no sense together
    "conditional": ["packing", "replay"],
    "minibatch_discrimination": PENALTIES,
    "r1": ["dragan", "wgan_gp"],  # a slope of 0 and one of 1
    "r2": ["dragan", "wgan_gp"],
    "separate_batches": PENALTIES,  # BatchNorm and a penalty
    "soft_labels": ["label_smoothing"],
    "weight_clipping": [*PENALTIES, "spectral_norm"],
}


@pytest.mark.parametrize(("one", "other", "model"), [(*pair, "mlp") for pair in PAIRS] + CONVOLUTIONAL)
def test_every_pair_of_tricks_runs_or_is_refused_in_words(cache, one, other, model):
    cfg = with_tricks(model, cache, dict.fromkeys((one, other)))
    if "separate_batches" in (one, other):
        cfg.model.discriminator.norm = "batch"
    if other in REFUSED.get(one, ()) or one in REFUSED.get(other, ()):
        with pytest.raises(ConfigError, match=r"^[^\n]*\.$"):
            build.build_run(cfg, check.check_config(cfg), {})
        return
    run = build.build_run(cfg, check.check_config(cfg), {})
    for _ in range(2):
        loop.training_step(run)
        run.step += 1
    assert not loop.find_non_finite(run)


@pytest.mark.parametrize("trick", options("trick"))
def test_a_d_with_batch_norm_takes_every_trick_but_a_penalty(make_run, trick):
    chosen = ["model=dcgan", f"trick=[{trick}]", "dataset.image_size=16", *NARROW["dcgan"]]
    if trick in ("r1", "r2", "wgan_gp", "dragan"):
        with pytest.raises(ConfigError, match=r"model\.discriminator\.norm=none"):
            make_run(*chosen)
        return
    loop.training_step(make_run(*chosen))


@pytest.mark.parametrize("trick", options("trick"))
def test_every_trick_runs_in_half_precision(make_run, trick):
    norm = [] if trick != "separate_batches" else ["model.discriminator.norm=batch"]
    run = make_run("precision=bf16", f"trick=[{trick}]", "dataset.image_size=8", *NARROW["mlp"], *norm)
    for _ in range(2):
        loop.training_step(run)
        run.step += 1
    assert not loop.find_non_finite(run)


def test_every_trick_has_a_place_in_the_ablation():
    found = {path.stem for path in (ROOT / "conf" / "experiment" / "trick").glob("*.yaml")}
    assert found == {*options("trick"), "none", "mixed_batches"}
    for name in sorted(found):
        check.check_config(composed(f"experiment=trick/{name}"))


@pytest.mark.parametrize("separate", [True, False])
def test_separate_batches_is_what_d_sees(make_run, separate):
    run = make_run("model=dcgan", f"train.separate_batches={separate}", "dataset.image_size=16", *NARROW["dcgan"])
    seen = []
    run.players.discriminator.working.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    loop.training_step(run)
    assert seen == ([8, 8, 8] if separate else [16, 8])


@pytest.mark.parametrize("trick", ["label_smoothing", "soft_labels"])
def test_targets_are_refused_by_a_loss_that_has_none(trick):
    with pytest.raises(ConfigError, match=rf"trick\.{trick}\.(real|fake)_target is not known to NaiveLog"):
        check.check_config(composed("loss=naive_log", f"trick=[{trick}]"))


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (["loss=wasserstein"], "Wasserstein's loss falls for ever unless something bounds D's slope"),
        (["loss=hinge", "trick=[label_smoothing]"], "trick.label_smoothing.real_target is not known to Hinge"),
        (["trick=[wgan_gp,r1]"], "want D to be flat, .* choose the ones"),
        (["trick=[spectral_norm,weight_clipping]"], "change next to nothing, as trick=spectral_norm"),
        (["trick=[weight_clipping,wgan_gp]"], "weight_clipping and a penalty .* choose one"),
        (["model=residual", "trick=[spectral_norm]"], "some that begin at 0"),
        (["trick=[r1,minibatch_discrimination]"], "minibatch_discrimination lets D compare .* choose one"),
        (["trick=[track_failures]", "train.batch_size=1"], r"train\.batch_size should be 2 or more"),
        (
            [
                "trick=[conditional]",
                "train.reuse_fakes=true",
                "train.update=generator_first",
                "train.discriminator_steps=2",
            ],
            "the same fakes beside images of other classes",
        ),
        (["train.update=simultaneous", "train.reuse_fakes=true"], "reuse_fakes=true would change nothing"),
        (["trick=[separate_batches]"], "separate_batches=true would change nothing"),
        (
            ["trick=[soft_labels]", "loss=relativistic"],
            "trick.soft_labels.(real|fake)_target is not known to Relativistic",
        ),
        (["model=dcgan", "trick=[r1]"], "BatchNorm mixes the images .* model.discriminator.norm=none"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(make_run, chosen, reason):
    with pytest.raises(ConfigError, match=reason):
        make_run(*chosen)


@pytest.mark.parametrize("trick", ["weight_clipping", "spectral_norm", "r1", "r2", "wgan_gp", "dragan"])
def test_whatever_bounds_the_slope_will_do_for_wasserstein(make_run, trick):
    loop.training_step(
        make_run(
            "loss=wasserstein", f"trick=[{trick}]", "model=dcgan", "model.discriminator.norm=none", *NARROW["dcgan"]
        )
    )


def test_check_needs_no_data():
    check.check_config(composed("dataset=mnist", "data_dir=/nowhere"))


def test_a_resumed_run_is_built_from_the_text_in_its_checkpoint(make_run):
    run = make_run("trick=[ema,label_smoothing]")
    again = OmegaConf.create(run.config)
    assert again.train.ema_decay == 0.999 and again.loss.real_target == 0.9
    assert build.build_noise(again) == run.noise
