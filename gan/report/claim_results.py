"""Which claims about published set-ups hold in our runs: one outcome for each seed, and a verdict over the seeds."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from gan.cli.overrides import OPERATIONAL, quote_override, shell_line
from gan.report import checks, image_checks
from gan.report.checks import CheckResult
from gan.report.claim_files import Claim, Claims, Length, load_claims
from gan.report.measurements import MissingData
from gan.report.runs import RunFolder
from gan.report.verdicts import Verdict
from gan.system.escape import markdown, markdown_code

# Overrides with which a run is still one of the published set-up: hardware, duration, and what is measured and kept.
FREE = OPERATIONAL | {"experiment", "seed", "device", "compile", "cuda_graphs", "train.epochs", "train.max_steps"}
FREE_PREFIXES = ("hydra", "watch.scores_", "watch.samples", "watch.final_samples", "watch.gif_", "watch.checkpoint_")
SAME = ("seed", "device", "precision", "compile")  # settings that a run and its baseline must share


class Outcome(NamedTuple):
    """What one run says about a claim."""

    run: RunFolder
    result: CheckResult


@dataclass(frozen=True)
class ClaimResult:
    """A claim with what the runs say about it.

    Args:
        counted: the run of each seed that decides it, by seed.
        others: runs of seeds that none decides, with the reason, and runs that repeat a seed.
    """

    experiment: str
    published: Claims
    claim: Claim
    counted: list[Outcome]
    others: list[Outcome]

    @property
    def number(self) -> int:
        """Which claim of its set-up it is, from 1 on."""
        return self.published.claims.index(self.claim) + 1

    @property
    def verdict(self) -> Verdict:
        held = sum(bool(outcome.result.held) for outcome in self.counted)
        ended = {outcome.run.seed for outcome in self.others if why_incomplete(outcome.run, self.length) is None}
        pending = [seed for seed in self.missing_seeds if str(seed) not in ended]
        return Verdict(held, len(self.counted), len(pending), self.claim.deterministic)

    @property
    def length(self) -> Length:
        """How long a run must be."""
        return self.published.length_of(self.claim)

    @property
    def missing_seeds(self) -> list[int]:
        """The wanted seeds of which no run decides."""
        there = {outcome.run.seed for outcome in self.counted}
        return [seed for seed in self.published.seeds_of(self.claim) if str(seed) not in there]


def evaluate_claims(all_runs: list[RunFolder]) -> list[ClaimResult]:
    """Every claim, with the outcome of each seed in these runs."""
    return [
        evaluate_claim(experiment, published, claim, all_runs)
        for experiment, published in load_claims().items()
        for claim in published.claims
    ]


def evaluate_claim(experiment: str, published: Claims, claim: Claim, all_runs: list[RunFolder]) -> ClaimResult:
    """One claim. Each chosen seed counts once: its shortest run that decides, since the claim is about so long a run.

    Other seeds do not count: to add some where a verdict does not suit would find any of them too often.
    """
    length, chosen = published.length_of(claim), {str(seed) for seed in published.seeds_of(claim)}
    fitting = [run for run in all_runs if is_run_of(run, experiment, claim.overrides)]
    outcomes = [Outcome(run, check_run(run, claim, length, all_runs)) for run in fitting]
    outcomes.sort(key=lambda outcome: (outcome.result.held is None, outcome.run.status["epoch"]))
    counted: dict[str, Outcome] = {}
    others = []
    for outcome in outcomes:
        if outcome.run.seed in counted:
            if outcome.result.held is not None:
                reason = f"not counted, since {counted[outcome.run.seed].run.name} has its seed"
                others.append(Outcome(outcome.run, CheckResult(None, reason)))
        elif outcome.result.held is None:
            others.append(outcome)
        elif outcome.run.seed not in chosen:
            reason = "not counted, since its seed was not chosen beforehand"
            others.append(Outcome(outcome.run, CheckResult(None, reason)))
        else:
            counted[outcome.run.seed] = outcome
    ordered = sorted(counted.values(), key=lambda outcome: (len(outcome.run.seed), outcome.run.seed))
    return ClaimResult(experiment, published, claim, ordered, others)


def check_run(run: RunFolder, claim: Claim, length: Length, all_runs: list[RunFolder]) -> CheckResult:
    """What a run of that length or more says about a claim."""
    if run.status["state"] == "diverged":
        if not claim.evaluate_diverged and length.of(run.status) < length.amount:
            return CheckResult(False, f"it diverged at step {run.status['step']}")
    elif reason := why_incomplete(run, length):
        return CheckResult(None, reason)
    try:
        baselines = {"baselines": find_baselines(run, claim, length, all_runs)} if claim.baselines else {}
        return find_check(claim.check)(run, **claim.arguments, **baselines)
    except MissingData as error:
        return CheckResult(None, str(error))


def find_check(name: str) -> Any:
    """The check of this name."""
    return getattr(checks, name, None) or getattr(image_checks, name)


def find_baselines(run: RunFolder, claim: Claim, length: Length, all_runs: list[RunFolder]) -> list[RunFolder]:
    """The run to compare with for each of the claim's baselines. Raises MissingData where there is none."""
    found = []
    for baseline in claim.baselines:
        wanted = Length(baseline.epochs, "epoch") if baseline.epochs else length._replace(amount=length.of(run.status))
        fitting = [
            other
            for other in all_runs
            if is_run_of(other, baseline.experiment, baseline.overrides)
            and all(other.setting(name) == run.setting(name) for name in SAME)
            and (other.status["state"] == "diverged" or is_complete(other, wanted))
        ]
        if not fitting:
            what = " ".join([baseline.experiment, *baseline.overrides])
            raise MissingData(f"there is no run of {what} of {wanted} with the same {', '.join(SAME)}")
        found.append(fitting[0])
    return found


def is_complete(run: RunFolder, length: Length) -> bool:
    """Whether a run has ended after exactly that long."""
    return run.status["state"] in ("finished", "stopped") and length.of(run.status) == length.amount


def why_incomplete(run: RunFolder, length: Length) -> str | None:
    """Why a run cannot be evaluated yet; None where it has ended after `length` or more."""
    state, reached = run.status["state"], f"at {length.unit} {length.of(run.status):.6g} of {length.amount:.12g}"
    if state not in ("finished", "stopped"):
        return f"it is {state}, {reached}"
    if length.of(run.status) >= length.amount:
        return None
    if not (run.folder / "checkpoints").is_dir():  # it was kept without its weights
        return f"it is {reached}"
    command = shell_line("train.py", quote_override("resume", str(run.folder)), length.override)
    return f"it is {reached}: {command}"


def is_run_of(run: RunFolder, experiment: str, overrides: list[str]) -> bool:
    """Whether a run is one of this set-up with these overrides and no others that can change its numbers."""
    return run.overrides.get("experiment") == experiment and extra_overrides(run) == set(overrides)


def is_free(name: str) -> bool:
    """Whether a run may have any value of this setting and is still one of the published set-up."""
    return name in FREE or name.startswith(FREE_PREFIXES)


def extra_overrides(run: RunFolder) -> set[str]:
    """The overrides of a run that can change its numbers, besides its experiment."""
    overrides = {name: value.replace(" ", "") for name, value in run.overrides.items() if not is_free(name)}
    extra = {f"{name}={value}" for name, value in overrides.items()}
    return extra - {"precision=fp32"}  # what every set-up was published in


def describe_run(run: RunFolder) -> str:
    """In Markdown: what was typed for it besides the seed, how long it is, and on which machine."""
    names = [name for name in run.overrides if name not in ("experiment", "seed") and not name.startswith("hydra")]
    command = shell_line("train.py", *(f"{name}={run.overrides[name]}" for name in ["experiment", *names]))
    machine = run.status["machine"] or "machine unknown"
    return f"{markdown_code(command)}, {run.status['step']:,} steps; {markdown(machine)}"
