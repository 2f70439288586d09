"""What a network must know of its pictures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """ImageDataset are square, grey (1 channel) or colour (3).

    Args:
        classes: kinds of pictures that the data set tells apart; 0 if it has no labels.
    """

    channels: int
    size: int
    classes: int = 0

    @property
    def pixels(self) -> int:
        """MetricAccumulator in one picture."""
        return self.channels * self.size**2
