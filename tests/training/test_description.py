"""The lines that say what a run is."""

from pathlib import Path

import pytest

from gan.training.description import describe_length, describe_progress, describe_run

SMALL = ["model.generator.hidden=[3]", "model.discriminator.hidden=[2]", "noise.dim=5"]
MLP = ["model=mlp", "model.generator.norm=none", *SMALL]


def described(run):
    """What each label says."""
    lines = describe_run(run, Path("somewhere/run"))
    assert all(len(line) <= 100 for line in lines) and len(lines) <= 12
    joined = " ".join(line.strip() if line.startswith(" " * 10) else f"\n{line.strip()}" for line in lines)
    return dict(line.strip().split(maxsplit=1) for line in joined.strip().split("\n"))


def test_a_run_is_described_in_full(make_run):
    said = described(
        make_run(*MLP, "optim=adam", "optim.discriminator.lr=1e-3", "optim.generator.lr=2e-4", "threads=1")
    )
    assert "cpu" in said["device"] and "1 thread" in said["device"] and "fp32" in said["device"]
    assert all(part in said["data"] for part in ("digits", "64 images", "28x28x1", "-1 to 1"))
    assert said["classes"].startswith("10 classes") and said["classes"].endswith("9 (4)")
    assert "dataset.limit" in said["data"] and "skipped" not in said["data"]
    generator = 5 * 3 + 3 + 3 * 784 + 784
    discriminator = 784 * 2 + 2 + 2 + 1
    assert f"{generator:,} parameters" in said["generator"] and f"{discriminator:,} parameters" in said["discriminator"]
    assert "adam, lr 0.0002, betas [0.5, 0.999]" in said["generator"] and "lr 0.001," in said["discriminator"]
    assert said["loss"].startswith("NonSaturating") and "no tricks" in said["loss"] and "0.999" in said["loss"]
    assert "10 of 8 images" in said["steps"]
    assert said["curves"] == "tensorboard --logdir somewhere"


def test_what_differs_from_the_usual_is_described(make_run):
    chosen = ["optim=goodfellow2014", "trick=[r1,instance_noise]", "train.ema_decay=null", "loss=hinge"]
    run = make_run(*MLP, *chosen, "model.generator.output=sigmoid", "train.discriminator_steps=2", "precision=bf16")
    run.data.skipped.update({".heic": 10, "unreadable": 3})
    run.step = 4
    said = described(run)
    assert "bf16" in said["device"] and "values 0 to 1" in said["data"]
    assert said["data"].endswith("skipped: 10 .heic, 3 unreadable")
    assert "sgd, lr 0.1, momentum 0.5" in said["generator"] and "scheduled lr, momentum" in said["discriminator"]
    assert said["loss"] == "Hinge; tricks r1, instance_noise; no EMA"
    assert said["steps"].startswith("4 to 10 of 8 images and 2 updates of D")


@pytest.mark.parametrize(
    ("limits", "first", "later"),
    [
        (["train.epochs=3", "train.max_steps=99"], "train.epochs=3", "train.max_steps=99"),
        (["train.epochs=3", "train.max_steps=5"], "train.max_steps=5", "train.epochs=3"),
        (["train.epochs=3", "train.max_steps=null"], None, None),
        (["train.epochs=null", "train.max_steps=5"], None, None),
    ],
)
def test_of_two_limits_the_one_that_ends_the_run_is_named(make_run, limits, first, later):
    text = describe_length(make_run(*limits))
    assert (f"{first} ends before {later}" in text) if first else "train." not in text


def test_a_logging_point_is_a_line(make_run):
    run = make_run("train.max_steps=50", "train.epochs=null")
    run.step, run.images_per_second, run.seconds = 10, 16.0, 65.2  # two steps a second
    metrics = {"discriminator/loss": 1.2345, "generator/loss": -12.3456, "discriminator/real": 0.6, "generator/lr": 0.1}
    line = describe_progress(run, metrics | {"discriminator/fake": float("nan")})
    assert line.startswith("step 10/50  epoch 1.25  D loss 1.234  G loss -12.346  D(x) 0.600  D(G(z)) nan  ")
    assert line.endswith("nan  [01:05<00:20]")
    run.step = 50
    assert describe_progress(run, metrics).endswith("  [01:05<00:00]")
