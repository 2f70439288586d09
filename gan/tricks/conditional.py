"""Class-conditional GAN."""

from typing import ClassVar

from torch import nn

from gan.config.errors import ConfigError
from gan.config.types import PositiveInt
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.tricks.base import Trick, TrickContext
from gan.tricks.layer_edits import weight_layers, widen


class Conditional(Trick):
    """A label embedding beside G's noise (Mirza and Osindero 2014; ganhacks 12 and 16), and a projection discriminator
    (Miyato and Koyama 2018, section 3).

    Fake images have the labels of the real images of their batch.

    Args:
        embedding_dim: size of G's label embedding.
    """

    uses_labels: ClassVar[bool] = True
    uses_features: ClassVar[bool] = True

    def __init__(self, *, embedding_dim: PositiveInt = 10) -> None:
        self.embedding_dim = embedding_dim

    def check(self, context: TrickContext) -> None:
        if context.image.class_count < 2:
            raise ConfigError(
                "trick=conditional needs a dataset with classes: sort the images into one folder per class, or choose "
                "one that has labels, such as dataset=digits."
            )
        if not weight_layers(context.generator):
            raise ConfigError("trick=conditional widens G's first layer, and this G has none that maps its noise.")
        train = context.train
        if train.reuse_fakes and train.update == "generator_first" and train.discriminator_steps > 1:
            raise ConfigError(
                "trick=conditional does not go with train.reuse_fakes=true, train.update=generator_first and "
                f"train.discriminator_steps={train.discriminator_steps}: the labels of the fake images would not be "
                "those of the real images beside them."
            )

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        widen(weight_layers(generator)[0], self.embedding_dim)
        generator.label_embedding = nn.Embedding(image.class_count, self.embedding_dim)
        discriminator.label_projection = nn.Linear(discriminator.feature_count, image.class_count, bias=False)
