"""Nodes with a `_target_`: which code they may name, and which arguments it takes.

Code outside this project is imported only where the user asked for it: never because a run folder or a checkpoint,
which may come from anybody, names it.
"""

import importlib
import inspect
import json
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import Container, DictConfig, OmegaConf, open_dict
from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from gan.config.errors import ConfigError, first_line, invalid_value, unknown_setting
from gan.config.schema import validated

Trust = bool | list[str]  # of code outside this project: all of it, none, or these targets
# For each group: the modules of its targets, how their names look, and the type that they build; a dataset may be any
# function. An attribute of an attribute is none of them: it would reach what a module has imported.
PREFIXES = {
    "model": ("gan.models.", "torch.nn."),
    "optim": ("gan.optim.", "torch.optim."),
    "loss": ("gan.losses.",),
    "trick": ("gan.tricks.",),
    "dataset": ("gan.data.datasets.", "gan.data.point_sets."),
}
NAMES = {
    "model": r"gan\.models\.\w+\.[a-zA-Z]\w*|torch\.nn\.[A-Z]\w*",
    "optim": r"gan\.optim\.[a-zA-Z]\w*|torch\.optim\.[A-Z]\w*",
    "loss": r"gan\.losses\.[a-zA-Z]\w*",
    "trick": r"gan\.tricks\.\w+\.[a-zA-Z]\w*",
    "dataset": r"gan\.data\.(datasets|point_sets)\.[a-z]\w*",
}
TYPES = {
    "model": "torch.nn.Module",
    "optim.generator": "torch.optim.Optimizer",
    "optim.discriminator": "torch.optim.Optimizer",
    "loss": "gan.losses.Loss",
    "trick": "gan.tricks.base.Trick",
}
BUILT = r"loss|dataset|(model|optim|trick)\.[^.]+|optim\.schedule\.[^.]+"  # nodes that are no arguments of others
# What `gan.training.build` passes besides the configuration's arguments: how many by position, and which by name.
POSITIONAL = {"model.generator": 2, "model.discriminator": 1, "optim.generator": 1, "optim.discriminator": 1}
NAMED = {"dataset": ("data_dir", "cache_dir", "split")}
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def trust_of(cfg: DictConfig) -> Trust:
    """Which code outside this project a run may import: what a new run names was typed by the user."""
    trust = OmegaConf.select(cfg, "trust", throw_on_resolution_failure=False)
    return cfg.resume is None or (list(trust) if OmegaConf.is_list(trust) else trust is True)


def names_outside_code(cfg: DictConfig) -> bool:
    """Whether a checked configuration names code outside this project, which its run folder needs `trust=true` for."""
    try:
        for group in PREFIXES:
            check_tree(group, OmegaConf.to_container(cfg[group], resolve=True))
    except ConfigError:
        return True
    return False


def check_tree(path: str, node: Any, trust: Trust = False) -> None:
    """Check every node with a `_target_` at or below `path`. Imports nothing outside this project without `trust`."""
    if isinstance(node, list):
        for number, child in enumerate(node):
            check_tree(f"{path}.{number}", child, trust)
    if isinstance(node, dict):
        if "_target_" in node:
            check_node(path, node, trust)
        for name, child in node.items():
            check_tree(f"{path}.{name}", child, trust)


def check_node(path: str, node: dict[str, Any], trust: Trust) -> None:
    """Raise ConfigError unless the callable that `_target_` names can be called with these arguments."""
    target = import_target(path, str(node["_target_"]), trust)
    arguments = {str(name): value for name, value in node.items() if name not in ("_target_", "_partial_")}
    signature, known = signature_of(target), arguments_of(path, target)
    has_keywords = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    takes_any = has_keywords and not is_ours(path, str(node["_target_"]))
    for name, value in arguments.items():
        if name in known:
            check_value(f"{path}.{name}", signature.parameters[name].annotation, value)
        elif name.startswith("_") or not takes_any:
            raise unknown_setting(f"{path}.{name}", known, str(node["_target_"]))
    is_partial = node.get("_partial_", False)
    if not isinstance(is_partial, bool) or (is_partial and re.fullmatch(BUILT, path)):
        raise invalid_value(f"{path}._partial_", is_partial, "true or false, and false for what is built itself")
    bind = signature.bind_partial if is_partial else signature.bind
    try:
        bind(*range(POSITIONAL.get(path, 0)), **dict.fromkeys(NAMED.get(path, ())), **arguments)
    except TypeError as error:
        raise ConfigError(f"{path}: {node['_target_']} cannot be called: {error}.") from error


def import_target(path: str, name: str, trust: Trust) -> Callable[..., Any]:
    """The class or function that is the `_target_` of the node at `path`. Raises ConfigError where it must not be."""
    setting, ours = f"{path}._target_", PREFIXES[path.split(".")[0]]
    trusted = trust is True or (isinstance(trust, list) and name in trust)
    try:
        if ":" in name:
            raise ValueError("a colon is not possible here")
        target: Any = resolve_name(name) if trusted or is_ours(path, name) else None
        # such as gan.losses.nn, which a module has imported
        if not trusted and not f"{getattr(target, '__module__', '')}.".startswith(ours):
            raise ConfigError(
                f"{setting}={name}: not imported, as it comes from a run folder and lies outside this project; "
                "trust=true imports it."
            )
        signature = signature_of(target)
    except (ConfigError, MemoryError):
        raise
    except Exception as error:
        raise ConfigError(f"{setting}={name}: cannot be used: {first_line(error)}.") from error
    built = target if isinstance(target, type) else signature.return_annotation
    wanted = next((wanted for place, wanted in TYPES.items() if f"{path}.".startswith(f"{place}.")), None)
    if wanted and not (isinstance(built, type) and issubclass(built, pkgutil.resolve_name(wanted))):
        raise invalid_value(setting, name, f"a subclass of {wanted}, or a function annotated to return one")
    return target


def resolve_name(name: str) -> Any:
    """What a dotted name stands for. Raises what the import of a module raises, which pkgutil.resolve_name hides."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        module = ".".join(parts[:count])
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name == module and count > 1:  # a name in the module before
                break
            raise
        except ImportError as error:
            raise ImportError(f"{module}: {first_line(error)}") from error
    return pkgutil.resolve_name(name)


def is_ours(path: str, name: str) -> bool:
    """Whether a `_target_` at `path` has the name of a class or function of this project, or of torch's networks."""
    return re.fullmatch(NAMES[path.split(".")[0]], name, re.ASCII) is not None


def signature_of(target: Any) -> inspect.Signature:
    """A callable's signature. Annotations are strings where they use names that are not imported at run time."""
    try:
        return inspect.signature(target, eval_str=True)
    except NameError:
        return inspect.signature(target)


def arguments_of(path: str, target: Callable[..., Any]) -> list[str]:
    """The named arguments that the configuration may set: all but those that the code passes."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = signature_of(target).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind not in variadic]
    return [name for name in names[POSITIONAL.get(path, 0) :] if name not in NAMED.get(path, ())]


def check_value(path: str, hint: Any, value: Any) -> None:
    """Raise ConfigError unless `value`, as YAML has it, is of the type and in the range that `hint` names."""
    if hint is inspect.Parameter.empty or isinstance(hint, str):
        return
    try:
        adapter = TypeAdapter(hint, config=STRICT)
    except Exception:  # a type that pydantic does not know, such as a tensor: nothing to check against
        return
    if isinstance(value, dict) and "_target_" in value:
        if is_plain(adapter):
            raise invalid_value(path, value, "a plain value, since nothing is built there")
        return
    validated(path, value, adapter.validate_json)


class CompleteSchema(GenerateJsonSchema):
    """Warns of each type in a union that JSON cannot say."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = set()  # noqa: RUF012


def is_plain(adapter: TypeAdapter[Any]) -> bool:
    """Whether JSON can say every value of a type, and none of them is a mapping, such as one that builds something."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            schema = adapter.json_schema(schema_generator=CompleteSchema)
    except Exception:
        return False
    return bool(schema) and '"object"' not in json.dumps(schema)


def drop_replaced_arguments(cfg: DictConfig, typed: Mapping[str, Any]) -> None:
    """Where a `_target_` was typed, drop the arguments in its node that were meant for the previous target.

    Those are the ones that the new target does not take and, for a network from outside this project, all: a name such
    as `hidden` means something else there. What was typed stays, to be checked.

    Args:
        typed: every setting on the command line with its value.
    """
    for setting in typed:
        path, _, last = setting.rpartition(".")
        if last != "_target_" or path.split(".")[0] not in PREFIXES:
            continue
        name = OmegaConf.select(cfg, setting, throw_on_resolution_failure=False)
        try:
            kept = arguments_of(path, import_target(path, str(name), trust_of(cfg)))
        except ConfigError:
            continue  # `check_config` raises it
        if path.startswith("model.") and not name.startswith(PREFIXES["model"]):
            kept = []
        for key in map(str, list(OmegaConf.select(cfg, path))):
            was_typed = any(f"{other}.".startswith(f"{path}.{key}.") for other in typed)
            if key not in kept and not key.startswith("_") and not was_typed:
                drop_argument(cfg, path, key)


def drop_argument(cfg: DictConfig, path: str, name: str) -> None:
    """Remove an argument; settings that take their value from it keep that value."""
    node: DictConfig = OmegaConf.select(cfg, path)
    arguments: Any = OmegaConf.to_container(node, resolve=False)
    for setting, reference in references(cfg):
        if reference == f"{path}.{name}":
            OmegaConf.update(cfg, setting, arguments[name], merge=False)
    with open_dict(cfg):
        del node[name]


def references(cfg: Container) -> Iterator[tuple[str, str]]:
    """Each setting that takes its value from another one, as `${name}`, and the name of that other one."""

    def below(path: str, node: Any) -> Iterator[tuple[str, str]]:
        if isinstance(node, (dict, list)):
            for name, child in node.items() if isinstance(node, dict) else enumerate(node):
                yield from below(f"{path}.{name}" if path else str(name), child)
        elif match := re.fullmatch(r"\$\{([\w.]+)\}", str(node)):
            yield path, match[1]

    return below("", OmegaConf.to_container(cfg, resolve=False))
