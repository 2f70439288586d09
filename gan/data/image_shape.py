"""The shape of a dataset's images or points, from which the networks are built."""

from dataclasses import dataclass, field
from typing import Any

from gan.config.errors import ConfigError

PixelRange = tuple[float, float] | None  # lowest and highest value of a pixel; None: points, which have any value
POINTS = "points"  # the first entry of the record of a PointShape


def check_names(class_names: tuple[str, ...], class_count: int) -> None:
    """Raise ValueError unless there are no names, or one for each class."""
    if class_names and (len(class_names) != class_count or not all(isinstance(name, str) for name in class_names)):
        raise ValueError(f"{len(class_names)} names of {class_count} classes")


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
        check_names(self.class_names, self.class_count)

    def __str__(self) -> str:
        return f"images of {self.size}x{self.size}x{self.channels}"

    @property
    def dims(self) -> tuple[int, ...]:
        """Of one image: channels, height and width."""
        return self.channels, self.size, self.size

    @property
    def pixels(self) -> int:
        """Values in one image: channels times height times width."""
        return self.channels * self.size**2

    def record(self) -> list[Any]:
        """What a checkpoint has of it, for `read_shape`."""
        return [self.channels, self.size, self.class_count, self.class_names]


@dataclass(frozen=True)
class PointShape:
    """Points of one, two or three numbers. They have no `channels`, `size` or `pixels`.

    Args:
        count: of numbers in a point.
        class_count: number of classes in the dataset; 0 without labels.
        class_names: of all classes, where they have names; no part of the shape.
    """

    count: int
    class_count: int = 0
    class_names: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        check_names(self.class_names, self.class_count)

    def __str__(self) -> str:
        return f"points of {self.count} number{'s' * (self.count > 1)}"

    @property
    def dims(self) -> tuple[int, ...]:
        """Of one point: its numbers."""
        return (self.count,)

    def record(self) -> list[Any]:
        """What a checkpoint has of it, for `read_shape`."""
        return [POINTS, self.count, self.class_count, self.class_names]


DataShape = ImageShape | PointShape


def read_shape(record: list[Any]) -> DataShape:
    """The shape in a checkpoint, from its `record`."""
    return PointShape(*record[1:]) if record[:1] == [POINTS] else ImageShape(*record)


def require_images(shape: DataShape, setting: str) -> ImageShape:
    """`shape`, where it is that of images. Raises ConfigError, which names the `setting`, for points."""
    if not isinstance(shape, ImageShape):
        raise ConfigError(f"{setting}: is for images, and this run generates {shape}.")
    return shape
