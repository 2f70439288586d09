"""Run folders as training leaves them, written by hand."""

import copy
import functools
import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from gan.metrics.catalogue import PROTOCOL
from gan.report.runs import RunFolder

CHOICES = {"model": "mlp", "optim": "adam", "trick": None, "hydra/launcher": "basic"}
CONFIG = {"seed": 0, "train": {"batch_size": 32}, "model": {"generator": {"hidden": [32]}}}
COMPLETE_PROTOCOL = dict.fromkeys(PROTOCOL, "x") | {"split": "test"}


def write_run(
    folder: Path, *overrides, losses=(1.0, 0.5), state="finished", scores=None, error=None, frames=3, shade=100
) -> None:
    """A run for the report: configuration, losses, status and sample grids."""
    (folder / ".hydra").mkdir(parents=True)
    pairs = [override.split("=", 1) for override in overrides]
    choices = CHOICES | {name: value for name, value in pairs if name in CHOICES}
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.dump(list(overrides)))
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": {"runtime": {"choices": choices}}}))
    config = copy.deepcopy(CONFIG)
    for name, value in pairs:
        *path, last = name.split(".")
        node = functools.reduce(lambda node, part: node.setdefault(part, {}), path, config)
        if not isinstance(node.get(last), dict) and name not in CHOICES:
            node[last] = yaml.safe_load(value)
    (folder / ".hydra" / "config.yaml").write_text(yaml.dump(config))
    rows = [
        {"step": 10 * i, "epoch": i, "seconds": i, "discriminator/loss": loss, "generator/loss": 2 * loss}
        for i, loss in enumerate(losses, 1)
    ]
    write_rows(folder / "metrics.jsonl", rows)
    last = {"discriminator/loss": losses[-1], "generator/loss": 2 * losses[-1]} if losses else {}
    status = {"state": state, "step": 10 * len(losses), "seconds": 7.0, "images_per_second": 100.0, "last": last}
    status |= {"scores": scores or {}, "error": error, "machine": "a box"}
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "samples").mkdir()
    for step in range(frames):
        Image.new("L", (8, 8), shade + step).save(folder / "samples" / f"step_{step:07d}.png")


def write_claim_run(folder: Path, *overrides, rows=(), scores=(), steps=100, generated=2000, **status) -> RunFolder:
    """A run for claims, of 10 steps an epoch.

    `rows` are (epoch, D loss, G loss, D(x), D(G(z)) and more by name), `scores` (epoch, FID or metrics by column).
    """
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.dump(list(overrides)))
    names = "discriminator/loss", "generator/loss", "discriminator/real", "discriminator/fake"
    logged = [
        {"step": 10 * row[0], "epoch": row[0]} | dict(zip(names, row[1:5], strict=True)) | (row[5] if row[5:] else {})
        for row in rows
    ]
    write_rows(folder / "metrics.jsonl", logged)
    protocol = COMPLETE_PROTOCOL | {"generated": generated}
    columns = [(epoch, values if isinstance(values, dict) else {"fid_mnist": values}) for epoch, values in scores]
    write_rows(folder / "scores.jsonl", [protocol | {"step": round(10 * epoch)} | values for epoch, values in columns])
    complete = {"state": "finished", "step": steps, "epoch": steps / 10, "seconds": 60.0, "machine": "a box"}
    (folder / "status.json").write_text(json.dumps(complete | status))
    return RunFolder(folder)


def write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def sweep(tmp_path):
    """Two models by two optimizers by two seeds; one of the four has a single run, which never started."""
    number = 0
    for model, optim, losses in (
        ("mlp", "adam", (0.4, 0.6)),
        ("mlp", "sgd", (1.0, 1.0)),
        ("dcgan", "adam", (0.2, 0.3)),
    ):
        for seed, loss in enumerate(losses):
            write_run(
                tmp_path / f"{number}_{model}_{optim}",
                f"model={model}",
                f"optim={optim}",
                f"seed={seed}",
                losses=(1.0, loss),
                scores={"fid_mnist": 10 * loss, "dataset": "x"},
                shade=20 * number,
            )
            number += 1
    overrides = "model=dcgan", "optim=sgd", "seed=0"
    write_run(tmp_path / "6_dcgan_sgd", *overrides, losses=(), state="refused", error="no <b>luck</b>.", frames=0)
    return tmp_path
