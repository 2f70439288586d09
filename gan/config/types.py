"""Types of settings with their ranges: used as annotations, and checked in `gan.config.check`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

__all__ = [
    "IMAGE_SIZES",
    "MIN_SCORED_IMAGES",
    "AtLeastOne",
    "CropSize",
    "DecayRate",
    "DropoutRate",
    "Fraction",
    "GifFps",
    "GridImages",
    "ImageCount",
    "ImageSize",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Paths",
    "PositiveFloat",
    "PositiveInt",
    "Probability",
    "ScoredImages",
    "SmallCount",
    "TruncationFactor",
]

IMAGE_SIZES = range(8, 257)  # in pixels, for which networks can be built
MIN_SCORED_IMAGES = 100  # with fewer, scores based on nearest neighbors mean nothing


def as_list(value: Any) -> Any:
    """What may be given several times as a list; null is none."""
    return [] if value is None else value if isinstance(value, list) else [value]


AtLeastOne = Annotated[float, Field(ge=1)]
CropSize = Annotated[int, Field(ge=IMAGE_SIZES[0], le=178)]  # pixels that are cut from CelebA's images of 178x218
DecayRate = Annotated[float, Field(ge=0, lt=1)]  # of a running mean, per step
DropoutRate = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
GifFps = Annotated[float, Field(ge=0.01, le=50)]  # frames per second: from what a GIF can store to what viewers show
Paths = Annotated[list[str], BeforeValidator(as_list)]
Probability = Annotated[float, Field(ge=0, le=1)]
GridImages = Annotated[int, Field(gt=0, le=10_000)]  # images in one grid
ImageCount = Annotated[int, Field(gt=0, le=1_000_000)]  # images that are generated or drawn: a million take minutes
ImageSize = Annotated[int, Field(ge=IMAGE_SIZES[0], le=IMAGE_SIZES[-1])]
ScoredImages = Annotated[int, Field(ge=MIN_SCORED_IMAGES, le=1_000_000)]
SmallCount = Annotated[int, Field(gt=0, le=1000)]  # updates within a step, CPU threads, seeds, frames
TruncationFactor = Annotated[float, Field(gt=0, le=1)]  # of the noise that samples are drawn with
