"""Writes metrics, samples and scores to metrics.jsonl, scores.jsonl, TensorBoard, trackers and the progress bar."""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from gan.config.errors import ConfigError, first_line
from gan.system import console, distributed, files
from gan.system.rank import RANK
from gan.training.event_file import EventFile
from gan.training.trackers import Trackers

if TYPE_CHECKING:
    from gan.training.state import TrainingRun

SUMMARY = {  # what the progress bar and a line of the log show
    "D loss": "discriminator/loss",
    "G loss": "generator/loss",
    "D(x)": "discriminator/real",
    "D(G(z))": "discriminator/fake",
}


class MetricAccumulator:
    """Metrics that stay on the device until they are read.

    Args:
        mean: whether `read` returns the mean over all steps since `clear`, or the values of the last step.
    """

    def __init__(self, mean: bool) -> None:
        self.mean, self.count = mean, 0
        self.sums: dict[str, Tensor] = {}

    def add(self, metrics: dict[str, Tensor]) -> None:
        """Add the metrics of one step, 0-d tensors with the same names every time. The next step may overwrite them."""
        if self.mean and self.count:
            torch._foreach_add_(list(self.sums.values()), [metrics[name] for name in self.sums])
        elif self.mean:
            self.sums = {name: value.clone() for name, value in metrics.items()}
        else:
            self.sums = metrics
        self.count = self.count + 1 if self.mean else 1

    def read(self) -> dict[str, float]:
        """The metrics as numbers. Waits for the device, once."""
        if not self.sums:
            return {}
        values = torch.stack(list(self.sums.values())) / self.count
        distributed.all_reduce_mean([values])
        return dict(zip(self.sums, values.tolist(), strict=True))

    def clear(self) -> None:
        """Start a new mean."""
        self.count, self.sums = 0, {}

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint, so that the next mean is complete."""
        return {"count": self.count, "sums": self.sums}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore what `state_dict` returned."""
        self.count = state["count"]
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}


class RunLogger:
    """The files and the progress bar of a run.

    What was written about later steps than the current one is removed, and so is what an uninterrupted run would not
    have written.
    """

    def __init__(self, run: "TrainingRun", folder: Path) -> None:
        self.metrics_path, self.scores_path = folder / "metrics.jsonl", folder / "scores.jsonl"
        # Metrics of this step were logged because they were due, and not because the run ended here, if the accumulator
        # is empty.
        rows = kept_rows(self.metrics_path, run.step, lambda _: run.metrics.count == 0)
        self.scores = kept_rows(self.scores_path, run.step, run.is_score_due)
        files.write_rows(self.metrics_path, rows)
        if self.scores_path.exists():
            files.write_rows(self.scores_path, self.scores)
        for step, path in files.sample_grids(folder).items():
            if not is_kept(run.step, run.is_sample_due, step):
                path.unlink()
                path.with_name(files.grid_name(step, "normalized")).unlink(missing_ok=True)
        self.event_file = EventFile(run, folder)
        self.event_file.repeat(run, rows, self.scores)
        self.trackers = Trackers(run, folder)
        self.progress_bar = tqdm(
            total=run.total_steps,
            initial=run.step,
            disable=RANK > 0 or not console.has_progress_bar(),
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}",
        )

    @property
    def last_scores(self) -> dict[str, Any]:
        """The newest scores with their protocol; empty without any."""
        return {name: value for name, value in self.scores[-1].items() if name != "step"} if self.scores else {}

    def log_metrics(self, step: int, epoch: float, seconds: float, speed: float, metrics: dict[str, float]) -> None:
        """One row of metrics.jsonl. A value that is not finite is null there, as JSON has no NaN."""
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        row = {"step": step, "epoch": round(epoch, 4), "seconds": round(seconds, 2)} | finite
        files.append_row(self.metrics_path, row)
        scalars = metrics | {"epoch": epoch, "images_per_second": speed}
        self.event_file.add_scalars(scalars, step)
        self.trackers.each("log_numbers", scalars, step)
        short = [f"{label.removesuffix(' loss')} {value}" for label, value in summarize(metrics, "{:.3g}").items()]
        self.progress_bar.set_postfix_str(" ".join(short), refresh=False)

    def log_scores(self, step: int, scores: dict[str, float], protocol: dict[str, Any]) -> None:
        """One row of scores.jsonl, with the protocol of the scores."""
        self.scores.append({"step": step} | scores | protocol)
        files.append_row(self.scores_path, self.scores[-1])
        self.event_file.add_scores("scores", self.scores[-1])
        self.event_file.writer.flush()
        self.trackers.each("log_numbers", {f"scores/{name}": value for name, value in scores.items()}, step)

    def log_grid(self, step: int, path: Path, tag: str = "samples") -> None:
        """A grid of images, for TensorBoard."""
        self.event_file.add_grid(path, step, tag=tag)
        self.event_file.writer.flush()
        self.trackers.each("log_image", tag, path, step)

    def log_failure(self, step: int, sentence: str) -> None:
        """A failure of training, for TensorBoard."""
        self.event_file.writer.add_text("failures", sentence, step)
        self.event_file.writer.flush()

    def log_end(self, state: str) -> None:
        """The state in which the run ends. For TensorBoard, one that was stopped has not ended: it may be resumed."""
        self.trackers.each("end", state)
        if state != "stopped":
            self.event_file.end(success=state == "finished")

    def __enter__(self) -> "RunLogger":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.progress_bar.close()
        with contextlib.suppress(OSError) if error else contextlib.nullcontext():  # the first error is reported
            if error and issubclass(error, Exception) and self.metrics_path.parent.is_dir():  # and no Ctrl-C
                self.log_end("failed")
            self.event_file.writer.close()


def kept_rows(path: Path, now: int, is_due: Callable[[int], bool]) -> list[dict[str, Any]]:
    """The rows of a file that an uninterrupted run would have at step `now`. Raises ConfigError if it is too large."""
    try:
        return [row for row in files.read_rows(path) if now and is_kept(now, is_due, row["step"])]
    except ValueError as error:
        raise ConfigError(f"{first_line(error)}: move it away to resume without what it logged.") from error


def is_kept(now: int, is_due: Callable[[int], bool], step: int) -> bool:
    """Whether an output of `step` would be there if the run had not been interrupted at `now`."""
    return step < now or (step == now and is_due(step))


def summarize(metrics: dict[str, float], form: str) -> dict[str, str]:
    """The four most important metrics as text, by their short names; `form` is such as `{:.3f}`."""
    return {label: form.format(metrics[name]) for label, name in SUMMARY.items() if name in metrics}
