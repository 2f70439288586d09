"""What makes no sense together, and shows only once the parts of a run are there. Each is said in one sentence."""

from torch import nn

from gan.config.errors import ConfigError
from gan.config.schema import Settings
from gan.data.datasets import ImageDataset
from gan.losses import Loss
from gan.tricks.base import Trick


def refuse_slopes(loss: Loss, tricks: Trick) -> None:
    """Raise ConfigError where nothing keeps D from running away, or two tricks pull its slope in two directions."""
    if loss.needs_bounded_slope and not tricks.bounds_slope:
        raise ConfigError(
            f"{type(loss).__name__}'s loss falls for ever unless something bounds D's slope: "
            "add trick=[weight_clipping], [spectral_norm] or a penalty, such as [wgan_gp]."
        )
    if tricks.mixes_images and tricks.wanted_slopes:
        raise ConfigError(
            "a penalty on D's slope at each image makes no sense where trick=minibatch_discrimination lets D compare "
            "the images of a batch: choose one."
        )
    if len(tricks.wanted_slopes) > 1:
        raise ConfigError(
            "trick=[r1] and [r2] want D to be flat, [wgan_gp] and [dragan] want its slope to be 1: choose the ones or "
            "the others."
        )
    if tricks.clips_weights and tricks.scales_weights:
        raise ConfigError(
            "trick=weight_clipping would change next to nothing, as trick=spectral_norm divides the weights again: "
            "choose one."
        )
    if tricks.clips_weights and tricks.wanted_slopes:
        raise ConfigError(
            "trick=weight_clipping and a penalty on D's slope both bound that slope, and clipped weights cannot reach "
            "the slope that the penalty wants: choose one."
        )


def refuse_data(settings: Settings, images: ImageDataset) -> None:
    """Raise ConfigError where the data set is too small, or has no classes to score with."""
    batch_size, times = settings.train.batch_size, settings.train.discriminator_steps
    if batch_size > len(images):
        raise ConfigError(f"train.batch_size={batch_size} is larger than the data set, which has {len(images)} images.")
    if (needed := batch_size * times) > len(images):
        raise ConfigError(
            f"train.discriminator_steps={times} with batches of {batch_size} would take {needed} images for one "
            f"update of G, and the data set has {len(images)}."
        )
    if settings.watch.scores_every and images.shape.class_count < 2:
        raise ConfigError(
            "watch.scores_every needs a data set with classes, for the network that scores are taken with."
        )


def refuse_lonely(networks: list[nn.Module], batch_size: int, images_per_logit: int) -> None:
    """Raise ConfigError where BatchNorm would have a single number to take the mean and the spread of."""
    for network, together in zip(networks, (1, images_per_logit), strict=True):
        if batch_size <= together and any(isinstance(layer, nn.BatchNorm1d) for layer in network.modules()):
            raise ConfigError(
                f"train.batch_size={batch_size} is not possible with BatchNorm in these networks: it should be "
                f"{2 * together} or more."
            )


def separated(asked: bool | None, mixes: bool) -> bool:
    """Whether real images and fakes go through D apart: as asked, or else where it `mixes` the images of a batch.

    Raises ConfigError where what is asked would change nothing.
    """
    if asked is None:
        return mixes
    if not mixes:
        raise ConfigError(
            f"train.separate_batches={str(asked).lower()} would change nothing: this discriminator has no BatchNorm, "
            "so it judges each image alone."
        )
    return asked
