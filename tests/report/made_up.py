"""Folders of made-up runs for pages that are looked at, tested and measured: believable, and without training.

python -m tests.report.made_up sweep FOLDER      # also: one, pair, seeds, search, mixed, many
"""

import argparse
import itertools
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from gan.cli.names import folder_name, job_name
from tests.report.made_up_numbers import Fate
from tests.report.made_up_run import MadeUpRun
from tests.report.made_up_settings import write_multirun

QUALITY = {("mlp", "adam"): 0.84, ("mlp", "sgd"): 0.66, ("dcgan", "adam"): 0.92, ("dcgan", "sgd"): 0.8}
LOSS_PENALTY = {"nonsaturating": 0.03, "hinge": 0.0, "least_squares": 0.06}
DIVERGED = "the generator's loss or gradient was not finite at step {}; its update was skipped."
FULL_DISK = "outputs/run/checkpoints/last.pt: No space left on device; free some, and type the same command again."
REFUSED = (
    "BatchNorm in the discriminator does not go with a gradient penalty, which is defined for each image alone: choose "
    "model.discriminator.norm=none, or leave the penalty out."
)
UNUSUAL = [  # what else becomes of a run than to finish with good images
    Fate(quality=0.7, state="diverged", error=DIVERGED.format(1210), progress=0.48),
    Fate(quality=0.3, state="diverged", error=DIVERGED.format(100), progress=0.04),
    Fate(quality=0.8, state="failed", error=FULL_DISK, progress=0.55),
    Fate(quality=0.4, state="failed", error="RuntimeError: shapes <4> & <5> do not go together.", progress=0.1),
    Fate(quality=0.85, state="running", progress=0.4),
    Fate(quality=0.88, state="running", progress=0.83),
    Fate(quality=0.8, state="interrupted", progress=0.66),
    Fate(quality=0.8, state="stopped", progress=0.5),
    Fate(quality=0.75, collapsed=True, evaluated=True),
    Fate(quality=0.75, collapsed=True, state="stopped", error="stopped by trick=track_failures.", progress=0.8),
    Fate(state="refused", error=REFUSED),
    Fate(
        state="refused", error="trick=packing does not go with trick=conditional: a logit would have several classes."
    ),
]


def write_one(folder: Path) -> None:
    """One finished run with scores and nearest training images; `folder` is the run."""
    overrides = ["dataset=mnist", "loss=hinge", "train.epochs=2", "watch.scores_every=500"]
    MadeUpRun(folder, overrides, Fate(quality=0.9, evaluated=True)).write()


def write_pair(folder: Path) -> None:
    """Two runs, to be compared."""
    for loss, rate, quality in (("hinge", "1e-3", 0.86), ("least_squares", "2e-4", 0.71)):
        overrides = [f"loss={loss}", f"optim.generator.lr={rate}"]
        constant = ["dataset=mnist", "train.epochs=2", "watch.scores_every=500"]
        MadeUpRun(folder / loss, [*overrides, *constant], Fate(quality=quality, evaluated=True)).write()


def write_sweep(folder: Path) -> None:
    """`-m model=mlp,dcgan optim=adam,sgd`: four finished runs with scores."""
    for (model, optim), quality in QUALITY.items():
        overrides = [f"model={model}", f"optim={optim}"]
        run = folder / job_name(overrides, ["model", "optim"])
        MadeUpRun(run, [*overrides, "watch.scores_every=500"], Fate(quality=quality, evaluated=True)).write()
    write_multirun(folder, ["model=mlp,dcgan", "optim=adam,sgd", "watch.scores_every=500"])


def write_seeds(folder: Path) -> None:
    """Three seeds of four settings, one of which diverged with one seed."""
    for (model, optim), seed in itertools.product(QUALITY, range(3)):
        overrides = [f"model={model}", f"optim={optim}", f"seed={seed}"]
        fate = Fate(quality=QUALITY[model, optim] + 0.02 * (seed - 1), evaluated=True)
        if (model, optim, seed) == ("mlp", "sgd", 1):
            fate = Fate(quality=0.5, state="diverged", error=DIVERGED.format(1500), progress=0.6)
        name = job_name(overrides, ["model", "optim", "seed"])
        MadeUpRun(folder / name, [*overrides, "watch.scores_every=500"], fate).write()
    write_multirun(folder, ["model=mlp,dcgan", "optim=adam,sgd", "seed=range(3)", "watch.scores_every=500"])


def write_search(folder: Path, trials: int = 30) -> None:
    """A search with Optuna over two learning rates, a batch size and a loss; its last trials are near the best one."""
    params = {
        "optim.generator.lr": "tag(log, interval(1e-5, 1e-2))",
        "optim.discriminator.lr": "tag(log, interval(1e-5, 1e-2))",
        "train.batch_size": "choice(16,32,64,128)",
        "loss": "choice(nonsaturating,hinge,least_squares)",
    }
    constant = ["experiment=search/rates", "model=mlp", "dataset=mnist", "watch.scores_every=500"]
    rng, done = np.random.default_rng(0), []
    for number in range(trials):
        rates = 10 ** rng.uniform(-5, -2, 2)
        batch_size, loss = int(rng.choice([16, 32, 64, 128])), str(rng.choice([*LOSS_PENALTY]))
        if number >= 12:  # as the sampler does after its random trials
            _, best_rates, best_loss = max(done, key=lambda trial: trial[0])
            rates = np.clip(best_rates * 10 ** rng.normal(0, 0.35, 2), 1e-5, 1e-2)
            loss = best_loss if rng.random() < 0.7 else loss
        from_best = np.log10(rates / [7e-4, 4e-4]) ** 2 @ [0.16, 0.1]
        quality = 0.93 - from_best - LOSS_PENALTY[loss] - 0.02 * abs(np.log2(batch_size / 64))
        fate = Fate(quality=float(np.clip(quality, 0.05, 1)))
        if rates.max() > 7e-3:
            fate = Fate(quality=0.3, state="diverged", error=DIVERGED.format(700), progress=0.35)
        else:
            done.append((quality, rates, loss))
        values = (*map(float, rates), batch_size, loss)
        overrides = [f"{name}={value}" for name, value in zip(params, values, strict=True)]
        MadeUpRun(folder / job_name(overrides, params), [*overrides, *constant], fate, params).write()
    write_best_trial(folder, [*params])


def write_best_trial(folder: Path, params: list[str]) -> None:
    """Write optimization_results.yaml, as the sweeper does at the end of a search."""
    finished = [path for path in sorted(folder.iterdir()) if is_finished(path)]
    scores = {path: json.loads((path / "scores.jsonl").read_text().splitlines()[-1])["fid_mnist"] for path in finished}
    best = min(finished, key=scores.__getitem__)
    pairs = (line.partition("=") for line in yaml.safe_load((best / ".hydra" / "overrides.yaml").read_text()))
    best_params = {name: yaml.safe_load(value) for name, _, value in pairs if name in params}
    results = {"name": "optuna", "best_params": best_params, "best_value": scores[best]}
    (folder / "optimization_results.yaml").write_text(yaml.safe_dump(results, sort_keys=False))


def is_finished(folder: Path) -> bool:
    return json.loads((folder / "status.json").read_text())["state"] == "finished"


def write_mixed(folder: Path) -> None:
    """42 runs of everything that happens: other data, lengths and scores, each state, damaged and missing files."""
    jobs = []
    names = itertools.product(["mlp", "dcgan"], ["hinge", "least_squares"], ["mnist", "digits", "cifar10"])
    for (model, loss, data), fate in zip(names, UNUSUAL, strict=True):
        jobs.append(([f"dataset={data}", f"model={model}", f"loss={loss}"], fate))
    models = ["mlp", "dcgan", "conv", "residual"]
    for model, optim, data in itertools.product(models, ["adam", "sgd"], ["mnist", "digits", "cifar10"]):
        quality = QUALITY.get((model, optim), 0.78) - 0.25 * (data == "cifar10")
        fate = Fate(quality=quality, evaluated=len(jobs) % 3 == 0)
        jobs.append(([f"dataset={data}", f"model={model}", f"optim={optim}"], fate))
    for rate, batch in zip(["1e-4", "3e-4", "1e-3"], [16, 100, 256], strict=True):
        overrides = [f"optim.generator.lr={rate}", f"train.batch_size={batch}"]
        jobs.append((overrides, Fate(quality=0.8, evaluated=True)))
    for seed in range(3):
        jobs.append((["model=mlp", "optim=sgd", f"seed={seed}"], Fate(quality=0.65 + 0.02 * seed)))
    for number, (overrides, fate) in enumerate(jobs):
        length = f"train.max_steps={(2500, 1000, 6000)[number % 3]}"
        scored = ["watch.scores_every=500"] if number % 4 else []
        time = f"2026-11-{1 + number // 2:02}_{9 + number % 2 * 5:02}-30-00"
        MadeUpRun(folder / f"{time}_{folder_name(overrides)}", [*overrides, length, *scored], fate).write()
    damaged, without_samples, *_ = (path for path in sorted(folder.iterdir()) if is_finished(path))
    with (damaged / "metrics.jsonl").open("r+b") as file:
        file.truncate(2000)
        file.seek(0, os.SEEK_END)
        file.write(b"\x00\xff not a row of numbers")
    for path in [*without_samples.glob("samples/*"), without_samples / "samples.gif", without_samples / "final.png"]:
        path.unlink()


def write_many(folder: Path, count: int = 500) -> None:
    """`count` runs in a sweep, each with 200 logging points, 20 sample grids and one of the untrained generator."""
    rates = np.geomspace(1e-5, 1e-2, 25)
    values = itertools.product(QUALITY, rates, range(5))
    swept = ["model", "optim", "optim.generator.lr", "seed"]
    for number, ((model, optim), rate, seed) in enumerate(itertools.islice(values, count)):
        chosen = (model, optim, f"{rate:.3g}", seed)
        overrides = [f"{name}={value}" for name, value in zip(swept, chosen, strict=True)]
        quality = QUALITY[model, optim] - 0.2 * np.log10(rate / 6e-4) ** 2
        fate = Fate(quality=float(np.clip(quality, 0.05, 1)), animated=False)
        if number % 40 == 39:
            fate = replace(fate, state="diverged", error=DIVERGED.format(4200), progress=0.42)
        constant = ["train.max_steps=10000", "watch.log_every=50", "watch.samples_every=500", "watch.scores_every=1000"]
        MadeUpRun(folder / job_name(overrides, swept), [*overrides, *constant], fate).write()


KINDS: dict[str, Callable[[Path], None]] = {
    "one": write_one,
    "pair": write_pair,
    "sweep": write_sweep,
    "seeds": write_seeds,
    "search": write_search,
    "mixed": write_mixed,
    "many": write_many,
}


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.report.made_up", description="Write made-up runs.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path, help="that does not exist yet")
    args = parser.parse_args(arguments)
    if args.folder.exists():
        parser.error(f"{args.folder} exists already; name a new folder")
    KINDS[args.kind](args.folder)
    print(f"python -m gan.report {args.folder}")


if __name__ == "__main__":
    main()
