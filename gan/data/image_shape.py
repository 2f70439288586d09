"""The shape of a dataset's images, from which the networks are built."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ImageShape:
    """Square images, gray (1 channel) or color (3 channels).

    Args:
        size: side in pixels.
        class_count: number of classes in the dataset; 0 without labels.
        class_names: of all classes, where they have names; no part of the shape.
    """

    channels: int
    size: int
    class_count: int = 0
    class_names: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        names = self.class_names
        if names and (len(names) != self.class_count or not all(isinstance(name, str) for name in names)):
            raise ValueError(f"{len(names)} names of {self.class_count} classes")

    @property
    def pixels(self) -> int:
        """Values in one image: channels times height times width."""
        return self.channels * self.size**2
