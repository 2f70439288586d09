"""Checks of a composed configuration, before anything is built. Each error is one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import BaseModel

from gan.config import CONF
from gan.config.errors import ConfigError, UnknownSetting, first_line, format_value, invalid_value, unknown_setting
from gan.config.options import option_files, read_option
from gan.config.renamed import RENAMED
from gan.config.schema import CLASSIFIER, Evaluation, Inspection, Sampling, Settings, validated
from gan.config.suggestions import nearest_settings
from gan.config.targets import check_tree, references, trust_of

# The groups that name code, and the nodes in each; a trick's may have any name.
GROUPS = {
    "model": {"generator", "discriminator", "rates"},  # rates: learning rates for conf/optim, if the model has any
    "optim": {"generator", "discriminator", "schedule"},
    "loss": None,
    "trick": None,
    "dataset": None,
}
WITHOUT_RUN = ("images", "reference", "write_stats", "image_size")  # settings of gan.evaluate for other images
Model = TypeVar("Model", bound=BaseModel)


def check_config(cfg: DictConfig) -> Settings:
    """Check each setting's type and range, and each `_target_` node against the signature of its target.

    Returns the settings outside the groups. Raises ConfigError for the first error.
    """
    try:
        with suggestions(cfg):
            return check_settings(cfg)
    except ConfigError as error:
        message = str(error)
        for setting, number in trick_references(cfg):
            if message.startswith((f"{setting}=", f"{setting}:")):  # what the user may have typed is the trick's number
                raise ConfigError(number + message.removeprefix(setting)) from error
        raise


def check_settings(cfg: DictConfig) -> Settings:
    """`check_config`, where a setting that takes its value from a trick is called by its own name."""
    tree = resolve(cfg)
    settings = validate(Settings, {name: value for name, value in tree.items() if name not in GROUPS})
    for group, names in GROUPS.items():
        check_group(group, names, tree[group])
        check_tree(group, tree[group], trust_of(cfg))
    train = settings.train
    if train.epochs is None and train.max_steps is None:
        raise invalid_value("train.epochs", None, "a number of epochs where train.max_steps=null")
    if train.update == "simultaneous" and train.discriminator_steps > 1:
        requirement = "1 with train.update=simultaneous, which updates each player once"
        raise invalid_value("train.discriminator_steps", train.discriminator_steps, requirement)
    if train.update == "simultaneous" and train.reuse_fakes:
        requirement = "false with train.update=simultaneous, where both players have the same fake images anyway"
        raise invalid_value("train.reuse_fakes", True, requirement)
    if train.accumulate > 1 and train.reuse_fakes:
        requirement = f"false with train.accumulate={train.accumulate}, which keeps the fake images of one batch alone"
        raise invalid_value("train.reuse_fakes", True, requirement)
    check_tricks_used(cfg)
    return settings


def check_sampling(cfg: DictConfig) -> Sampling:
    """The settings of sample.py, checked."""
    with suggestions(cfg):
        return validate(Sampling, resolve(cfg))


def check_evaluation(cfg: DictConfig) -> Evaluation:
    """The settings of gan.evaluate, checked: also that they say what is compared with what."""
    with suggestions(cfg):
        settings = validate(Evaluation, resolve(cfg))
    if (typed := f"features={settings.features}") in RENAMED:
        raise ConfigError(RENAMED[typed])
    stats, written = settings.stats, settings.write_stats
    if settings.run and (wrong := next(filter(lambda name: getattr(settings, name), WITHOUT_RUN), None)):
        raise ConfigError(f"{wrong}: not with run=..., which is compared with its own dataset, or with stats=FILE.npz.")
    if not (settings.run or settings.images or (settings.reference and written)):
        raise ConfigError("run: missing; set it with run=RUN, or type images=FOLDER reference=mnist without a run.")
    if settings.images and not (settings.reference or stats or written):
        raise ConfigError("reference: missing; type reference=mnist, reference=FOLDER or stats=FILE.npz.")
    if settings.reference and stats:
        raise ConfigError(f"stats={stats}: not with reference=..., since images are compared with one of them.")
    if settings.features == CLASSIFIER and (stats or written):
        raise ConfigError(
            f"features={CLASSIFIER}: not with stats=... or write_stats=...; type features=inception, or features=PATH "
            "with a file of a network."
        )
    if written and (not written.lower().endswith(".npz") or len(settings.images) > 1):
        raise ConfigError(f"write_stats={written}: must be one file .npz, of the images of one folder.")
    return settings


def check_inspection(cfg: DictConfig) -> Inspection:
    """The settings of gan.data, checked, and the dataset against the code that it names."""
    with suggestions(cfg):
        tree = resolve(cfg)
        check_group("dataset", None, tree["dataset"])
        check_tree("dataset", tree["dataset"], True)
        return validate(Inspection, {name: value for name, value in tree.items() if name != "dataset"})


@contextmanager
def suggestions(cfg: DictConfig) -> Iterator[None]:
    """Add what was probably meant to an error for a setting that does not exist."""
    try:
        yield
    except UnknownSetting as error:
        tree: Any = OmegaConf.to_container(cfg, resolve=False)
        value = OmegaConf.select(cfg, error.setting, throw_on_resolution_failure=False)
        text = format_value(OmegaConf.to_container(value) if isinstance(value, Container) else value)
        others = remove(tree, error.setting.split("."))
        raise error.suggesting(nearest_settings(error.setting, text, others)) from error


def remove(tree: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """A tree of settings without one of them."""
    first, *rest = names
    if not rest:
        return {name: child for name, child in tree.items() if name != first}
    return tree | ({first: remove(tree[first], rest)} if isinstance(tree.get(first), dict) else {})


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """Plain dicts and lists, with every reference resolved. Raises ConfigError for what is missing."""
    try:
        tree = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: missing; set it with {error.full_key}=VALUE.") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'the configuration'}: {first_line(error)}.") from error
    return {str(name): value for name, value in tree.items()} if isinstance(tree, dict) else {}


def validate(schema: type[Model], values: dict[str, Any]) -> Model:
    """`values` as an instance of `schema`. Raises ConfigError for the first that does not fit."""
    return validated("", values, schema.model_validate_json)


def check_group(group: str, names: set[str] | None, node: Any) -> None:
    """Check that a group has the nodes that it should have."""
    if group in ("loss", "dataset") and not (isinstance(node, dict) and "_target_" in node):
        raise invalid_value(group, node, f"an option of {group}")
    if names is None and group != "trick":
        return
    nodes = node if isinstance(node, dict) else {}
    for name in [*sorted((names or set()) - {"rates"}), *nodes]:
        if names and name not in names:
            raise unknown_setting(f"{group}.{name}", sorted(names))
        if not isinstance(nodes.get(name), dict):
            raise invalid_value(f"{group}.{name}", nodes.get(name), "a group of settings")
        if names and name not in ("schedule", "rates") and "_target_" not in nodes[name]:
            raise ConfigError(f"{group}.{name}._target_: missing.")
    for name, entry in (nodes["schedule"] if group == "optim" else {}).items():
        if not (isinstance(entry, dict) and str(entry.get("_target_")).startswith("gan.optim.")):
            requirement = "a schedule, as in conf/optim/goodfellow2014.yaml"
            raise invalid_value(f"optim.schedule.{name}", entry, requirement)


def check_tricks_used(cfg: DictConfig) -> None:
    """Raise ConfigError for a trick's number without effect: the trick is no code, and no setting refers to it."""
    used = {number for _, number in trick_references(cfg)}
    for name, node in cfg.trick.items():
        unused = [f"trick.{name}.{key}" for key in node if f"trick.{name}.{key}" not in used]
        if "_target_" not in node and unused:
            if unused[0] in RENAMED:
                raise unknown_setting(unused[0])
            if runs_code(str(name)):
                raise UnknownSetting(unused[0], f"needs trick=[{name}]")
            raise ConfigError(f"{unused[0]}: has no effect, as {overriding_setting(cfg, str(name), unused[0])}.")


def runs_code(trick: str) -> bool:
    """Whether an option of trick is code, so that its numbers need the option."""
    return trick in option_files("trick") and "_target_" in read_option("trick", trick)["trick"].get(trick, {})


def overriding_setting(cfg: DictConfig, trick: str, number: str) -> str:
    """Which setting should have referred to a trick's number, and its value."""
    path = CONF / "trick" / f"{trick}.yaml"
    intended = dict(trick_references(OmegaConf.load(path))) if path.exists() else {}
    for setting, reference in intended.items():
        value = dict(trick_references(cfg)).get(setting) or OmegaConf.select(cfg, setting)
        if reference == number and value is not None:
            return f"{setting}={value}; remove that, or trick={trick}"
    return "no setting refers to it"


def trick_references(cfg: Container) -> list[tuple[str, str]]:
    """Each setting that takes its value from a trick, and the name of the trick's number."""
    return [(setting, number) for setting, number in references(cfg) if number.startswith("trick.")]
