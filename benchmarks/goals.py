"""The goals of the benchmarks, in one table, and the verdict of a measured number."""

from typing import Literal, NamedTuple

from benchmarks.tables import print_header, print_row


class Goal(NamedTuple):
    """What a measured number must be.

    Args:
        limit: the number, in `unit`, that the measured one is at most or at least.
    """

    what: str
    bound: Literal["at most", "at least"]
    limit: float
    unit: str


def over_floor(setup: str) -> str:
    return f"{setup}: a step, in fp32"


def over_loop(setup: str) -> str:
    return f"{setup}: speed relative to the tutorial loop, in fp32"


def doubled(quantity: str, model: str, axis: str) -> str:
    return f"{model}: {quantity} with twice the {axis}, where it grows most"


HELP, ONE_STEP = "`python train.py --help`", "a run of one step, with its grids, figures and GIF"
WRITING = "writing, in a default run"
BEYOND_STEPS = "a run of a sweep with two at once, beyond its steps"
BUILT = ["report: time to build it", "report: peak memory", "report: size of report.html"]
OPENED = ["report: until its first paint in a browser", "report: until it is loaded"]
OPENED += ["report: until it is drawn and answers"]

FLOORS = {"mlp": 1.5, "paper_batchnorm_softlabel": 1.5, "log_tanh": 1.5, "conv": 1.5, "dcgan_cifar10": 1.25}
# mlp: what a first prototype reached, 17.4 ms beside 37 of the author's script; dcgan_cifar10: what its floor allows
LOOPS = {"mlp": 2.1, "paper_batchnorm_softlabel": 1.5, "log_tanh": 1.5, "conv": 1.5, "dcgan_cifar10": 1.25}
GROWING = {
    "time": {"mlp_plain": ["batch", "width", "side", "images", "runs"], "dcgan": ["batch", "width", "side", "runs"]},
    "memory": {"mlp_plain": ["batch", "width", "side", "images"], "dcgan": ["batch", "width", "side"]},
}

GOALS = [
    *(Goal(over_floor(setup), "at most", limit, "times its floor") for setup, limit in FLOORS.items()),
    *(Goal(over_loop(setup), "at least", limit, "times") for setup, limit in LOOPS.items()),
    Goal(HELP, "at most", 0.5, "s"),
    Goal(ONE_STEP, "at most", 4.5, "s"),
    Goal(WRITING, "at most", 1, "% of the time"),
    *(
        Goal(doubled(quantity, model, axis), "at most", 1.2, "times what the work grows by")
        for quantity, models in GROWING.items()
        for model, axes in models.items()
        for axis in axes
    ),
    Goal(BEYOND_STEPS, "at most", 2, "s"),
    Goal(BUILT[0], "at most", 60, "s"),
    Goal(BUILT[1], "at most", 1000, "MB"),
    Goal(BUILT[2], "at most", 30, "MB"),
    *(Goal(what, "at most", 3, "s") for what in OPENED),
]


def verdict(goal: Goal, measured: float) -> str:
    """Whether a number meets its goal, and by how much of the limit: `met by 12%` or `short by 30%`."""
    room = (goal.limit - measured if goal.bound == "at most" else measured - goal.limit) / goal.limit
    amount = "less than 1%" if 0 < abs(room) < 0.005 else f"{abs(room):.0%}"
    return f"{'met' if room >= 0 else 'short'} by {amount}"


def verdict_rows(measured: dict[str, float]) -> list[list[str]]:
    """The cells of the table, one row for each number that was measured. Raises KeyError for one without a goal."""
    goals = {goal.what: goal for goal in GOALS}
    rows = []
    for what, number in measured.items():
        goal = goals[what]
        limit = f"{goal.bound} {goal.limit:g} {goal.unit}".rstrip()
        rows.append([what, f"{number:.4g}", limit, verdict(goal, number)])
    return rows


def print_verdicts(measured: dict[str, float]) -> None:
    """Print how many goals are met, and each with its number."""
    rows = verdict_rows(measured)
    met = sum(row[-1].startswith("met") for row in rows)
    print(f"## Goals: {met} of {len(rows)} met\n")
    print_header(["what", "measured", "goal", "verdict"])
    for row in rows:
        print_row(row)
    print()
