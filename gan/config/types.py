"""What a number in the configuration may be. Signatures name these types, and `gan.config.check` holds them."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

__all__ = [
    "LEAST",
    "SIZES",
    "AtLeastOne",
    "Count",
    "Dropped",
    "Fading",
    "Film",
    "NonNegativeFloat",
    "NonNegativeInt",
    "PositiveFloat",
    "PositiveInt",
    "Probability",
    "Scored",
    "Share",
    "Shown",
    "Size",
    "Times",
]

SIZES = range(8, 257)  # sides of images that the networks can be built for
LEAST = 100  # images to score; below that there are no neighbours to speak of

AtLeastOne = Annotated[float, Field(ge=1)]
Dropped = Annotated[float, Field(ge=0, lt=1)]  # the share that dropout takes
Fading = Annotated[float, Field(ge=0, lt=1)]  # the share of a running mean that stays
Film = Annotated[float, Field(ge=0.01, le=50)]  # frames a second that a GIF can have and that viewers show
Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]  # neither nothing nor all
Size = Annotated[int, Field(ge=SIZES[0], le=SIZES[-1])]
Count = Annotated[int, Field(gt=0, le=1_000_000)]  # images that are made here: a million take minutes
Scored = Annotated[int, Field(ge=LEAST, le=1_000_000)]
Shown = Annotated[int, Field(gt=0, le=10_000)]  # images in one grid
Times = Annotated[int, Field(gt=0, le=1000)]  # that something is done within a step, or at once
