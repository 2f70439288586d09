"""The report as one HTML page that needs no other file and no network."""

import datetime
from pathlib import Path
from typing import Any

import jinja2

import gan
from gan.cli.names import short_value
from gan.config.errors import printable
from gan.metrics.catalogue import direction
from gan.report import run_details
from gan.report.cells import Number, format_number
from gan.report.contents import Report
from gan.report.curves import list_panels, run_curves
from gan.report.frames import ENCODINGS, Frame, embed_animation, embed_file, embed_grids, grid_step, read_grid
from gan.report.groups import Group
from gan.report.runs import Column, RunFolder
from gan.report.search import list_trials, searched_settings

WEB = Path(__file__).parent / "web"
SCRIPTS = ("uPlot.iife.min.js", "table.js", "images.js", "curves.js", "page.js")
MAX_SCORES = 3  # columns of the table that are shown at first
MAX_SETTINGS = 4  # with more, the table shows none at first, since the names of the rows have the main ones
MAIN_NUMBERS = ("steps", "seconds", "images/s")
MAX_DETAILED = 12  # runs whose log and configuration are in the page
GIF_BYTES = 4 * 2**20


class Page:
    """What the template shows of a report, beyond the report itself.

    Args:
        every_seconds: how often the page is rewritten, and reads itself again; None if it is written once.
    """

    def __init__(self, report: Report, every_seconds: float | None = None) -> None:
        self.report, self.every_seconds = report, every_seconds
        self.frames, self.encoding = embed_grids(report.runs)
        self.panels = list_panels(report)
        self.by_rank = report.by_rank()
        self.best = self.by_rank[0]
        self.trials = list_trials(report)
        self.time = datetime.datetime.now().astimezone().replace(microsecond=0)

    @property
    def version(self) -> str:
        """The versions of the project that trained the runs, or else the one that writes the page."""
        versions = dict.fromkeys(run.status["version"] for run in self.report.runs if run.status["version"])
        return ", ".join(map(str, versions)) or gan.__version__

    def name_of(self, run: RunFolder) -> str:
        """A run's name for the eye: that of its group, and its seed where the group has several."""
        group = next(group for group in self.report.groups if run in group.runs)
        return f"{group.name}, seed {run.setting('seed')}" if len(group.runs) > 1 else group.name

    def hidden_columns(self) -> set[Column | str]:
        """The settings and columns of the table that the reader has to choose to see."""
        report = self.report
        scores = [column for column in report.columns if column.protocol]
        scores.sort(key=lambda column: (column != report.headline, report.columns.index(column)))
        others = [column for column in report.columns if not column.protocol and column.name not in MAIN_NUMBERS]
        settings = report.settings if len(report.settings) > MAX_SETTINGS else []
        return {*settings, *scores[MAX_SCORES:], *(others if scores else [])}

    def rows(self) -> list[tuple[Group, list[tuple[Number | None, bool]]]]:
        """The rows of the table, the best group first."""
        return sorted(self.report.rows(), key=lambda row: self.by_rank.index(row[0]))

    def short_label(self, group: Group) -> str:
        """All settings in which a group differs from others, with few digits."""
        settings = [f"{name}={short_value(value)}" for name, value in group.settings.items() if value != "-"]
        return ", ".join(settings) or group.name

    def widest(self) -> int:
        """The width in pixels of the widest sample grid."""
        return max((frame.width for frames in self.frames.values() for frame in frames), default=144)

    def best_frame(self) -> Frame | None:
        """The last sample grid of the best group, as complete as the page is wide."""
        path = self.best.final_grid
        run = next((run for run in self.best.runs if path in run.sample_grids), None)
        grid = read_grid(run, path) if run and path else None
        return ENCODINGS[0].frame(grid_step(path), grid) if path and grid else None

    def final_frame(self, group: Group) -> Frame | None:
        """The last sample grid of the first run of a group that has any."""
        return next((self.frames[run.folder][-1] for run in group.runs if self.frames[run.folder]), None)

    def real_frame(self, tiles: int = ENCODINGS[0].tiles) -> Frame | None:
        """Real images of the best run, or of any other."""
        candidates = [*self.best.runs, *self.report.runs]
        return next((frame for run in candidates if (frame := embed_file(run, "samples/real.png", tiles))), None)

    def real_classes(self) -> Frame | None:
        """Real images of each class, with its name, of the best run's data."""
        return embed_file(self.best.runs[0], "figures/real_classes.png")

    def neighbors(self) -> list[tuple[RunFolder, Frame]]:
        """Generated images above their nearest training images, of the runs that were evaluated."""
        shown = self.details() or self.best.runs[:MAX_DETAILED]
        found = [(run, embed_file(run, "figures/neighbors.png")) for run in shown]
        return [(run, frame) for run, frame in found if frame]

    def animation(self, run: RunFolder) -> Frame | None:
        """The run's samples.gif, where it is small."""
        return embed_animation(run, "samples.gif", GIF_BYTES // len(self.report.runs))

    def details(self) -> list[RunFolder]:
        """The runs whose log and configuration are in the page."""
        return self.report.runs if len(self.report.runs) <= MAX_DETAILED else []

    def data(self) -> dict[str, Any]:
        """What the scripts read: groups, runs with frames and curves, and panels."""
        report = self.report
        headline = report.headline
        numbers = {run.folder: index for index, run in enumerate(report.runs)}
        return {
            "groups": [
                {
                    "name": group.name,
                    "runs": [numbers[run.folder] for run in group.counted],
                    "score": score.mean if (score := report.score(group)) else None,
                    "rank": self.by_rank.index(group),
                }
                for group in report.groups
            ],
            "runs": [self.run_data(run) for run in report.runs],
            "panels": [panel._asdict() for panel in self.panels],
            "search": [
                {"name": setting, "values": [trial.group.settings[setting] for trial in self.trials]}
                for setting in (searched_settings(self.trials) if self.trials else [])
            ],
            "trials": [{"group": report.groups.index(trial.group), "score": trial.score} for trial in self.trials],
            "metric": report.heading(headline) if headline else None,
            "better": direction(headline.name) if headline else None,
            "everySeconds": self.every_seconds,
        }

    def run_data(self, run: RunFolder) -> dict[str, Any]:
        """What the scripts read about one run."""
        return {
            "seed": run.setting("seed"),
            "state": run.status["state"],
            "frames": [[frame.step, frame.url] for frame in self.frames[run.folder]],
            **run_curves(run, self.panels, len(self.report.runs)),
        }

    def html(self) -> str:
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(WEB),
            autoescape=True,
            finalize=finalize,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "number": format_number,
            "thousands": "{:,}".format,
            "duration": format_duration,
            "short": short_value,
        }
        css, scripts = (
            "\n".join((WEB / name).read_text("utf-8") for name in names)
            for names in (("uPlot.min.css", "page.css"), SCRIPTS)
        )
        return environment.get_template("page.html.jinja").render(
            page=self, report=self.report, zip=zip, css=css, scripts=scripts, details=run_details, direction=direction
        )


def format_duration(seconds: float) -> str:
    """Seconds as `45 s`, `12 min` or `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def finalize(value: object) -> object:
    """What Jinja writes for `value`, before it escapes HTML: text without control characters."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return printable(value) if is_text else value
