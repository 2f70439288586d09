"""Score the generators of runs: `python -m gan.evaluate run=outputs/RUN`, and `--help`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from gan.cli import messages, overrides
from gan.config.schema import Evaluation
from gan.report.cells import Number, best, mean_over, protocol_line
from gan.report.runs import evaluations

if TYPE_CHECKING:  # torch is imported only once the command line is understood
    import torch

    from gan.metrics.protocol import Reference
    from gan.training.build import TrainedRun

COUNT, STACKED_COUNT = 10_000, 26_000  # images to draw, as papers do
Scores = dict[str, Number]  # each the mean over seeds of sampling
SHOWN = 16  # fakes that are shown with the training images nearest to them


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    try:
        evaluate(cfg)
    except Exception as error:
        messages.exit_with(error)


def evaluate(cfg: DictConfig) -> None:
    """Score every run that is named, and print a table with the floor: what real images score."""
    from gan.config import check

    asked = check.check_evaluation(cfg)

    from gan.metrics import protocol
    from gan.system.device import memory_errors, select_device
    from gan.training import build

    device, references, rows = select_device(asked.device), {}, {}
    with memory_errors():
        # all of them before minutes are spent on the first
        runs = {
            name: build.load_trained(Path(name), asked.checkpoint, asked.ema, device, asked.trust)
            for name in asked.run
        }
        for name, run in runs.items():
            folder = Path(name)
            folders = Path(asked.data_dir or run.cfg.data_dir), Path(asked.cache_dir or run.cfg.cache_dir)
            key = (repr(run.cfg.dataset), folders)
            if key not in references:
                references[key] = build.build_reference(run.cfg, asked.split, asked.features, folders, device)
            reference = references[key]
            count = asked.n or (STACKED_COUNT if reference.name == protocol.STACKED else COUNT)
            found = scored(run, reference, asked, count, device)
            floor = {score: Number(value) for score, value in reference.floor(count, asked.parzen, folders[1]).items()}
            keep(folder, run.step, found, floor, reference.record(count), asked)
            draw_neighbours(run, reference, folder, device)
            said = protocol_line(reference.record(count))
            rows.setdefault(said, ({}, floor))[0][name] = found
    for said, (found, floor) in rows.items():
        print(f"\n{said}\n\n{as_table(found, floor)}")


def scored(run: "TrainedRun", reference: "Reference", asked: Evaluation, count: int, device: "torch.device") -> Scores:
    """Every score of a run's generator, over the seeds that were asked for."""
    from gan.metrics import protocol

    learned = reference.train.first(run.cfg.dataset.limit)
    generator, batch_size = run.generator, run.cfg.train.batch_size
    gap = None  # where there are no other images than those it learned from
    if reference.split == "test":
        gap = protocol.discriminator_gap(
            run.discriminator,
            learned,
            reference.real,
            pixel_range=generator.pixel_range,
            batch_size=batch_size,
            classes=generator.class_count,
            device=device,
        )
    found = []
    for seed in range(asked.seed, asked.seed + asked.seeds):
        images = protocol.generate_images(generator, run.noise, count, seed, device)
        found.append(reference.score(reference.look(images), asked.parzen))
        found[-1] |= {} if gap is None else {"discriminator_gap": gap}
    return {name: mean_over(each[name] for each in found) for name in found[0]}


def keep(folder: Path, step: int, found: Scores, floor: Scores, record: dict[str, Any], asked: Evaluation) -> None:
    """Write the scores into the run's folder: formulas.json, and TensorBoard and status.json if they are the run's own.

    formulas.json is a list, to which this is added, or put together with what was found in the same way before.
    """
    from torch.utils.tensorboard import SummaryWriter

    from gan.system import files, status

    seeds = list(range(asked.seed, asked.seed + asked.seeds))
    written = {
        part: {name: number._asdict() for name, number in numbers.items()}
        for part, numbers in (("scores", found), ("floor", floor))
    }
    how = {"step": step, "checkpoint": asked.checkpoint, "ema": asked.ema, "seeds": seeds, **record}
    before, others = {}, []
    for each in evaluations(folder):
        if how.items() <= each.items():
            before = each
        else:
            others.append(each)
    whole = how | {part: before.get(part, {}) | numbers for part, numbers in written.items()}
    files.write_json(folder / "scores.json", [*others, whole])
    if asked.checkpoint == "last" and asked.ema:  # what the run draws with, as in training
        means = {name: number.mean for name, number in found.items()}
        status.update(folder, scores=means | record)
        with SummaryWriter(folder) as board:
            for name, mean in means.items():
                board.add_scalar(f"scores/{name}", mean, step)


def draw_neighbours(run: "TrainedRun", reference: "Reference", folder: Path, device: "torch.device") -> None:
    """Fakes, and below each the training image whose pixels are nearest: are any copied?"""
    import torch

    from gan import sampling
    from gan.metrics import formulas, protocol
    from gan.system import files

    (fakes,) = protocol.generate_images(run.generator, run.noise, SHOWN, 0, device)
    learned = reference.train.first(run.cfg.dataset.limit).images
    pairs = torch.cat([fakes, learned[formulas.nearest_neighbors(fakes, learned)]])
    with files.atomic_write(folder / "figures" / "neighbours.png") as file:
        sampling.image_grid(pairs, classes=SHOWN).save(file, format="png")


def as_table(runs: dict[str, Scores], floor: Scores) -> str:
    """Markdown: a row for each run, the best of each column in bold, and real images last."""
    names = list(dict.fromkeys(score for row in runs.values() for score in row))
    highest = {name: best(name, (row.get(name) for row in runs.values())) for name in names}
    lines = [["run", *names], ["---"] * (len(names) + 1)]
    for run, row in runs.items():
        marks = {name: "**" for name in row if row[name].mean == highest[name]}
        lines.append([run, *(f"{marks.get(name, '')}{row.get(name, '-')}{marks.get(name, '')}" for name in names)])
    lines.append(["real images", *(str(floor.get(name, "-")) for name in names)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("evaluate")
        sys.argv[1:] = overrides.merge_repeated(sys.argv[1:], "run")
        main()
