"""Writes metrics, samples and scores to metrics.jsonl, scores.jsonl, TensorBoard and the progress bar."""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from gan.system import distributed, files
from gan.system.rank import RANK

CUSTOM_SCALARS = {
    "GAN": {
        "losses": ["Multiline", ["discriminator/loss$", "generator/loss$"]],
        "predictions: D(x) and D(G(z))": ["Multiline", ["discriminator/real", "discriminator/fake", "generator/fake"]],
    }
}
SUMMARY = {  # what the progress bar and the log show
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
        """Add the metrics of one step, 0-d tensors with the same names every time."""
        if self.mean and self.count:
            torch._foreach_add_(list(self.sums.values()), [metrics[name] for name in self.sums])
        else:
            self.sums = {name: value.clone() for name, value in metrics.items()}
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

    Args:
        step: where the run starts or resumes. What was written about later steps is removed.
        total_steps: of the whole run.
        keep_row: whether a row of metrics.jsonl with this step is kept.
        keep_scores: the same for scores.jsonl.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        total_steps: int,
        keep_row: Callable[[int], bool],
        keep_scores: Callable[[int], bool],
    ) -> None:
        self.metrics_path, self.scores_path = folder / "metrics.jsonl", folder / "scores.jsonl"
        rows = files.read_rows(self.metrics_path)
        files.write_rows(self.metrics_path, [row for row in rows if step and keep_row(row["step"])])
        self.scores = [row for row in files.read_rows(self.scores_path) if step and keep_scores(row["step"])]
        if self.scores_path.exists():
            files.write_rows(self.scores_path, self.scores)
        self.board = SummaryWriter(folder, purge_step=step + 1 if step else None)
        self.progress_bar = tqdm(
            total=total_steps, initial=step, unit="step", disable=True if RANK else None, dynamic_ncols=True
        )

    @property
    def last_scores(self) -> dict[str, Any]:
        """The newest scores with their protocol; empty without any."""
        return {name: value for name, value in self.scores[-1].items() if name != "step"} if self.scores else {}

    def describe(self, config: str, settings: dict[str, Any], fid: str) -> None:
        """Write the config (YAML) and the HParams entry of the run; `fid` is the name of its FID, such as fid_mnist."""
        self.board.add_text("config", f"```yaml\n{config}\n```")
        simple = {
            name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in settings.items()
        }
        metrics = dict.fromkeys(("discriminator/loss", "generator/loss", f"scores/{fid}"), 0.0)
        for summary in hparams(simple, metrics):  # SummaryWriter.add_hparams would open a second run folder
            self.board._get_file_writer().add_summary(summary)
        self.board.add_custom_scalars(CUSTOM_SCALARS)

    def log_metrics(self, step: int, epoch: float, seconds: float, speed: float, metrics: dict[str, float]) -> None:
        """One row of metrics.jsonl. A value that is not finite is null there, as JSON has no NaN."""
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        row = {"step": step, "epoch": round(epoch, 4), "seconds": round(seconds, 2)} | finite
        files.append_row(self.metrics_path, row)
        scalars = metrics | {"epoch": epoch, "images_per_second": speed}
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self.board._get_file_writer().add_summary(Summary(value=values), step)
        self.progress_bar.set_postfix_str(f"{summary(metrics)}, {speed:.0f} images/s", refresh=False)

    def log_scores(self, step: int, scores: dict[str, float], protocol: dict[str, Any]) -> None:
        """One row of scores.jsonl, with the protocol of the scores."""
        self.scores.append({"step": step} | scores | protocol)
        files.append_row(self.scores_path, self.scores[-1])
        for name, value in scores.items():
            self.board.add_scalar(f"scores/{name}", value, step)
        self.board.flush()

    def log_samples(self, step: int, grid: Image.Image) -> None:
        """A grid of samples, for TensorBoard."""
        self.board.add_image("samples", np.asarray(grid), step, dataformats="HWC" if grid.mode == "RGB" else "HW")
        self.board.flush()

    def log_failure(self, step: int, sentence: str) -> None:
        """A failure of training, for TensorBoard."""
        self.board.add_text("failures", sentence, step)
        self.board.flush()

    def __enter__(self) -> "RunLogger":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.progress_bar.close()
        with contextlib.suppress(OSError) if error else contextlib.nullcontext():  # the first error is reported
            self.board.close()


def summary(metrics: dict[str, float]) -> str:
    """The four most important metrics, on a line."""
    return ", ".join(f"{label} {metrics[name]:.3f}" for label, name in SUMMARY.items() if name in metrics)
