"""A GAN that is conditional on clusters in training, and unconditional in use."""

import math

import pytest
import torch
from PIL import Image

from gan import sampling
from gan.config import check
from gan.config.errors import ConfigError
from gan.training import build, loop
from gan.tricks.clusters import ClusterOfNoise
from tests.conftest import IMAGE_MODELS, composed, narrow

FREQUENCIES = torch.tensor([0.5, 0.125, 0.375])


def directions(*turns: float) -> torch.Tensor:
    """Noise (n, 3) of norm 2 in the first two components, in the directions `turns` from 0 to 1; 0 is to the left."""
    angles = (torch.tensor(turns) - 0.5) * 2 * math.pi
    return torch.stack([2 * angles.cos(), 2 * angles.sin(), torch.arange(len(turns)) * 1.0], dim=1)


def test_a_cluster_has_a_sector_as_large_as_its_frequency():
    noise, labels = ClusterOfNoise(FREQUENCIES)(directions(0.01, 0.25, 0.49, 0.51, 0.5625, 0.62, 0.63, 0.8125, 0.99))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # The middle of each sector becomes the middle of all directions, its ends become its ends
    expected = directions(0.02, 0.5, 0.98, 0.08, 0.5, 0.96, 0.005 / 0.375, 0.5, 0.365 / 0.375)
    assert torch.allclose(noise[:, :2], expected[:, :2], atol=1e-5)
    assert noise[:, 2].tolist() == list(range(9))


@pytest.mark.parametrize("scale", [0.5, 1.0])
@pytest.mark.parametrize("kind", ["normal", "sphere"])
def test_noise_of_a_cluster_is_distributed_as_all_noise(kind, scale):
    points = build.Noise(kind, 4).sample(200_000, torch.Generator().manual_seed(0), scale)
    noise, labels = ClusterOfNoise(FREQUENCIES)(points)
    assert torch.allclose(labels.bincount() / len(labels), FREQUENCIES, atol=0.005)
    for label in range(3):
        inside = noise[labels == label]
        assert torch.allclose(inside.mean(0), torch.zeros(4), atol=0.02)
        assert torch.allclose(inside.T.cov(), scale**2 * torch.eye(4), atol=0.02)


def test_a_cluster_without_images_is_never_drawn():
    noise, labels = ClusterOfNoise(torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0]))(directions(0.0, 0.1, 0.5, 0.7, 1.0))
    assert set(labels.tolist()) == {1, 3} and noise.isfinite().all()


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_every_model_trains_on_clusters_and_samples_without_classes(make_run, model):
    run = make_run(
        f"model={model}", "trick=[clusters]", "trick.clusters.count=3", "dataset.image_size=16", *narrow(model)
    )
    seen = []
    run.players.discriminator.working.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    loop.training_step(run)
    assert torch.cat(seen).max() < 3 and torch.equal(run.batches.labels.bincount(minlength=3) / 64, frequencies(run))
    generator = run.players.generator.network.eval()
    assert generator.class_count == 0
    noise = torch.randn(8, 100, generator=torch.Generator().manual_seed(0))
    spread, labels = generator.clusters(noise)
    images = sampling.run_generator(generator, noise, None, 8)
    assert len(labels.unique()) > 1 and torch.equal(images, sampling.run_generator(generator, spread, labels, 8))


def frequencies(run):
    return run.players.generator.network.clusters.frequencies


def test_a_dataset_without_classes_has_clusters(tmp_path, cache):
    for number in range(6):
        Image.new("L", (8, 8), number * 50).save(tmp_path / f"{number}.png")
    own = ["dataset=image_folder", f"dataset.path={tmp_path}", f"cache_dir={cache}", "train.batch_size=2", "device=cpu"]
    cfg = composed(*own, "trick=[clusters]", "trick.clusters.count=2")
    loop.training_step(build.build_run(cfg, check.check_config(cfg), {}))
    cfg = composed(*own, "trick=[clusters]", "trick.clusters.count=7")
    with pytest.raises(ConfigError, match=r"trick\.clusters\.count=7.*6 images"):
        build.build_run(cfg, check.check_config(cfg), {})


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["trick=[clusters,conditional]"], "conditional"),
        (["trick=[clusters,packing]"], "packing"),
        (["trick=[clusters,infogan]"], "infogan"),
        (["trick=[clusters,replay]"], "replay"),
        (["trick=[clusters]", "noise.kind=uniform"], r"noise\.kind=uniform"),
        (["trick=[clusters]", "noise.dim=1"], r"noise\.dim=1"),
        (
            [
                "trick=[clusters]",
                "train.reuse_fakes=true",
                "train.update=generator_first",
                "train.discriminator_steps=2",
            ],
            r"trick=clusters.*train\.discriminator_steps=2",
        ),
    ],
)
def test_what_does_not_go_with_clusters(make_run, overrides, named):
    with pytest.raises(ConfigError, match=named):
        make_run(*overrides, *narrow("mlp"))


def test_a_run_with_clusters_is_sampled_as_an_unconditional_one(train_here, tmp_path):
    train_here(tmp_path, "trick=[clusters]", "trick.clusters.count=5", "train.max_steps=2", "watch.samples=16")
    with Image.open(tmp_path / "samples" / "step_0000002.png") as grid:
        assert grid.size == (4 * 29 + 1, 4 * 29 + 1)
    trained = build.load_trained(tmp_path, "last", ema=True, device=torch.device("cpu"))
    assert trained.generator.clusters.frequencies.sum() == pytest.approx(1) and trained.generator.class_count == 0
