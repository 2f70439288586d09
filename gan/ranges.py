"""What a number in the configuration may be. Signatures name these types, and `gan.config.check` holds them."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

__all__ = [
    "Count",
    "NonNegativeFloat",
    "NonNegativeInt",
    "PositiveFloat",
    "PositiveInt",
    "Probability",
    "Share",
    "Shown",
    "Size",
    "Times",
]

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]  # neither nothing nor all
Size = Annotated[int, Field(ge=8, le=256)]  # the side of a picture that the networks can be built for
Count = Annotated[int, Field(gt=0, le=1_000_000)]  # pictures that are made here: a million take minutes
Shown = Annotated[int, Field(gt=0, le=10_000)]  # pictures in one grid
Times = Annotated[int, Field(gt=0, le=1000)]  # that something is done within a step, or at once
