"""The settings that every run has, with the type and range of each. Imports no torch, so that help is quick."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ErrorDetails, PydanticCustomError

from gan.config.errors import ConfigError, invalid_value, unknown_setting
from gan.config.types import (
    GifFps,
    GridImages,
    ImageCount,
    ImageSize,
    NonNegativeInt,
    Paths,
    PositiveFloat,
    PositiveInt,
    Probability,
    ScoredImages,
    SmallCount,
    TruncationFactor,
)


def described(requirement: str) -> WrapValidator:
    """One message in place of pydantic's, which shows a pattern or has a message for each type that is allowed."""

    def check_described(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(value)
        except ValidationError:
            raise PydanticCustomError("described", requirement) from None

    return WrapValidator(check_described)


PERIODS = "steps such as 500, epochs such as '2 epochs', or a list of these"
Period = Annotated[PositiveInt | Annotated[str, Field(pattern=r"^[1-9]\d* epochs?$")], described(PERIODS)]
Periods = Annotated[Period | list[Period] | None, described(PERIODS)]
EMA_DECAYS = "a decay from 0 to 1, such as 0.999, or a list of several"
EmaDecays = Annotated[Probability | list[Probability] | None, described(EMA_DECAYS)]
Device = Annotated[
    str,
    Field(pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$"),
    described("'auto', 'cpu', 'cuda', 'mps', or one of several GPUs, such as 'cuda:1'"),
]
CLASSIFIER = "classifier"  # of a dataset: the features that are neither `inception` nor in a file
Checked = TypeVar("Checked")
NoiseKind = Literal["normal", "uniform", "sphere"]
Update = Literal["discriminator_first", "generator_first", "simultaneous"]


class Strict(BaseModel):
    """A frozen model that allows no unknown keys, no conversion between types, no infinity and no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Noise(Strict):
    kind: NoiseKind
    dim: PositiveInt


class Train(Strict):
    epochs: PositiveInt | None
    max_steps: PositiveInt | None
    batch_size: PositiveInt
    accumulate: SmallCount = 1  # the default is for runs from before this setting
    discriminator_steps: SmallCount
    update: Update
    reuse_fakes: bool
    separate_batches: bool | None
    ema_decay: EmaDecays
    weight_clip: PositiveFloat | None


class Watch(Strict):
    log_every: Periods
    log_mean: bool
    samples_every: Periods
    samples_at: list[Period]
    samples: GridImages
    samples_normalized: bool = False  # the default is for runs from before this setting
    noise_scale: PositiveFloat
    final_samples: GridImages | None
    gif_fps: GifFps
    checkpoint_every: Periods
    checkpoint_minutes: PositiveFloat | None
    scores_every: Periods
    scores_images: ScoredImages
    scores_parzen: bool
    wandb: bool = False  # these two are newer than some runs
    mlflow: str | None = None


class Settings(Strict):
    """All settings of train.py outside the config groups, which are checked against the code that they name."""

    seed: NonNegativeInt
    device: Device
    threads: SmallCount | None
    precision: Literal["fp32", "bf16"]
    compile: bool
    cuda_graphs: bool | None = None  # the default is for runs from before this setting
    data_dir: str
    cache_dir: str
    resume: str | None
    init_from: str | None = None  # the default is for runs from before this setting
    trust: bool | list[str]
    retry: bool
    noise: Noise
    train: Train
    watch: Watch


class Evaluation(Strict):
    """The settings of gan.evaluate."""

    run: Paths
    images: Paths
    reference: str | None
    stats: str | None
    write_stats: str | None
    image_size: ImageSize | None
    checkpoint: Literal["last", "best"]
    ema: bool | Probability
    n: ScoredImages | None
    seed: NonNegativeInt
    seeds: SmallCount
    split: Literal["train", "test"] | None
    features: str
    parzen: bool
    data_dir: str | None
    cache_dir: str | None
    device: Device
    trust: bool


class Inspection(Strict):
    """The settings of gan.data, without the dataset."""

    split: Literal["train", "test"]
    data_dir: str
    cache_dir: str
    cache: bool
    out: str | None


class Sampling(Strict):
    """The settings of sample.py."""

    model_config = Strict.model_config | ConfigDict(validate_by_alias=True)

    run: str
    n: ImageCount
    checkpoint: Literal["last", "best"]
    ema: bool | Probability
    class_: NonNegativeInt | str | None = Field(alias="class")
    seed: NonNegativeInt
    like: Paths = []
    format: (
        Literal["grid", "codes", "png", "npz", "gif", "interpolation", "explorer", "onnx", "torchscript", "safetensors"]
        | None
    )
    out: str | None
    batch_size: PositiveInt
    device: Device
    frames: SmallCount
    fps: GifFps
    truncation: TruncationFactor
    output: Literal["uint8", "float"]
    trust: bool


REQUIREMENTS = {  # by pydantic's name for an error; the others keep pydantic's own message
    "greater_than": "> {gt}",
    "greater_than_equal": ">= {ge}",
    "less_than": "< {lt}",
    "less_than_equal": "<= {le}",
    "finite_number": "a finite number",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "missing": "a longer list",
    "too_long": "a shorter list",
    "model_type": "a group of settings",
    "dict_type": "a group of settings",
    "callable_type": "a node with a _target_",
}


def validated(path: str, value: Any, validate: Callable[[str], Checked]) -> Checked:
    """What `validate` makes of a value as JSON. Raises ConfigError where it does not fit the setting at `path`."""
    try:
        return validate(json.dumps(value))
    except ValidationError as error:
        raise validation_error(path, value, error, validate) from error


def validation_error(path: str, value: Any, error: ValidationError, validate: Callable[[str], Any]) -> ConfigError:
    """What came and what is allowed, from pydantic's errors for `value`, the setting at `path`.

    Where a choice of types is allowed, pydantic has an error for each; those furthest inside the value count.
    """
    details = error.errors()
    places = [place_in(value, detail["loc"]) for detail in details]
    deepest = max(places, key=lambda place: len(place[0]))
    same = [detail for detail, place in zip(details, places, strict=True) if place == deepest]
    names = ".".join([path, *deepest[0]]).strip(".")
    if same[0]["type"] == "missing" and isinstance(deepest[1], dict):
        missing = str(same[0]["loc"][-1])
        new = "null" if allows_null(value, [*deepest[0], missing], validate) else "VALUE"
        setting = f"{names}.{missing}".lstrip(".")
        return ConfigError(f"{setting}: missing; set it with {setting}={new}.")
    if same[0]["type"] == "extra_forbidden":
        return unknown_setting(names)
    allowed = " or ".join(dict.fromkeys(map(requirement, same)))
    if str(deepest[1]).lower() in ("none", "") and allows_null(value, deepest[0], validate):
        allowed += f", or null for none; type {names}=null"
    return invalid_value(names, deepest[1], allowed)


def allows_null(value: Any, names: list[str], validate: Callable[[str], Any]) -> bool:
    """Whether null is allowed in a value, in the place that names and numbers lead to."""

    def replaced(node: Any, names: list[str]) -> Any:
        if not names:
            return None
        children = dict(enumerate(node)) if isinstance(node, list) else node
        key = int(names[0]) if isinstance(node, list) else names[0]
        changed = children | {key: replaced(children.get(key), names[1:])}
        return list(changed.values()) if isinstance(node, list) else changed

    try:
        validate(json.dumps(replaced(value, names)))
    except ValidationError as error:
        return not any(place_in(replaced(value, names), detail["loc"])[0] == names for detail in error.errors())
    return True


def place_in(value: Any, location: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """The names and numbers that lead to an error's place, and the value there.

    Between these, a location in pydantic's sense also has the types that were tried.
    """
    names = []
    for part in location:
        children = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(children, dict) and part in children:
            names.append(str(part))
            value = children[part]
    return names, value


def requirement(detail: ErrorDetails) -> str:
    """What is allowed, as the end of a sentence with "must be"."""
    if detail["type"] not in REQUIREMENTS:
        return detail["msg"].removeprefix("Input should be ")
    limits = {
        name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in detail.get("ctx", {}).items()
    }
    return REQUIREMENTS[detail["type"]].format(**limits)
