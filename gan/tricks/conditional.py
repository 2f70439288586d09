"""Class-conditional GAN."""

from typing import ClassVar

from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import PositiveInt
from gan.data.datasets import ImageDataset
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

    name: ClassVar[str] = "conditional"  # in messages
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
        self.check_networks(context)

    def check_networks(self, context: TrickContext) -> None:
        """Raise ConfigError where G has no layer to widen, or fakes would not have the labels of their real images."""
        if not weight_layers(context.generator):
            raise ConfigError(f"trick={self.name} widens G's first layer, and this G has none that maps its noise.")
        train = context.train
        if train.reuse_fakes and train.update == "generator_first" and train.discriminator_steps > 1:
            raise ConfigError(
                f"trick={self.name} does not go with train.reuse_fakes=true, "
                f"train.update=generator_first and train.discriminator_steps={train.discriminator_steps}: the labels "
                "of the fake images would not be those of the real images beside them."
            )

    def label_images(self, dataset: ImageDataset) -> Tensor | None:
        if dataset.missing_classes:
            raise ConfigError(
                f"trick=conditional needs classes, and {dataset.missing_classes}: move it into one of them or away, or "
                "give it a label."
            )
        return dataset.labels

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        widen(weight_layers(generator)[0], self.embedding_dim)
        generator.label_embedding = nn.Embedding(image.class_count, self.embedding_dim)
        discriminator.label_projection = nn.Linear(discriminator.feature_count, image.class_count, bias=False)
