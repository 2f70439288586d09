"""Players that are told of classes."""

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch import nn

import sample
from gan import sampling
from gan.config import check
from gan.config.errors import ConfigError
from gan.data.datasets import ImageDataset
from gan.data.image_shape import ImageShape
from gan.models.base import Discriminator, Generator
from gan.training import build, loop
from gan.tricks.conditional import Conditional
from tests.conftest import CONF, composed, narrow, options


@pytest.mark.parametrize("model", options("model"))
def test_every_model_can_be_told_of_classes(make_run, model):
    run = make_run(f"model={model}", "trick=[conditional]", "dataset.image_size=16", *narrow(model))
    loop.training_step(run)
    generator, discriminator = (player.network.eval() for player in run.players)
    noise, labels = torch.randn(1, 100).expand(2, -1), torch.tensor([0, 1])
    drawn = generator(noise, labels)
    assert not torch.equal(drawn[0], drawn[1])
    same = drawn[:1].expand(2, -1, -1, -1)
    asked = discriminator(same, labels)
    assert asked[0] != asked[1]


def test_d_adds_the_direction_of_the_class_to_what_it_says_of_the_image():
    discriminator = Discriminator(nn.Sequential(nn.Flatten()), nn.Linear(4, 1))
    Conditional(embedding_dim=2).modify_networks(
        Generator(nn.Linear(2, 4)), discriminator, ImageShape(1, 2, class_count=3)
    )
    images, labels = torch.randn(5, 1, 2, 2), torch.tensor([0, 1, 2, 1, 0])
    directions = discriminator.label_projection.weight[labels]  # Miyato and Koyama 2018, equation 3
    expected = discriminator(images) + (directions * images.flatten(1)).sum(1)
    assert torch.allclose(discriminator(images, labels), expected, atol=1e-6)


def test_fakes_have_the_classes_of_the_real_images_beside_them(make_run):
    run = make_run("trick=[conditional]", "train.discriminator_steps=2", *narrow("mlp"))
    drawn, judged = [], []
    generator, judge = run.players.generator.working, run.players.discriminator.working
    generator.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[1]))
    judge.register_forward_pre_hook(lambda _, inputs: judged.append(inputs[1]))
    loop.training_step(run)
    labels = [run.batches[index].labels for index in (0, 1)]
    assert [each.tolist() for each in drawn] == [labels[0].tolist(), labels[1].tolist(), labels[1].tolist()]
    assert [len(each) for each in judged] == [16, 16, 8]
    assert torch.equal(judged[0], labels[0].repeat(2))


def test_a_batch_keeps_each_image_with_its_label():
    from gan.data.datasets import Batches

    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    batches = Batches(ImageDataset(images, torch.arange(10) * 3), 4, seed=0, device=torch.device("cpu"))
    for index in range(5):
        assert torch.equal(batches[index].images.flatten() * 3, batches[index].labels.to(torch.uint8))


def test_a_tiny_conditional_gan_learns_which_class_is_light(make_run):
    run = make_run(
        "trick=[conditional]", "dataset.image_size=8", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]",
        "model.discriminator.dropout=0", "optim.generator.lr=5e-3", "noise.dim=2",
    )  # fmt: skip
    run.batches.labels = torch.arange(64) % 2
    run.batches.images = (run.batches.labels * 200 + 20).to(torch.uint8).view(64, 1, 1, 1).expand(64, 1, 8, 8)
    for _ in range(600):
        loop.training_step(run)
        run.step += 1
    drawn = sampling.generate(run.players.generator.network, torch.randn(64, 2), torch.arange(64) % 2, 64).double()
    assert drawn[0::2].mean() < 70 and drawn[1::2].mean() > 170


def test_a_grid_has_a_column_for_each_class():
    images = (torch.arange(30) % 10 * 20).to(torch.uint8).view(30, 1, 1, 1).expand(30, 1, 4, 4)
    grid = np.asarray(sampling.image_grid(images, classes=10))
    assert grid.shape == (3 * 5 + 1, 10 * 5 + 1)
    assert [int(grid[2 + 5 * row, 2 + 5 * column]) for row in range(3) for column in range(10)] == [
        *range(0, 200, 20)
    ] * 3


def test_a_run_told_of_classes_draws_them_in_columns_and_is_sampled_by_class(train_here, tmp_path):
    run = tmp_path / "run"
    train_here(run, "trick=[conditional]", "train.max_steps=2", "watch.samples=20")
    with Image.open(run / "samples" / "step_0000002.png") as grid:
        assert grid.size == (10 * 29 + 1, 2 * 29 + 1)
    sample_from(run, "class=3", "n=4", "format=npz")
    sample_from(run, "n=4", "format=npz")
    threes = np.load(run / "generated" / "npz_class3_seed0_n4.npz")["images"]
    in_turn = np.load(run / "generated" / "npz_seed0_n4.npz")["images"]
    assert threes.shape == (4, 28, 28, 1)
    assert np.array_equal(threes[3], in_turn[3]) and not np.array_equal(threes[0], in_turn[0])
    sample_from(run, "n=3", "format=interpolation")
    with pytest.raises(ConfigError, match="class=10 is not possible: it should be from 0 to 9"):
        sample_from(run, "class=10")


def sample_from(run, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        sample.sample_images(compose("sample", overrides=[f"run={run}", "device=cpu", *overrides]))


def test_a_run_without_classes_has_none_to_choose(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    with pytest.raises(ConfigError, match=r"trained without trick=\[conditional\]"):
        sample_from(tmp_path, "class=1")


def test_classes_are_refused_where_a_data_set_has_none(tmp_path, cache):
    for number in range(4):
        Image.new("L", (8, 8), number * 50).save(tmp_path / f"{number}.png")
    own = ["dataset=image_folder", f"dataset.path={tmp_path}", f"cache_dir={cache}", "train.batch_size=2"]
    cfg = composed(*own, "trick=[conditional]", "device=cpu")
    with pytest.raises(ConfigError, match="needs classes, and this data set has none"):
        build.build_run(cfg, check.check_config(cfg), {})
