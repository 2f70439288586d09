"""What a network must know of its pictures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """Pictures are square, grey (1 channel) or colour (3)."""

    channels: int
    size: int

    @property
    def pixels(self) -> int:
        """Numbers in one picture."""
        return self.channels * self.size**2
