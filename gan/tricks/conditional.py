"""Class-conditional GAN."""

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import PositiveFloat, PositiveInt
from gan.data.datasets import ImageDataset
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.player import Players
from gan.tricks.base import Batch, Pair, Trick, TrickContext
from gan.tricks.layer_edits import weight_layers, widen

HEAD = "classes"  # of D with kind=acgan


class Conditional(Trick):
    """A label embedding beside G's noise (Mirza and Osindero 2014; ganhacks 12 and 16), and a D that knows of classes.

    Fake images have the labels of the real images of their batch.

    Args:
        kind: `projection`: D is given the class, which adds a projection of the features to its logit (Miyato and
            Koyama 2018, section 3). `acgan`: D is not given the class but predicts it, of real and of fake images, and
            G is to generate images whose class D predicts (Odena et al. 2017, section 3).
        embedding_dim: size of G's label embedding.
        class_weight: of the cross-entropy of the classes, with kind=acgan; 1 in the paper.
    """

    name: ClassVar[str] = "conditional"  # in messages
    uses_labels: ClassVar[bool] = True
    uses_features: ClassVar[bool] = True

    def __init__(
        self,
        *,
        kind: Literal["projection", "acgan"] = "projection",
        embedding_dim: PositiveInt = 10,
        class_weight: PositiveFloat = 1.0,
    ) -> None:
        self.kind, self.embedding_dim, self.class_weight = kind, embedding_dim, class_weight

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
        return dataset.labels

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        widen(weight_layers(generator)[0], self.embedding_dim)
        generator.label_embedding = nn.Embedding(image.class_count, self.embedding_dim)
        if self.kind == "acgan":
            discriminator.heads[HEAD] = nn.Linear(discriminator.feature_count, image.class_count)
        else:
            discriminator.label_projection = nn.Linear(discriminator.feature_count, image.class_count, bias=False)

    def discriminator_terms(self, players: Players, batch: Batch, inputs: Pair, logits: Pair) -> dict[str, Tensor]:
        if self.kind != "acgan":
            return {}
        real, fake = (self.class_error(players, batch, images) for images in inputs)
        return {HEAD: real + fake}

    def generator_terms(self, players: Players, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        return {HEAD: self.class_error(players, batch, fake)} if self.kind == "acgan" else {}

    def class_error(self, players: Players, batch: Batch, images: Tensor) -> Tensor:
        """The cross-entropy (0-d) of the classes that D predicts of `images`: minus a half of L_C (equation 3)."""
        assert batch.labels is not None
        return self.class_weight * F.cross_entropy(players.discriminator.predict(HEAD, images), batch.labels)
