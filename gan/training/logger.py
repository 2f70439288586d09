"""One call, `record`, for a step's numbers: metrics.jsonl, TensorBoard and the progress bar."""

import contextlib
import logging
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

log = logging.getLogger(__name__)
LAYOUT = {  # of TensorBoard's Custom Scalars tab
    "the game": {
        "losses": ["Multiline", ["discriminator/loss$", "generator/loss$"]],
        "predictions: D(x) and D(G(z))": ["Multiline", ["discriminator/real", "discriminator/fake", "generator/fake"]],
    }
}


class MetricAccumulator:
    """MetricAccumulator of a step that stay on the device until they are read.

    Args:
        mean: whether `read` gives the mean of all steps since `clear`, or the last step's.
    """

    def __init__(self, mean: bool) -> None:
        self.mean, self.count = mean, 0
        self.held: dict[str, Tensor] = {}

    def add(self, numbers: dict[str, Tensor]) -> None:
        """Take in one step's numbers, 0-d tensors with the same names every time."""
        if self.mean and self.count:
            torch._foreach_add_(list(self.held.values()), [numbers[name] for name in self.held])
        else:
            self.held = {name: number.clone() for name, number in numbers.items()}
        self.count = self.count + 1 if self.mean else 1

    def read(self) -> dict[str, float]:
        """Fetch them, in one wait for the device."""
        if not self.held:
            return {}
        values = torch.stack(list(self.held.values())) / self.count
        distributed.all_reduce_mean([values])
        return dict(zip(self.held, values.tolist(), strict=True))

    def clear(self) -> None:
        """Begin a new mean."""
        self.count, self.held = 0, {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for the next mean to be whole."""
        return {"count": self.count, "held": self.held}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        self.count = state["count"]
        self.held = {name: number.to(device) for name, number in state["held"].items()}


class RunLogger:
    """A run's numbers and images on their way to files and screen.

    Args:
        step: where the run goes on; what an earlier attempt wrote of later steps is dropped.
        total: steps of the whole run.
        kept: whether a row at this step belongs to the unbroken run.
        score_kept: the same for a row of scores.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        total: int,
        kept: Callable[[int], bool],
        score_kept: Callable[[int], bool],
    ) -> None:
        self.rows, self.score_rows = folder / "metrics.jsonl", folder / "scores.jsonl"
        files.write_rows(self.rows, [row for row in files.read_rows(self.rows) if step and kept(row["step"])])
        self.scores = [row for row in files.read_rows(self.score_rows) if step and score_kept(row["step"])]
        if self.score_rows.exists():
            files.write_rows(self.score_rows, self.scores)
        self.board = SummaryWriter(folder, purge_step=step + 1 if step else None)
        self.bar = tqdm(total=total, initial=step, unit="step", disable=True if RANK else None, dynamic_ncols=True)

    def describe(self, config: str, settings: dict[str, Any], score_column: str) -> None:
        """Put the config (YAML text) and the run's place in the HParams tab into TensorBoard.

        `score_column` is the score that the HParams tab shows, such as `fid_mnist`.
        """
        self.board.add_text("config", f"```yaml\n{config}\n```")
        simple = {
            name: value if isinstance(value, (bool, int, float)) else str(value) for name, value in settings.items()
        }
        metrics = dict.fromkeys(("discriminator/loss", "generator/loss", f"scores/{score_column}"), 0.0)
        # add_hparams would open a second run folder for these three.
        for summary in hparams(simple, metrics):
            self.board.file_writer.add_summary(summary)
        self.board.add_custom_scalars(LAYOUT)

    def record(self, step: int, epoch: float, seconds: float, speed: float, numbers: dict[str, float]) -> None:
        """One logging point. A number that is not finite is null in metrics.jsonl, which JSON has no NaN for."""
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        files.append_row(self.rows, {"step": step, "epoch": round(epoch, 4), "seconds": round(seconds, 2)} | finite)
        scalars = numbers | {"epoch": epoch, "images_per_second": speed}
        entries = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self.board.file_writer.add_summary(Summary(value=entries), step)
        self.bar.set_postfix_str(f"{in_words(numbers)}, {speed:.0f} images/s", refresh=False)

    def score(self, step: int, scores: dict[str, float], record: dict[str, Any]) -> None:
        """The generator's scores by column, and the protocol that they were computed by."""
        self.scores.append({"step": step} | scores | record)
        files.append_row(self.score_rows, self.scores[-1])
        for column, score in scores.items():
            self.board.add_scalar(f"scores/{column}", score, step)
        self.board.flush()

    def image(self, step: int, grid: Image.Image) -> None:
        """A grid of samples."""
        self.board.add_image("samples", np.asarray(grid), step, dataformats="HWC" if grid.mode == "RGB" else "HW")
        self.board.flush()

    def warn(self, step: int, sentence: str) -> None:
        """Something that went wrong, in words."""
        self.board.add_text("failures", sentence, step)
        self.board.flush()

    def __enter__(self) -> "RunLogger":
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        self.bar.close()
        with contextlib.suppress(OSError) if failure else contextlib.nullcontext():  # the first failure is what is said
            self.board.close()


def in_words(numbers: dict[str, float]) -> str:
    """The four numbers that people watch, on a line."""
    short = {
        "D loss": "discriminator/loss",
        "G loss": "generator/loss",
        "D(x)": "discriminator/real",
        "D(G(z))": "discriminator/fake",
    }
    return ", ".join(f"{label} {numbers[name]:.3f}" for label, name in short.items() if name in numbers)
