"""Networks built from the configuration."""

from hydra.utils import instantiate
from torch import nn

from tests.conftest import composed

NOISE_DIM = 100


def build_pair(name, image, *overrides):
    """The generator and the discriminator of `model=name`."""
    cfg = composed(f"model={name}", *overrides)
    generator = instantiate(cfg.model.generator, image, NOISE_DIM, _convert_="all")
    return generator, instantiate(cfg.model.discriminator, image, _convert_="all")


def weight_shapes(network):
    """Shapes of the weights of linear and convolutional layers, in order."""
    layers = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return [tuple(module.weight.shape) for module in network.modules() if isinstance(module, layers)]
