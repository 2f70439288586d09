"""What a network must know of its images."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """Images are square, grey (1 channel) or colour (3).

    Args:
        classes: kinds of images that the data set tells apart; 0 if it has no labels.
    """

    channels: int
    size: int
    classes: int = 0

    @property
    def pixels(self) -> int:
        """MetricAccumulator in one image."""
        return self.channels * self.size**2
