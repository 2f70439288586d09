"""Classes: G is told which to draw, and D which it was to be (Mirza and Osindero 2014; ganhacks 12 and 16)."""

from typing import ClassVar

from torch import nn

from gan.config.errors import ConfigError
from gan.config.types import PositiveInt
from gan.data.image_shape import ImageShape
from gan.tricks.base import Trick, TrickContext
from gan.tricks.layer_edits import weight_layers, widen


class Conditional(Trick):
    """An embedding of the label beside G's noise, and in D a projection (Miyato and Koyama 2018, section 3).

    Fakes have the classes of the real images beside them.

    Args:
        embedding: numbers that stand for a class in G.
    """

    uses_labels: ClassVar[bool] = True

    def __init__(self, *, embedding_dim: PositiveInt) -> None:
        self.embedding_dim = embedding_dim

    def check(self, game: TrickContext) -> None:
        if game.image.class_count < 2:
            raise ConfigError(
                "trick=conditional needs classes, and this data set has none: sort its images into a folder for each "
                "class, or choose one that has labels, such as dataset=digits."
            )
        train = game.train
        if train.reuse_fakes and train.update == "generator_first" and train.discriminator_steps > 1:
            raise ConfigError(
                "trick=conditional does not go with train.reuse_fakes=true, train.update=generator_first and "
                f"train.discriminator_steps={train.discriminator_steps}: D would see the same fakes beside images "
                "of other classes."
            )

    def prepare_generator(self, generator: nn.Module, image: ImageShape) -> None:
        widen(weight_layers(generator)[0], self.embedding_dim)
        generator.classes = nn.Embedding(image.class_count, self.embedding_dim)

    def prepare_discriminator(self, discriminator: nn.Module, image: ImageShape) -> None:
        discriminator.classes = nn.Linear(discriminator.feature_count, image.class_count, bias=False)
