"""The folder of a made-up run: what training and gan.evaluate leave, without weights and event files."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL.Image import Quantize

import gan
from gan.cli.job_settings import to_yaml
from gan.cli.overrides import with_steps_alone
from gan.system import files, locks, status
from tests.report import made_up_images as images
from tests.report.made_up_numbers import Fate, score_numbers, training_curves
from tests.report.made_up_settings import composed

NEIGHBORS = 16
TRAINING_SCORES, EVALUATION = 2_000, 10_000  # generated images per score
MACHINE = "AMD EPYC, 2 threads; torch 2.14.1+cu130, Python 3.11.7"
DATASETS = {  # training images, side, channels, and the accuracy of the classifier that gives the features
    "digits": (20_000, 28, 1, 0.9985),
    "mnist": (60_000, 28, 1, 0.9928),
    "cifar10": (50_000, 32, 3, 0.864),
}
SPEED = {"mlp": 2200.0, "dcgan": 1100.0, "conv": 1500.0, "residual": 420.0}  # images per second
DEAD_PROCESS = 2**22 + 1  # beyond what Linux gives


class MadeUpRun:
    """A run in `folder` with the settings that these overrides give; numbers depend on them and on `fate` alone."""

    def __init__(self, folder: Path, overrides: list[str], fate: Fate, search: dict[str, str] | None = None) -> None:
        self.folder, self.fate = folder, fate
        self.cfg, self.hydra = composed(folder, with_steps_alone(overrides), search)
        choices = self.hydra.hydra.runtime.choices
        self.dataset, self.model = choices.dataset, choices.model
        self.image_count, self.size, self.channels, self.accuracy = DATASETS[self.dataset]
        train, watch = self.cfg.train, self.cfg.watch
        self.steps_per_epoch = self.image_count // train.batch_size
        limits = [train.epochs and train.epochs * self.steps_per_epoch, train.max_steps]
        self.total_steps = min(int(limit) for limit in limits if limit)
        self.steps = int(self.total_steps * fate.progress)
        self.log_steps = [*range(watch.log_every, self.steps, watch.log_every), self.steps]
        self.grid_steps = [*range(0, self.steps, watch.samples_every), self.steps]
        due = [*range(0, self.total_steps, watch.scores_every), self.total_steps] if watch.scores_every else []
        self.score_steps = [step for step in due[1:] if step <= self.steps]
        self.seed = zlib.crc32(" ".join(overrides).encode())
        self.speed = SPEED.get(self.model, 1500.0) * self.rng("speed").uniform(0.93, 1.04)

    def rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def write(self) -> None:
        """Write all its files."""
        for name, text in {
            "config": to_yaml(self.cfg),
            "hydra": OmegaConf.to_yaml(self.hydra),
            "overrides": OmegaConf.to_yaml(self.hydra.hydra.overrides.task),
        }.items():
            write_text(self.folder / ".hydra" / f"{name}.yaml", text)
        (self.folder / ".lock").touch()
        if self.fate.state == "refused":
            self.write_status({}, {}, {})
            return
        rows, scores = self.rows(), [self.scores_at(step, TRAINING_SCORES) for step in self.score_steps]
        write_text(self.folder / "metrics.jsonl", json_lines(rows))
        if scores:
            write_text(self.folder / "scores.jsonl", json_lines(scores))
        last_scores, real_data = (scores[-1], self.real_data(TRAINING_SCORES)) if scores else ({}, {})
        self.write_images()
        if self.fate.evaluated:
            last_scores, real_data = self.scores_at(self.steps, EVALUATION), self.real_data(EVALUATION)
            self.write_evaluation(last_scores, real_data)
        self.write_status(rows[-1], last_scores, real_data)
        self.write_log(rows, scores)
        (self.folder / "checkpoints").mkdir(exist_ok=True)
        (self.folder / "checkpoints" / "last.pt").write_bytes(b"made up: no weights")

    def quality_at(self, step: int) -> float:
        return self.fate.quality_at(step / self.total_steps)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        columns = training_curves(np.array(self.log_steps) / self.total_steps, self.fate, self.rng("metrics"))
        optim = self.cfg.optim
        rates = {"generator/lr": optim.generator.lr, "discriminator/lr": optim.discriminator.lr}
        rows = [
            {"step": step, "epoch": round(step / self.steps_per_epoch, 4), "seconds": self.seconds_at(step)}
            | {name: float(column[number]) for name, column in columns.items()}
            | rates
            for number, step in enumerate(self.log_steps)
        ]
        if self.fate.state == "diverged":  # a value that is not finite is null there
            rows[-1] |= dict.fromkeys(("generator/loss", "generator/gradient_norm"))
        return rows

    def seconds_at(self, step: int) -> float:
        return round(step * self.cfg.train.batch_size / self.speed, 2)

    def scores_at(self, step: int, generated: int) -> dict[str, Any]:
        """A row of scores.jsonl, of `generated` images."""
        rng = self.rng(f"scores {step} {generated}")
        numbers = score_numbers(self.dataset, self.quality_at(step), self.fate.collapsed, rng)
        return {"step": step} | numbers | self.protocol(generated)

    def real_data(self, generated: int) -> dict[str, Any]:
        """The scores of as many real images, the same for all runs on this dataset."""
        rng = np.random.default_rng(zlib.crc32(self.dataset.encode()))
        return score_numbers(self.dataset, 0.97, False, rng) | self.protocol(generated)

    def protocol(self, generated: int) -> dict[str, Any]:
        features = f"{self.dataset}-{self.size}x{self.size}x{self.channels}-7d2957db"
        data = {"dataset": f"{self.dataset}-de55e556", "features": features, "accuracy": self.accuracy}
        return data | {"generated": generated, "real": 10_000, "split": "test"}

    def write_images(self) -> None:
        """Write the sample grids, real.png, final.png and samples.gif."""
        count = self.cfg.watch.samples
        columns = 10 if count % 10 == 0 else 8
        real = images.real_images(self.size, self.channels)[:count]
        images.save_png(images.image_grid((255 * real).astype(np.uint8), columns), self.folder / "samples" / "real.png")
        grids = [images.image_grid(self.draw(step, count, 0), columns) for step in self.grid_steps]
        for step, grid in zip(self.grid_steps, grids, strict=True):
            images.save_png(grid, self.folder / "samples" / files.grid_name(step))
        if self.fate.state != "running":
            final = images.image_grid(self.draw(self.steps, self.cfg.watch.final_samples, 1), 10)
            images.save_png(final, self.folder / "final.png")
            if self.fate.animated:
                frames = [grid if self.channels == 1 else grid.quantize(method=Quantize.FASTOCTREE) for grid in grids]
                options = {"save_all": True, "append_images": frames[1:], "duration": 250, "loop": 0}
                frames[0].save(self.folder / "samples.gif", **options)

    def draw(self, step: int, count: int, noise: int) -> np.ndarray:
        """Generated images uint8 (count, H, W, C) of a step."""
        collapsed = self.fate.collapsed and step > 0.5 * self.total_steps
        options = {"quality": self.quality_at(step), "collapsed": collapsed, "seed": self.seed + noise}
        return images.generated_images(self.size, self.channels, count, **options)

    def write_evaluation(self, scores: dict[str, Any], real_data: dict[str, Any]) -> None:
        """Write scores.json and figures/neighbors.png as gan.evaluate does."""
        record = self.protocol(EVALUATION)
        numbers = {
            part: {name: {"mean": row[name], "spread": None} for name in row if name not in ("step", *record)}
            for part, row in (("scores", scores), ("real_data", real_data))
        }
        key = {"step": self.steps, "checkpoint": "last", "ema": True, "seeds": [0]}
        write_text(self.folder / "scores.json", json.dumps([key | record | numbers], indent=2) + "\n")
        drawn = self.draw(self.steps, NEIGHBORS, 2)
        real = (255 * images.real_images(self.size, self.channels)).astype(np.uint8)
        distances = ((drawn[:, None].astype(np.float32) - real) ** 2).sum((2, 3, 4))
        pairs = np.concatenate([drawn, real[distances.argmin(1)]])
        images.save_png(images.image_grid(pairs, NEIGHBORS), self.folder / "figures" / "neighbors.png")

    def write_status(self, last: dict[str, Any], scores: dict[str, Any], real_data: dict[str, Any]) -> None:
        """Write status.json; of a run that never started, as it is then."""
        state = self.fate.state
        content = status.INITIAL | {"state": "running" if state == "interrupted" else state, "error": self.fate.error}
        if state != "refused":
            shape = [self.channels, self.size, self.size]
            host, pid = (locks.HOST, DEAD_PROCESS) if state == "interrupted" else ("another-host", 4127)
            numbers = {name: value for name, value in last.items() if "/" in name}
            content |= {
                "step": self.steps,
                "epoch": round(self.steps / self.steps_per_epoch, 4),
                "seconds": self.seconds_at(self.steps),
                "images_per_second": round(self.speed, 1),
                "version": gan.__version__,
                "machine": MACHINE,
                "data": {"images": self.image_count, "shape": shape, "classes": 10, "skipped": {}},
                "process": {"host": host, "pid": pid},
                "last": {name: value if value is None else round(value, 6) for name, value in numbers.items()},
                "failures": self.failures(),
                "scores": {name: value for name, value in scores.items() if name != "step"},
                "real_data": real_data,
            }
        write_text(self.folder / "status.json", json.dumps(content, indent=2) + "\n")

    def failures(self) -> list[dict[str, Any]]:
        """What trick=track_failures finds."""
        if not self.fate.collapsed:
            return []
        what = "G's images are almost all alike (standard deviation 11.32% of that of real images), for 500 steps."
        return [{"step": self.log_steps[int(0.7 * len(self.log_steps))], "what": what}]

    def write_log(self, rows: list[dict[str, Any]], scores: list[dict[str, Any]]) -> None:
        """Write train.log."""
        lines = [
            f"run folder     {self.folder.name}",
            f"device         cpu, fp32: {MACHINE}",
            f"data           {self.dataset}: {self.image_count:,} images of {self.size}x{self.size}x{self.channels}, "
            "values -1 to 1, 10 classes",
            f"steps          {self.total_steps:,} of {self.cfg.train.batch_size} images",
        ]
        fids = {row["step"]: row[f"fid_{self.dataset}"] for row in scores}
        names = ("discriminator/loss", "generator/loss", "discriminator/real", "discriminator/fake")
        line = "step {:>6}/{}  epoch {:.2f}  D loss {}  G loss {}  D(x) {}  D(G(z)) {}"
        for row in rows:
            numbers = ("nan" if row[name] is None else f"{row[name]:.3f}" for name in names)
            lines.append(line.format(row["step"], self.total_steps, row["epoch"], *numbers))
            if row["step"] in fids:
                lines.append(f"step {row['step']}: FID on {self.dataset} features {fids[row['step']]:.3f}")
        lines += [f"{self.fate.state}: {self.fate.error}"] if self.fate.error else []
        times = (f"2026-11-20 14:{second // 60 % 60:02}:{second % 60:02},000" for second in range(len(lines)))
        text = "".join(f"{time} INFO   {line}\n" for time, line in zip(times, lines, strict=True))
        write_text(self.folder / "train.log", text)


def json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
