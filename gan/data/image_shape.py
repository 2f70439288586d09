"""The shape of a dataset's images, from which the networks are built."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """Square images, gray (1 channel) or color (3 channels).

    Args:
        size: side in pixels.
        class_count: number of classes in the dataset; 0 without labels.
    """

    channels: int
    size: int
    class_count: int = 0

    @property
    def pixels(self) -> int:
        """Values in one image: channels times height times width."""
        return self.channels * self.size**2
