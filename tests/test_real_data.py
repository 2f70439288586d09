"""A few training steps on real images, where GAN_DATA names a folder that has them."""

import pytest
import torch

from gan.config import check
from gan.training import build, loop
from tests.conftest import REAL_DATA, composed

MNIST = REAL_DATA / "MNIST" / "raw" / "train-images-idx3-ubyte"
CIFAR_ZIP = REAL_DATA / "cifar10_jpeg_train.zip"


def needs(path):
    return pytest.mark.skipif(not path.exists(), reason=f"GAN_DATA={REAL_DATA} has no {path.name}")


def build_run(cache, *overrides):
    cfg = composed(f"data_dir={REAL_DATA}", f"cache_dir={cache}", "device=cpu", *overrides)
    return build.build_run(cfg, check.check_config(cfg), {})


def train(run, steps):
    for _ in range(steps):
        loop.training_step(run)
        run.step += 1


@needs(MNIST)
@pytest.mark.slow
def test_generated_images_approach_the_mean_of_mnist(cache):
    run = build_run(cache, "dataset=mnist", "optim.generator.lr=1e-3")
    assert run.image.size == 28 and len(run.batches.images) == 60_000
    mean = run.batches.images[:2000].float().mean(0) / 127.5 - 1
    noise = torch.randn(64, 100)

    def distance():
        return (run.players.generator.generate(noise).mean(0) - mean).abs().mean().item()

    before = distance()
    train(run, steps=200)
    assert distance() < before / 2


@needs(CIFAR_ZIP)
def test_a_zip_of_photographs_trains_a_dcgan(cache):
    data = ["dataset=image_folder", f"dataset.path={CIFAR_ZIP}", "dataset.limit=500"]
    run = build_run(cache, *data, "model=dcgan", "train.batch_size=16")
    assert (run.image.channels, run.image.size) == (3, 32)
    train(run, steps=3)
    assert not loop.find_non_finite(run)
