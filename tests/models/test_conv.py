"""The small convolutional pair."""

import math

import torch
import torch.nn.functional as F

from gan.data.image_shape import ImageShape
from tests.models.conftest import build_pair


def test_a_discriminator_with_batch_norm_on_its_logit_cannot_separate_two_batches():
    """Even where real and fake images are easy to separate, its loss stays at or above 2 log 2."""
    discriminator = build_pair("conv_logit_norm", ImageShape(1, 28))[1].train()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.01)
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        light, dark = (torch.rand(16, 1, 28, 28, generator=random) + offset for offset in (0.0, -1.0))
        loss = F.softplus(-discriminator(light)).mean() + F.softplus(discriminator(dark)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.item() >= 2 * math.log(2) - 1e-6


def test_small_images_use_the_first_blocks_only():
    assert [build_pair("conv", ImageShape(1, size))[1].feature_count for size in (28, 14, 8)] == [128, 256, 288]
