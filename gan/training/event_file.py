"""The event file of a run, which TensorBoard reads: the same story as metrics.jsonl, scores.jsonl and samples/."""

import io
import logging
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch.utils.tensorboard import SummaryWriter

from gan.config.errors import first_line
from gan.metrics.catalogue import POINTS, PROTOCOL
from gan.report.runs import RunFolder
from gan.system import files, status
from gan.system.images import identify, read_png

if TYPE_CHECKING:
    from gan.training.state import TrainingRun

log = logging.getLogger(__name__)
CHARTS = {  # one number each, with one curve for each run, so that many runs can be told apart
    "D's loss": ["discriminator/loss$"],
    "G's loss": ["generator/loss$"],
    "D(x), on real data": ["discriminator/real$"],
    "D(G(z))": ["discriminator/fake$"],
}
SCORE_CHARTS = {"FID": ["scores/fid_"]}
POINT_SCORE_CHARTS = {"2-Wasserstein distance": ["scores/wasserstein"]}
ONE_RUN_CHARTS = {  # of both networks, for a reader who selects one run
    "losses": ["discriminator/loss$", "generator/loss$"],
    "predictions: D(x) and D(G(z))": ["discriminator/real$", "discriminator/fake$", "generator/fake$"],
}


class EventFile:
    """The only event file of a run in training. The earlier ones are emptied, after what is kept of them was repeated.

    TensorBoard can be told to forget the points after a step, but only one of its two readers does so, and a process
    that is killed has not written all of its points.
    """

    def __init__(self, run: "TrainingRun", folder: Path) -> None:
        self.folder = folder
        self.earlier = [path for path in folder.glob("events.out.tfevents.*") if path.is_file()]
        # With a purge_step, a TensorBoard that is running forgets what it has read in the earlier files.
        self.writer = SummaryWriter(folder, purge_step=0)
        self.writer.add_text("config", f"```yaml\n{run.config}\n```")
        score_charts = {}
        if run.reference:
            score_charts = POINT_SCORE_CHARTS if run.reference.features == POINTS else SCORE_CHARTS
        self.add_layout(
            {
                "All runs": CHARTS | score_charts,
                "One run: select it on the left": ONE_RUN_CHARTS,
            }
        )
        # Without a declared experiment, of which TensorBoard would take one run's, it shows the columns of all runs.
        start = SessionStartInfo(start_time_secs=time.time() - run.seconds)
        for name, value in run.hparams.items():
            kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
            setattr(start.hparams[name], f"{kind}_value", value)
        self.add_hparams(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))

    def repeat(self, run: "TrainingRun", rows: list[dict[str, Any]], scores: list[dict[str, Any]]) -> None:
        """Write what the run's files have of the steps up to the current one, and empty the earlier event files.

        Args:
            rows: of metrics.jsonl.
            scores: the rows of scores.jsonl.
        """
        now = time.time()
        if run.step:  # a minute for thousands of grids
            log.info("writing TensorBoard's file anew, of %d logged steps", len(rows))

        def wall_time(step: int) -> float:
            return now - run.seconds * (1 - step / max(run.step, 1))

        for row in rows:
            step, seconds = row["step"], row.get("seconds")
            is_timed = isinstance(seconds, (int, float)) and seconds > 0
            speed = {"images_per_second": step * run.images_per_step / seconds} if is_timed else {}
            numbers = {name: value for name, value in row.items() if name not in ("step", "seconds")}
            self.add_scalars(numbers | speed, step, wall_time(step))
        for row in scores:
            self.add_scores("scores", row, wall_time(row["step"]))
        if run.step:
            for row in reversed(RunFolder(self.folder).evaluations):
                if isinstance(row.get("step"), int) and row["step"] <= run.step:
                    means = {name: row.get(name) for name in row["scores"]}
                    self.add_scores("evaluation", means | {"step": row["step"]}, wall_time(row["step"]))
            for failure in status.read(self.folder)["failures"]:
                self.writer.add_text("failures", failure["what"], failure["step"], wall_time(failure["step"]))
            for step, path in files.sample_grids(self.folder).items():
                self.add_grid(path, step, wall_time(step))
        self.writer.flush()
        for path in self.earlier:
            if path.stat().st_size:
                os.truncate(path, 0)  # removed at the next resume: a TensorBoard that reads it would not find the next
            else:
                path.unlink()

    def add_scalars(self, scalars: dict[str, Any], step: int, wall_time: float | None = None) -> None:
        """Write the numbers among `scalars`. None is NaN, which JSON has not."""
        numbers = {name: math.nan if value is None else value for name, value in scalars.items()}
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in numbers.items()
            if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)
        ]
        self.writer._get_file_writer().add_summary(Summary(value=values), step, wall_time)

    def add_scores(self, kind: str, row: dict[str, Any], wall_time: float | None = None) -> None:
        """Write a row of scores: `scores` taken during training, or an `evaluation` by gan.evaluate."""
        scores = {f"{kind}/{name}": value for name, value in row.items() if name not in (*PROTOCOL, "step")}
        self.add_scalars(scores, row["step"], wall_time)

    def add_grid(self, path: Path, step: int, wall_time: float | None = None, tag: str = "samples") -> None:
        """Write a grid of images as its file has it. A damaged one is left out, with a warning."""
        try:
            content = read_png(path)
        except (OSError, ValueError) as error:
            log.warning("%s is damaged, and left out of TensorBoard: %s.", path, first_line(error))
            return
        with identify(io.BytesIO(content), ["PNG"]) as grid:
            size = {"width": grid.width, "height": grid.height, "colorspace": len(grid.getbands())}
        image = Summary.Value(tag=tag, image=Summary.Image(**size, encoded_image_string=content))
        self.writer._get_file_writer().add_summary(Summary(value=[image]), step, wall_time)

    def add_layout(self, categories: dict[str, dict[str, list[str]]]) -> None:
        """Lay out the Custom Scalars tab: the tags of each chart of each category, of which the first is open."""
        layout = layout_pb2.Layout()
        for number, (title, charts) in enumerate(categories.items()):
            category = layout.category.add(title=title, closed=number > 0)
            for name, tags in charts.items():
                category.chart.add(title=name).multiline.tag.extend(tags)
        tensor = TensorProto(dtype=types_pb2.DT_STRING, string_val=[layout.SerializeToString()], tensor_shape={})
        about = custom_scalars.create_summary_metadata()
        value = Summary.Value(tag=custom_scalars.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=about)
        self.writer._get_file_writer().add_summary(Summary(value=[value]))

    def add_hparams(self, tag: str, data: HParamsPluginData) -> None:
        """Write an entry for the HParams tab."""
        value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
        self.writer._get_file_writer().add_summary(Summary(value=[value]))

    def end(self, success: bool) -> None:
        """Say in the HParams tab how the run ended. One that was stopped has not: it may be resumed."""
        outcome = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
        end = SessionEndInfo(status=outcome, end_time_secs=time.time())
        self.add_hparams(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))
