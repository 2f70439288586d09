"""The configuration, checked before anything is built: what is wrong is said in one sentence."""

import inspect
import json
import pkgutil
import re
import typing
from collections.abc import Iterator
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gan.config import CONF
from gan.config.errors import ConfigError, first_line
from gan.config.schema import Evaluation, Sampling, Settings

# The groups that name code, and what each has in it; a trick may be called anything.
GROUPS = {
    "model": {"generator", "discriminator"},
    "optim": {"generator", "discriminator", "schedule"},
    "loss": None,
    "trick": None,
    "dataset": None,
}
OURS = ("gan.", "torch.nn.", "torch.optim.")  # where a `_target_` may lie, so that no config can run other code
Model = TypeVar("Model", bound=BaseModel)
WORDS = {  # pydantic's, and ours
    r", got a number with a fractional part": "",
    r"a valid integer|integer": "a whole number",
    r"a valid boolean": "true or false",
    r"a valid array": "a list",
    r"an object": "settings with names",
    r"a valid ": "a ",
}
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def check_config(cfg: DictConfig) -> Settings:
    """Hold every setting against its type and range, and every `_target_` node against its signature.

    Returns the settings outside the groups. Raises ConfigError with the first thing that is wrong.
    """
    try:
        return check_settings(cfg)
    except ConfigError as error:
        said = str(error)
        for setting, number in trick_references(cfg):
            if said.startswith((f"{setting}=", f"{setting} ")):  # what was typed, if anything, is the trick's number
                raise ConfigError(number + said.removeprefix(setting)) from error
        raise


def check_settings(cfg: DictConfig) -> Settings:
    """The same, where a setting that takes its value from a trick goes by its own name."""
    tree = resolve(cfg)
    settings = validate(Settings, {name: value for name, value in tree.items() if name not in GROUPS})
    for group, names in GROUPS.items():
        check_group(group, names, tree[group])
    if settings.train.update == "simultaneous" and settings.train.discriminator_steps > 1:
        raise ConfigError(
            f"train.discriminator_steps={settings.train.discriminator_steps} is not possible with "
            "train.update=simultaneous, which moves each player once: it should be 1."
        )
    if settings.train.update == "simultaneous" and settings.train.reuse_fakes:
        raise ConfigError(
            "train.reuse_fakes=true would change nothing with train.update=simultaneous, where both players move on "
            "the same fakes."
        )
    check_tricks_used(cfg)
    return settings


def check_sampling(cfg: DictConfig) -> Sampling:
    """The same for sample.py."""
    return validate(Sampling, resolve(cfg))


def check_evaluation(cfg: DictConfig) -> Evaluation:
    """The same for gan.evaluate."""
    tree = resolve(cfg)
    return validate(Evaluation, tree | {"run": tree["run"] if isinstance(tree["run"], list) else [tree["run"]]})


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """Plain dicts and lists, with every reference followed. Raises ConfigError for what is missing."""
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key} is not set: say {error.full_key}=...") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'the configuration'} cannot be read: {first_line(error)}.") from error


def validate(schema: type[Model], values: dict[str, Any]) -> Model:
    """`values` as `schema` has them. Raises ConfigError for the first that does not fit."""
    try:
        return schema.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise ConfigError(error_message("", error)) from error


def check_group(group: str, names: set[str] | None, node: Any) -> None:
    """Check that a group has what it should, and every `_target_` in it."""
    for name in sorted(names or ()):
        if not isinstance(node, dict) or not isinstance(node.get(name), dict):
            raise ConfigError(f"{group}.{name} should be settings with names; choose {group}=... or set one of them.")
    if names is not None and (unknown := node.keys() - names):
        raise ConfigError(f"{group}.{min(unknown)} is not a setting; there are {', '.join(sorted(names))}.")
    if group in ("loss", "dataset") and not (isinstance(node, dict) and "_target_" in node):
        raise ConfigError(f"{group}={format_value(node)} is not possible: it should be one of the options of {group}.")
    for name, entry in (node["schedule"] if group == "optim" else {}).items():
        if not (isinstance(entry, dict) and str(entry.get("_target_")).startswith("gan.optim.")):
            raise ConfigError(
                f"optim.schedule.{name}={format_value(entry)} should be as in conf/optim/goodfellow2014.yaml."
            )
    for name, entry in (node if group == "trick" and node else {}).items():
        if not isinstance(entry, dict):
            raise ConfigError(f"trick.{name}={format_value(entry)} is not possible: it should be settings with names.")
    check_tree(group, node)


def check_tree(path: str, node: Any) -> None:
    """Check every node with a `_target_` at or below `path`."""
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        check_node(path, node)
    for name, child in node.items():
        check_tree(f"{path}.{name}", child)


def check_node(path: str, node: dict[str, Any]) -> None:
    """Raise ConfigError unless the callable that `_target_` names takes these arguments.

    Keyword-only arguments are the configuration's and must all be there, as must all of a layer of torch's; the others
    are given by the code.
    """
    where = str(node["_target_"])
    try:
        target = pkgutil.resolve_name(where) if where.startswith(OURS) and ":" not in where else None
        if not getattr(target, "__module__", "").startswith(OURS):
            raise ConfigError(f"{path}._target_={where} is not allowed: it should be in gan, torch.nn or torch.optim.")
        parameters = inspect.signature(target).parameters
        hints = typing.get_type_hints(target.__init__ if isinstance(target, type) else target, include_extras=True)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{path}._target_={where} cannot be used: {first_line(error)}.") from error
    given = {name: value for name, value in node.items() if name not in ("_target_", "_partial_")}
    wanted = [inspect.Parameter.KEYWORD_ONLY]
    if where.startswith("torch.nn."):
        wanted.append(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    name = target.__name__
    for key, value in given.items():
        if key not in parameters:
            allowed = ", ".join(parameter for parameter in parameters if parameter not in ("args", "kwargs"))
            raise ConfigError(f"{path}.{key} is not known to {name}, which takes {allowed or 'nothing'}.")
        if key in hints and not (isinstance(value, dict) and "_target_" in value):
            check_value(f"{path}.{key}", hints[key], value)
    for key, parameter in parameters.items():
        if parameter.kind in wanted and parameter.default is parameter.empty and key not in given:
            raise ConfigError(f"{path}.{key} is missing: {name} needs it.")


def check_value(path: str, hint: Any, value: Any) -> None:
    """Raise ConfigError unless `value`, as YAML has it, is of the type and in the range that `hint` names."""
    try:
        adapter = TypeAdapter(hint, config=STRICT)
    except Exception:  # a type that pydantic does not know, such as a tensor: nothing to hold it against
        return
    try:
        adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        raise ConfigError(error_message(path, error)) from error


def error_message(path: str, error: ValidationError) -> str:
    """What came and what is allowed, from pydantic's first complaint (all of them, for a choice of types)."""
    details = error.errors()
    # Where several types are allowed, pydantic puts the name of the one it tried into the place.
    tried = re.compile(r"constrained|function|list\[|tuple\[|int$|float$|str$|none$|literal\[|callable")
    place = [str(part) for part in details[0]["loc"] if not tried.match(str(part))]
    name = ".".join([path, *place] if path else place)
    if details[0]["type"] == "extra_forbidden":
        return f"{name} is not a setting of this project."
    if details[0]["type"] == "missing":
        return f"{name} is missing."
    same = [detail for detail in details if detail["loc"][:1] == details[0]["loc"][:1]]
    wanted = " or ".join(dict.fromkeys(detail["msg"].removeprefix("Input should be ") for detail in same))
    for theirs, ours in WORDS.items():
        wanted = re.sub(theirs, ours, wanted)
    return f"{name}={format_value(details[0]['input'])} is not possible: it should be {wanted}."


def format_value(value: Any) -> str:
    """A value as it stands on the command line."""
    return str(value) if isinstance(value, str) else json.dumps(value)


def check_tricks_used(cfg: DictConfig) -> None:
    """A trick is alive if it runs code, or if some setting still points at each of its numbers."""
    alive = {number for _, number in trick_references(cfg)}
    for name, node in cfg.trick.items():
        dead = [f"trick.{name}.{number}" for number in node if f"trick.{name}.{number}" not in alive]
        if "_target_" not in node and dead:
            raise ConfigError(f"{dead[0]} would change nothing: {set_elsewhere(cfg, name, dead[0])}.")


def set_elsewhere(cfg: DictConfig, trick: str, number: str) -> str:
    """Which setting should have pointed at a trick's number, and what stands there."""
    path = CONF / "trick" / f"{trick}.yaml"
    meant = {pointed: setting for setting, pointed in trick_references(OmegaConf.load(path))} if path.exists() else {}
    if number not in meant:
        return "no setting points at it"
    setting = meant[number]
    value = dict(trick_references(cfg)).get(setting) or OmegaConf.select(cfg, setting)
    return f"{setting} is {value}; leave that out, or trick={trick}"


def trick_references(cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """Each setting that takes its value from a trick, and which of the trick's numbers that is."""

    def below(path: str, node: Any) -> Iterator[tuple[str, str]]:
        if isinstance(node, (dict, list)):
            for name, child in node.items() if isinstance(node, dict) else enumerate(node):
                yield from below(f"{path}.{name}" if path else name, child)
        elif match := re.fullmatch(r"\$\{(trick\..+)\}", str(node)):
            yield path, match[1]

    return below("", OmegaConf.to_container(cfg, resolve=False))
