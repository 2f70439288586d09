"""The settings that every run has, with the type and range of each. Imports no torch, so that help is quick."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from gan.config.types import Count, Film, NonNegativeInt, PositiveFloat, PositiveInt, Probability, Scored, Shown, Times


def in_plain_words(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """In place of what pydantic says of each of the types that a period may have."""
    try:
        return check(value)
    except ValidationError:
        raise PydanticCustomError(
            "period", "steps such as 500, epochs such as '2 epochs', or a list of these"
        ) from None


Period = Annotated[
    PositiveInt | Annotated[str, Field(pattern=r"^[1-9]\d* epochs?$")],
    WrapValidator(in_plain_words),
]
Periods = Annotated[Period | list[Period] | None, WrapValidator(in_plain_words)]
NoiseKind = Literal["normal", "uniform", "sphere"]
Update = Literal["discriminator_first", "generator_first", "simultaneous"]


def in_steps(period: Period, steps_per_epoch: int) -> int:
    """A period in steps: `500` is as many, `2 epochs` is twice `steps_per_epoch`."""
    return period if isinstance(period, int) else int(period.split()[0]) * steps_per_epoch


class Strict(BaseModel):
    """Takes no unknown key, no wrong type, no infinity; and does not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Noise(Strict):
    kind: NoiseKind
    dim: PositiveInt


class Train(Strict):
    epochs: PositiveInt
    max_steps: PositiveInt | None
    batch_size: PositiveInt
    discriminator_steps: Times
    update: Update
    reuse_fakes: bool
    separate_batches: bool | None
    ema_decay: Probability | None
    weight_clip: PositiveFloat | None


class Watch(Strict):
    log_every: Periods
    log_mean: bool
    samples_every: Periods
    samples_at: list[Period]
    samples: Shown
    noise_scale: PositiveFloat
    final_samples: Shown | None
    gif_fps: Film
    checkpoint_every: Periods
    checkpoint_minutes: PositiveFloat | None
    scores_every: Periods
    scores_images: Scored
    scores_parzen: bool


class Settings(Strict):
    """All but the groups whose `_target_` names the code that checks them."""

    seed: NonNegativeInt
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: Times | None
    precision: Literal["fp32", "bf16"]
    compile: bool
    data_dir: str
    cache_dir: str
    resume: str | None
    retry: bool
    noise: Noise
    train: Train
    watch: Watch


class Evaluation(Strict):
    """What gan.evaluate can be told."""

    run: list[str]
    checkpoint: Literal["last", "best"]
    ema: bool
    n: Scored | None
    seed: NonNegativeInt
    seeds: Times
    split: Literal["train", "test"] | None
    features: Literal["classifier", "inception"]
    parzen: bool
    data_dir: str | None
    cache_dir: str | None
    device: Literal["auto", "cpu", "cuda", "mps"]


class Sampling(Strict):
    """What sample.py can be told."""

    model_config = Strict.model_config | ConfigDict(validate_by_alias=True)

    run: str
    n: Count
    checkpoint: Literal["last", "best"]
    ema: bool
    class_: NonNegativeInt | None = Field(alias="class")
    seed: NonNegativeInt
    format: Literal["grid", "png", "npz", "interpolation"]
    out: str | None
    batch_size: PositiveInt
    device: Literal["auto", "cpu", "cuda", "mps"]
    frames: Times
    fps: Film
