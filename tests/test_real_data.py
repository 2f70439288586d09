"""A few steps on the real images, where GAN_DATA names a folder that holds them."""

import pytest
import torch

from gan.config import check
from gan.training import build, loop
from tests.conftest import REAL_DATA, composed

MNIST = REAL_DATA / "MNIST" / "raw" / "train-images-idx3-ubyte"
CIFAR_ZIP = REAL_DATA / "cifar10_jpeg_train.zip"


def run_on(cache, *overrides):
    settings = [f"data_dir={REAL_DATA}", f"cache_dir={cache}", "device=cpu"]
    cfg = composed(*settings, *overrides)
    return build.build_run(cfg, check.check_config(cfg), {})


@pytest.mark.skipif(not MNIST.exists(), reason=f"no MNIST in {REAL_DATA}: set GAN_DATA to a folder that has it")
def test_a_generator_moves_towards_mnist(cache):
    run = run_on(cache, "dataset=mnist", "optim.generator.lr=1e-3")
    assert run.shape.size == 28 and len(run.batches.images) == 60_000
    real = run.batches.images[:2000].float().mean(0) / 127.5 - 1
    noise = torch.randn(64, 100)

    def distance():
        return (run.players.generator.generate(noise).mean(0) - real).abs().mean().item()

    before = distance()
    for _ in range(200):
        loop.update(run)
        run.step += 1
    assert distance() < before / 2


@pytest.mark.skipif(
    not CIFAR_ZIP.exists(), reason=f"no {CIFAR_ZIP.name} in {REAL_DATA}: set GAN_DATA to a folder that has it"
)
def test_a_zip_of_photographs_trains_a_dcgan(cache):
    run = run_on(
        cache,
        "dataset=image_folder",
        f"dataset.path={CIFAR_ZIP}",
        "dataset.limit=500",
        "model=dcgan",
        "train.batch_size=16",
    )
    assert (run.shape.channels, run.shape.size) == (3, 32)
    for _ in range(3):
        loop.update(run)
        run.step += 1
    assert not loop.not_finite(run)
