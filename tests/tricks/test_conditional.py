"""Class-conditional GANs."""

import pytest
import torch
from PIL import Image
from torch import nn

from gan import sampling
from gan.config import check
from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from gan.models.base import Discriminator, Generator
from gan.training import build, loop
from gan.tricks.base import Batch
from gan.tricks.conditional import Conditional
from tests.conftest import IMAGE_MODELS, composed, narrow


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_images_and_logits_of_every_model_depend_on_the_class(make_run, model):
    run = make_run(f"model={model}", "trick=[conditional]", "dataset.image_size=16", *narrow(model))
    loop.training_step(run)
    generator, discriminator = (player.network.eval() for player in run.players)
    noise, labels = torch.randn(1, 100).expand(2, -1), torch.tensor([0, 1])
    images = generator(noise, labels)
    assert not torch.equal(images[0], images[1])
    same = images[:1].expand(2, -1, -1, -1)
    logits = discriminator(same, labels)
    assert logits[0] != logits[1]


def test_the_logit_has_a_projection_of_the_features_for_each_class():
    discriminator = Discriminator(nn.Sequential(nn.Flatten()), nn.Linear(4, 1))
    Conditional(embedding_dim=2).modify_networks(
        Generator(nn.Linear(2, 4)), discriminator, ImageShape(1, 2, class_count=3)
    )
    images, labels = torch.randn(5, 1, 2, 2), torch.tensor([0, 1, 2, 1, 0])
    directions = discriminator.label_projection.weight[labels]  # Miyato and Koyama 2018, equation 3
    expected = discriminator(images) + (directions * images.flatten(1)).sum(1)
    assert torch.allclose(discriminator(images, labels), expected, atol=1e-6)


def test_fake_images_have_the_labels_of_the_real_images_of_their_batch(make_run):
    run = make_run("trick=[conditional]", "train.discriminator_steps=2", *narrow("mlp"))
    generated, scored = [], []
    generator, discriminator = run.players.generator.working, run.players.discriminator.working
    generator.register_forward_pre_hook(lambda _, inputs: generated.append(inputs[1].tolist()))
    discriminator.register_forward_pre_hook(lambda _, inputs: scored.append(inputs[1].tolist()))
    loop.training_step(run)
    first, second = (run.batches[index].labels.tolist() for index in (0, 1))
    assert generated == [first, second, second]
    assert scored == [first * 2, second * 2, second]


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
    images = sampling.generate(run.players.generator.network, torch.randn(64, 2), torch.arange(64) % 2, 64).double()
    assert images[0::2].mean() < 70 and images[1::2].mean() > 170


def test_the_grids_of_a_conditional_run_have_a_column_for_each_class(train_here, tmp_path):
    train_here(tmp_path, "trick=[conditional]", "train.max_steps=2", "watch.samples=20")
    with Image.open(tmp_path / "samples" / "step_0000002.png") as grid:
        assert grid.size == (10 * 29 + 1, 2 * 29 + 1)


def test_conditional_needs_a_dataset_with_classes(tmp_path, cache):
    for number in range(4):
        Image.new("L", (8, 8), number * 50).save(tmp_path / f"{number}.png")
    own = ["dataset=image_folder", f"dataset.path={tmp_path}", f"cache_dir={cache}", "train.batch_size=2"]
    cfg = composed(*own, "trick=[conditional]", "device=cpu")
    with pytest.raises(ConfigError, match="trick=conditional"):
        build.build_run(cfg, check.check_config(cfg), {})


@pytest.mark.parametrize("steps", [1, 2])
def test_conditional_needs_new_fake_images_where_the_labels_change(make_run, steps):
    overrides = ["train.reuse_fakes=true", "train.update=generator_first", f"train.discriminator_steps={steps}"]
    if steps == 1:
        loop.training_step(make_run("trick=[conditional]", *overrides, *narrow("mlp")))
        return
    with pytest.raises(ConfigError, match=r"train\.discriminator_steps=2"):
        make_run("trick=[conditional]", *overrides, *narrow("mlp"))


def test_with_acgan_d_predicts_the_class_in_place_of_being_given_it(make_run):
    run = make_run("trick=[conditional]", "trick.conditional.kind=acgan", "trick.conditional.class_weight=2",
                   "model.discriminator.dropout=0", *narrow("mlp"))  # fmt: skip
    discriminator, batch = run.players.discriminator, run.batches[0]
    images = torch.randn(8, 1, 28, 28)
    assert torch.equal(discriminator(images, batch.labels), discriminator(images, (batch.labels + 1) % 10))
    scores = discriminator.predict("classes", images)
    chosen = scores.log_softmax(1)[torch.arange(8), batch.labels]
    terms = run.tricks.generator_terms(run.players, Batch(images, torch.empty(8, 0), batch.labels), images)
    assert terms["classes"].item() == pytest.approx(-2 * chosen.mean().item(), rel=1e-5)
    pair = (images, -images)
    both = run.tricks.discriminator_terms(run.players, Batch(images, torch.empty(8, 0), batch.labels), pair, None)
    negative = discriminator.predict("classes", -images).log_softmax(1)[torch.arange(8), batch.labels]
    assert both["classes"].item() == pytest.approx(-2 * (chosen.mean() + negative.mean()).item(), rel=1e-5)


@pytest.mark.parametrize("update", ["discriminator_first", "simultaneous"])
def test_with_acgan_both_players_lower_the_error_of_the_class(make_run, update):
    run = make_run("trick=[conditional]", "trick.conditional.kind=acgan", f"train.update={update}", "model=dcgan",
                   "dataset.image_size=16", "train.batch_size=32", *narrow("dcgan"))  # fmt: skip
    values = []
    for step in range(60):
        run.step = step
        metrics = loop.training_step(run)
        values.append([metrics[f"{name}/classes"].item() for name in ("generator", "discriminator")])
    assert values[0][0] > 2 and values[0][1] > 4  # log 10, and twice that
    assert values[-1][0] < values[0][0] and values[-1][1] < values[0][1]
    assert metrics["generator/loss"] > metrics["generator/classes"]


def test_without_acgan_d_predicts_no_class(make_run):
    run = make_run("trick=[conditional]", *narrow("mlp"))
    assert not run.players.discriminator.network.heads
    assert not [name for name in loop.training_step(run) if name.endswith("classes")]
