"""Every published set-up, against a table of its published numbers."""

import math
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import nn

from gan import sampling
from gan.config import check
from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from gan.metrics import features
from gan.models.maxout import Maxout, SharedLines
from gan.training import build, loop
from tests.conftest import CONF, POINT_MODELS, POINT_SETS, composed, options

EXPERIMENTS = sorted(
    path.relative_to(CONF / "experiment").with_suffix("").as_posix() for path in (CONF / "experiment").rglob("*.yaml")
)
PLAYERS = ("generator", "discriminator")


def adam(lr, *betas):
    return {"kind": torch.optim.Adam, "lr": lr, "betas": betas, "eps": 1e-8, "weight_decay": 0}


def sgd(lr, momentum):
    return {"kind": torch.optim.SGD, "lr": lr, "momentum": momentum, "nesterov": False, "weight_decay": 0}


GRAY_28 = ImageShape(1, 28)


@dataclass(kw_only=True)
class Published:
    """What was published. Layers are listed in order, with their sizes."""

    generator: str
    discriminator: str
    weights: tuple[int, int]  # number of trained weights of each player
    optimizers: tuple[dict, dict]
    batch_size: int
    epochs: int
    update: str
    pixels: tuple[int, int]
    terms: str = "sum"
    loss: str = "BCEProbabilities"  # NonSaturating: BCEWithLogitsLoss, or Theano, which computes the same from logits
    real_target: object = 1.0
    reuse_fakes: bool = False
    noise: str = "normal"
    image: ImageShape = GRAY_28
    dataset: str = "gan.data.datasets.mnist"
    limit: int | None = None
    watch: dict = field(default_factory=dict)


PAPER_D = "linear 784-512, lines 3, dropout 0.5, linear 512-256, lines 3, linear 256-1"
PAPER_G = "linear 100-256, relu, linear 256-512, relu, linear 512-784, sigmoid"
PAPER = {"batch_size": 64, "epochs": 100, "update": "discriminator_first", "pixels": (0, 1)}
PAPER_WATCH = {
    "noise_scale": pytest.approx(math.sqrt(0.1)),
    "samples": PAPER["batch_size"],
    "samples_every": "1 epoch",
    "log_every": "1 epoch",
}
LOG = {
    "discriminator": "linear 784-256, relu, linear 256-1",
    "weights": (100 * 256 + 256 + 256 * 512 + 512 + 512 * 784 + 784, 784 * 256 + 256 + 257),
    "optimizers": (adam(2e-4, 0.5, 0.999),) * 2,
    "batch_size": 128,
    "epochs": 500,
    "update": "simultaneous",
    "loss": "NaiveLog",
    "watch": {"samples": 25, "samples_every": 2000, "samples_normalized": True},
}
DOWN = "conv {} k4 s2 p1, "
UP = "convT {} k4 s2 p1"

TABLE = {
    "blog/mlp": Published(
        generator="linear 100-256, relu, linear 256-512, relu, linear 512-1024, relu, linear 1024-784, tanh",
        discriminator="linear 784-1024, leaky 0.2, dropout 0.3, linear 1024-512, leaky 0.2, dropout 0.3, "
        "linear 512-256, leaky 0.2, dropout 0.3, linear 256-1",
        weights=(1_486_352, 1_460_225),
        optimizers=(adam(2e-4, 0.5, 0.999),) * 2,
        batch_size=64,
        epochs=200,
        update="generator_first",
        pixels=(-1, 1),
        watch={
            "log_every": "1 epoch", "log_mean": False, "samples": 64, "samples_at": ["1 epoch"],
            "samples_every": "20 epochs", "gif_fps": 2,
        },
    ),
    "blog/paper_sgd": Published(
        generator=PAPER_G, discriminator=PAPER_D, weights=(559_632, 533_505), optimizers=(sgd(0.01, 0.9),) * 2, watch=PAPER_WATCH, **PAPER
    ),
    "blog/paper_adam": Published(
        generator=PAPER_G, discriminator=PAPER_D, weights=(559_632, 533_505), watch=PAPER_WATCH,
        optimizers=(adam(2e-4, 0.9, 0.999), sgd(2e-4, 0.9)), **PAPER,
    ),
    "blog/paper_batchnorm_softlabel": Published(
        generator="linear 100-256, norm 256, relu, linear 256-512, norm 512, relu, linear 512-784, sigmoid",
        discriminator=PAPER_D, weights=(559_632 + 2 * (256 + 512), 533_505), watch=PAPER_WATCH,
        optimizers=(adam(2e-4, 0.9, 0.999), sgd(2e-4, 0.9)), real_target=[0.9, 1.0], **PAPER,
    ),
    "blog/log_sigmoid": Published(
        generator="linear 100-256, relu, linear 256-512, relu, linear 512-784, sigmoid", pixels=(0, 1), **LOG
    ),
    "blog/log_tanh": Published(
        generator="linear 100-256, relu, linear 256-512, relu, linear 512-784, tanh", pixels=(0, 1), **LOG
    ),
    "blog/conv": Published(
        generator="linear 100-49 no bias, norm 49, leaky 0.2, linear 49-2401 no bias, norm 2401, leaky 0.2, "
        "convT 49-24 k4 s2 p1, norm 24, leaky 0.2, convT 24-12 k4 s2 p1, norm 12, leaky 0.2, conv 12-1 k3 s1 p1, tanh",
        discriminator="conv 1-32 k3 s1 p0, norm 32, leaky 0.2, pool 2, conv 32-64 k3 s1 p0, norm 64, leaky 0.2, pool 2, "
        "conv 64-128 k3 s1 p0, norm 128, leaky 0.2, pool 2, linear 128-1 no bias, norm 1",
        weights=(4900 + 98 + 117_649 + 4802 + 18_816 + 48 + 4608 + 24 + 108, 288 + 64 + 18_432 + 128 + 73_728 + 256 + 128 + 2),
        optimizers=(adam(0.01, 0.9, 0.999),) * 2,
        batch_size=64,
        epochs=30,
        update="discriminator_first",
        pixels=(-1, 1),
        terms="mean",
        loss="NonSaturating",
        watch={"log_every": "1 epoch", "log_mean": True, "samples": 5},
    ),
    "blog/dcgan_cifar10": Published(
        generator="convT 100-512 k4 s1 p0, norm 512, relu, "
        + ", ".join(f"{UP.format(widths)}, norm {widths.split('-')[1]}, relu" for widths in ("512-256", "256-128", "128-64"))
        + ", convT 64-3 k4 s2 p1, tanh",
        discriminator="conv 3-64 k4 s2 p1, leaky 0.2, "
        + ", ".join(f"conv {widths} k4 s2 p1, norm {widths.split('-')[1]}, leaky 0.2" for widths in ("64-128", "128-256", "256-512"))
        + ", conv 512-1 k4 s1 p0",
        weights=(3_576_704, 2_765_568),
        optimizers=(adam(2e-4, 0.5, 0.999),) * 2,
        batch_size=64,
        epochs=200,
        update="discriminator_first",
        reuse_fakes=True,
        pixels=(-1, 1),
        image=ImageShape(3, 64),
        dataset="gan.data.datasets.cifar10",
        watch={"samples_every": [100, "1 epoch"], "samples_normalized": True, "checkpoint_every": "1 epoch"},
    ),
    "paper/goodfellow2014_mnist": Published(
        generator="linear 100-1200, relu, linear 1200-1200, relu, linear 1200-784, sigmoid",
        discriminator="dropout 0.2, maxout 784-240x5, dropout 0.5, maxout 240-240x5, dropout 0.5, linear 240-1",
        weights=(121_200 + 1_441_200 + 941_584, 785 * 1200 + 241 * 1200 + 241),
        optimizers=(sgd(0.1, 0.5),) * 2,
        batch_size=100,
        epochs=250,
        update="simultaneous",
        pixels=(0, 1),
        terms="mean",
        loss="NonSaturating",
        noise="uniform",
        limit=50_000,
    ),
}  # fmt: skip


def describe(network):
    """A network's layers, in order."""
    names, inside = [], []
    for module in network.modules():
        if module in inside:
            continue
        match module:
            case Maxout():
                inside += list(module.modules())
                names.append(f"maxout {module.linear.in_features}-{module.units}x{module.pieces}")
            case SharedLines():
                names.append(f"lines {len(module.weights)}")
            case nn.Linear():
                names.append(
                    f"linear {module.in_features}-{module.out_features}" + (" no bias" if module.bias is None else "")
                )
            case nn.Conv2d() | nn.ConvTranspose2d():
                name = "convT" if isinstance(module, nn.ConvTranspose2d) else "conv"
                assert module.bias is None
                names.append(
                    f"{name} {module.in_channels}-{module.out_channels} k{module.kernel_size[0]} s{module.stride[0]} p{module.padding[0]}"
                )
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                assert (module.eps, module.momentum) == (1e-5, 0.1)
                names.append(f"norm {module.num_features}")
            case nn.ReLU():
                names.append("relu")
            case nn.LeakyReLU():
                names.append(f"leaky {module.negative_slope}")
            case nn.Dropout():
                names.append(f"dropout {module.p}")
            case nn.MaxPool2d():
                names.append(f"pool {module.kernel_size}")
            case nn.Tanh() | nn.Sigmoid():
                names.append(type(module).__name__.lower())
    return ", ".join(names)


def test_the_table_has_every_published_set_up():
    assert set(TABLE) == {name for name in EXPERIMENTS if name.startswith(("blog/", "paper/"))}


@pytest.mark.parametrize("name", TABLE)
def test_the_networks_are_as_published(name):
    cfg, published = composed(f"experiment={name}"), TABLE[name]
    for player, expected, count in zip(
        PLAYERS, (published.generator, published.discriminator), published.weights, strict=True
    ):
        network = build.build_networks(cfg, published.image)[PLAYERS.index(player)]
        assert describe(network) == expected
        assert sum(weight.numel() for weight in network.parameters() if weight.requires_grad) == count
    assert build.build_networks(cfg, published.image)[0].pixel_range == published.pixels
    assert (cfg.noise.dim, cfg.noise.kind) == (100, published.noise)


@pytest.mark.parametrize("name", TABLE)
def test_the_optimizers_are_as_published(name):
    cfg = composed(f"experiment={name}")
    for player, expected in zip(PLAYERS, TABLE[name].optimizers, strict=True):
        optimizer = instantiate(cfg.optim[player], [nn.Parameter(torch.zeros(1))], _convert_="all")
        assert type(optimizer) is expected["kind"]
        options = {name: value for name, value in expected.items() if name != "kind"}
        assert {name: optimizer.defaults[name] for name in options} == options
    assert bool(cfg.optim.schedule) is (name == "paper/goodfellow2014_mnist")


@pytest.mark.parametrize("name", TABLE)
def test_the_updates_the_dataset_and_the_logging_are_as_published(name):
    cfg, published = composed(f"experiment={name}"), TABLE[name]
    settings = check.check_config(cfg)
    train = settings.train
    assert (train.batch_size, train.epochs, train.max_steps) == (published.batch_size, published.epochs, None)
    assert (train.update, train.reuse_fakes, train.discriminator_steps) == (published.update, published.reuse_fakes, 1)
    assert train.ema_decay is None
    assert list(cfg.trick) == (["soft_labels"] if published.real_target != 1.0 else [])
    assert (cfg.dataset._target_, cfg.dataset.limit) == (published.dataset, published.limit)
    assert cfg.dataset.image_size == (64 if published.image.size == 64 else None)
    watch = settings.watch.model_dump()
    assert {setting: watch[setting] for setting in published.watch} == published.watch
    assert watch["final_samples"] == 100


@pytest.mark.parametrize("name", TABLE)
def test_the_loss_at_known_logits_is_as_published(name):
    cfg, published = composed(f"experiment={name}"), TABLE[name]
    loss = instantiate(cfg.loss, _convert_="all")
    assert type(loss).__name__ == published.loss
    real, fake = torch.tensor([math.log(3.0)]), torch.tensor([-math.log(4.0)])  # D(x) = 3/4, D(G(z)) = 1/5
    total = loss.total(loss.discriminator(real, fake)).item()
    factor = 0.5 if published.terms == "mean" else 1.0
    hard = factor * (-math.log(0.75) - math.log(0.8))
    if published.real_target == 1.0:
        assert total == pytest.approx(hard, abs=1e-6)
    else:  # each of the targets from 0.9 to 1 adds (1 - target) log 3
        assert loss.real_target == published.real_target and loss.fake_target == 0.0
        assert hard <= total <= hard + 0.1 * math.log(3) + 1e-6
    assert loss.generator(real, fake).item() == pytest.approx(-math.log(0.2), abs=1e-6)


@pytest.mark.parametrize("name", TABLE)
def test_the_loss_where_the_discriminator_is_sure_and_wrong_is_as_published(name):
    """Its value and D's gradient for a fake image with a logit of 50, and G's for one with -50."""
    published = TABLE[name]
    bounded = torch.nn.BCELoss()
    functions = {
        "BCEProbabilities": lambda logits, label: bounded(logits.sigmoid(), torch.full_like(logits, label)),
        "NonSaturating": lambda logits, label: F.binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, label)
        ),
        "NaiveLog": lambda logits, label: -torch.log(logits.sigmoid() if label else 1 - logits.sigmoid()).mean(),
    }
    loss = instantiate(composed(f"experiment={name}").loss, _convert_="all")
    for logit, label in ((50.0, 0.0), (-50.0, 1.0)):
        ours, theirs = (torch.tensor([logit], requires_grad=True) for _ in range(2))
        real = torch.zeros(1)
        value = loss.generator(None, ours) if label else loss.discriminator(real, ours)["loss_fake"]
        expected = functions[published.loss](theirs, label)
        value.backward()
        expected.backward()
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(ours.grad, theirs.grad, equal_nan=True, rtol=1e-4, atol=0)


def test_five_images_are_one_row_as_published():
    assert sampling.grid_columns(composed("experiment=blog/conv").watch.samples, 0) == 5


def test_the_initial_weights_of_goodfellow_2014_are_as_published():
    cfg = composed("experiment=paper/goodfellow2014_mnist")
    for player, bound in (("generator", 0.05), ("discriminator", 0.005)):
        for module in build.build_networks(cfg, ImageShape(1, 28))[PLAYERS.index(player)].modules():
            if isinstance(module, nn.Linear):
                assert module.weight.abs().max().item() == pytest.approx(bound, rel=0.02) and (module.bias == 0).all()


# The others of the ablation differ in their trick alone, and every trick is trained in tests of its own. So is toy/*.
DISTINCT = [
    name
    for name in EXPERIMENTS
    if not name.startswith(("trick/", "toy/")) or name in ("trick/none", "trick/mixed_batches")
]


@pytest.mark.parametrize("name", DISTINCT)
def test_every_experiment_trains_a_few_steps(small, name, monkeypatch):
    for constant, value in {"EPOCHS": 1, "MIN_STEPS": 5, "MIN_ACCURACY": 0}.items():  # of the classifier for scores
        monkeypatch.setattr(features, constant, value)
    cfg = composed(f"experiment={name}", "dataset=digits", *small, "dataset.image_size=32")
    run = build.build_run(cfg, check.check_config(cfg), {})
    for _ in range(3):
        metrics = loop.training_step(run)
        run.step += 1
    assert not loop.find_non_finite(run)
    assert {"discriminator/loss", "generator/loss"} <= metrics.keys()
    assert any(name.startswith("discriminator/loss_") for name in metrics)


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name.startswith("toy/")])
def test_every_toy_set_up_trains_a_few_steps(cache, name):
    cfg = composed(
        f"experiment={name}", "dataset.count=600", f"cache_dir={cache}", "device=cpu", "watch.scores_every=1"
    )
    run = build.build_run(cfg, check.check_config(cfg), {})
    for _ in range(2):
        loop.training_step(run)
        run.step += 1
    assert not loop.find_non_finite(run) and run.generator.pixel_range is None


@pytest.mark.slow
def test_one_command_runs_all_tutorials(program, cache, tmp_path):
    """`-m experiment=glob(blog/*)`, here on drawn digits of 8 pixels."""
    small = ["dataset=digits", "dataset.count=640", "dataset.image_size=8", "train.batch_size=4", "train.max_steps=2"]
    done = program(
        "train.py", "-m", "experiment=glob(blog/*)", *small, f"cache_dir={cache}", f"hydra.sweep.dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    folders = [path.parent.name for path in tmp_path.glob("*/status.json")]
    names = [name for name in EXPERIMENTS if name.startswith("blog/")]
    assert sorted(folders) == sorted(f"experiment-{name.replace('/', '-')}" for name in names)
    assert done.stdout.count(" finished ") == len(names)


NO_TARGETS = {  # losses that label smoothing does not go with
    loss for loss in options("loss") if "real_target" not in (CONF / "loss" / f"{loss}.yaml").read_text("utf-8")
}
NO_BETAS = {name for name in options("optim") if "betas" not in (CONF / "optim" / f"{name}.yaml").read_text("utf-8")}
NEEDED = {  # experiments that set what some options do not have, and those options
    "blog/paper_batchnorm_softlabel": {"loss": NO_TARGETS, "model": {"linear", "residual"}},
    "speedrun": {"model": {"linear", "maxout", "residual"}, "optim": NO_BETAS},
    "trick/label_smoothing": {"loss": NO_TARGETS},
    "trick/soft_labels": {"loss": NO_TARGETS},
    "trick/separate_batches": {"model": {"linear", "maxout", "residual"}},
    "trick/mixed_batches": {"model": {"linear", "maxout", "residual"}},
}


@pytest.mark.parametrize("name", sorted({*DISTINCT, *NEEDED}))
@pytest.mark.slow
def test_every_group_can_still_be_chosen_after_an_experiment(name):
    """The configuration is valid. Whether its parts go together is for the tests of combinations."""
    groups, excluded = ("model", "optim", "loss", "dataset"), NEEDED.get(name, {})
    of_points = () if name.startswith("toy/") else (*POINT_MODELS, *POINT_SETS)  # without the settings of images
    allowed = {
        group: [option for option in options(group) if option not in {*excluded.get(group, ()), *of_points}]
        for group in groups
    }
    for number in range(max(map(len, allowed.values()))):  # one of each group at a time
        chosen = [f"{group}={names[number % len(names)]}" for group, names in allowed.items()]
        more = ["dataset.path=x"] if {"dataset=image_folder", "dataset=points"} & {*chosen} else []
        check.check_config(composed(f"experiment={name}", *chosen, *more))


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        (name, f"{group}={option}")
        for name, excluded in NEEDED.items()
        for group in excluded
        for option in sorted(excluded[group])
    ],
)
def test_an_option_without_what_an_experiment_sets_is_an_error_that_names_it(name, chosen):
    with pytest.raises(ConfigError, match=r"real_target|norm|betas"):
        check.check_config(composed(f"experiment={name}", chosen))
