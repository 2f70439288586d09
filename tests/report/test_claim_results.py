"""Claims about published set-ups, evaluated for runs whose files were written by hand."""

import inspect
import json

import pytest

from gan.metrics.catalogue import METRICS
from gan.report import checks
from gan.report.claim_results import Claim, claims_markdown, evaluate_claim, extra_overrides, load_claims
from gan.report.runs import find_runs
from tests.conftest import CONF, composed
from tests.report.conftest import write_claim_run, write_rows

CLAIMS = [(name, claim) for name, published in load_claims().items() for claim in published.claims]


@pytest.mark.parametrize(("name", "claim"), CLAIMS)
def test_a_claim_names_a_set_up_and_a_check_with_its_arguments(name, claim):
    composed(f"experiment={name}", *claim.overrides, *load_claims()[name].watch)
    signature = inspect.signature(getattr(checks, claim.check))
    signature.bind("a run", **claim.arguments, **({"baseline": "another"} if claim.baseline else {}))
    assert claim.baseline is None or claim.baseline in load_claims()


def test_a_claim_names_numbers_that_runs_have():
    metrics = {claim.arguments["metric"] for _, claim in CLAIMS if "metric" in claim.arguments}
    assert metrics and metrics <= {metric.name for metric in METRICS if metric.better}
    names = {
        name
        for _, claim in CLAIMS
        for name in [claim.arguments.get("name"), *claim.arguments.get("names", [])]
        if name is not None
    }
    assert names == {"discriminator/loss", "generator/loss", "generator/gradient_norm"}


def test_every_published_set_up_has_its_claims():
    folder = CONF / "experiment"
    published = [*folder.glob("blog/*.yaml"), *folder.glob("paper/*.yaml")]
    assert {path.relative_to(folder).with_suffix("").as_posix() for path in published} <= set(load_claims())


def test_only_a_run_of_the_set_up_as_published_is_evaluated(tmp_path):
    free = [
        "seed=3",
        "precision=bf16",
        "watch.scores_every=10 epochs",
        "train.epochs=9",
        "hydra.run.dir=x",
        "threads=1",
    ]
    assert not extra_overrides(write_claim_run(tmp_path / "a", "experiment=blog/mlp", *free))
    changed = write_claim_run(tmp_path / "b", "experiment=blog/mlp", "trick=[r1, r2]", "watch.log_mean=true")
    assert extra_overrides(changed) == {"trick=[r1,r2]", "watch.log_mean=true"}
    text = "\n".join(claims_markdown([changed]))
    assert "* b: not evaluated, because of its overrides `trick=[r1,r2] watch.log_mean=true`" in text
    assert "**held" not in text and "**did not hold" not in text


def test_the_claim_about_ema_wants_a_run_with_that_decay(tmp_path):
    name = "paper/goodfellow2014_mnist"
    decays = "train.ema_decay=0.9999", "train.ema_decay=0.999"
    ema, other = (
        write_claim_run(tmp_path / str(i), f"experiment={name}", decay, steps=2500) for i, decay in enumerate(decays)
    )
    row = dict.fromkeys(("dataset", "features", "accuracy", "real"), "x")
    row |= {"split": "test", "generated": 10_000, "step": 2500, "parzen": 225.1}
    for run in (ema, other):
        write_rows(run.folder / "scores.jsonl", [row])
    text = "\n".join(claims_markdown([ema, other]))
    assert "it reaches 225. | **held** | 0: parzen 225.1 at the end |" in text
    assert "* 1: not evaluated, because of its overrides `train.ema_decay=0.999`\n" in text


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"state": "running", "steps": 2000}, "it is running, at epoch 200 of 200"),
        ({"state": "diverged", "steps": 20}, "it is diverged, at epoch 2 of 200"),
        ({"state": "finished", "steps": 1990}, "it is at epoch 199 of 200: python train.py resume="),
        ({"state": "finished", "steps": 2000}, "nothing was logged"),
    ],
)
def test_an_incomplete_run_is_undecided(tmp_path, status, reason):
    text = "\n".join(claims_markdown([write_claim_run(tmp_path / "run", "experiment=blog/mlp", **status)]))
    assert f"| **undecided** | run: {reason}" in text and "`python train.py experiment=blog/mlp 'watch" not in text


def test_a_result_is_printed_with_its_evidence_or_with_the_missing_command(tmp_path):
    for seed, state in ((0, "diverged"), (1, "finished")):
        overrides = ["experiment=blog/log_sigmoid", f"seed={seed}", "watch.samples_every=2 epochs", "threads=1"]
        status = {"state": state, "steps": 20_000 - 15_000 * seed, "error": f"{seed}."}
        write_claim_run(tmp_path / f"s{seed}", *overrides, rows=[(500, 1.0, 2.0, 0.5, 0.5)], **status)
    text = "\n".join(claims_markdown(find_runs([tmp_path])))
    assert "| **held in 1 of 2 runs** | s0: 0.<br>s1: all losses" in text
    command = "`python train.py experiment=blog/mlp 'watch.scores_every=10 epochs'`"
    assert f"| **not run** |  |\n\n* not run: {command}" in text
    assert "loss.saturating=true 'trick=[track_failures]' train.epochs=30" in text
    assert "| The digits can be recognized. (Measured by coverage" in text
    again = "`python train.py experiment=blog/log_sigmoid seed=1 'watch.samples_every=2 epochs'`"
    assert f"* s1: {again}; 1.0 minutes of training, to epoch 500; a box" in text


def test_a_claim_counts_each_seed_once(tmp_path):
    for name, seed, steps, state in (("a", 0, 20_000, "diverged"), ("b", 0, 20_000, "diverged"), ("c", 1, 5_000, "finished")):  # fmt: skip
        overrides = ["experiment=blog/log_sigmoid", f"seed={seed}"]
        status = {"state": state, "steps": steps, "error": "x."}
        write_claim_run(tmp_path / name, *overrides, rows=[(500, 1.0, 2.0, 0.5, 0.5)], **status)
    text = "\n".join(claims_markdown(find_runs([tmp_path])))
    assert "| **held in 1 of 2 runs** | a: x.<br>b: x. (not counted: the seed of a)<br>c: all losses" in text


def test_a_comparison_is_with_a_complete_run_of_the_other_set_up_and_the_same_seed(tmp_path):
    claim = Claim(text="", check="beats", arguments={"by": 0.5, "slack": 0.05}, baseline="blog/conv")
    ours = write_claim_run(tmp_path / "0", "experiment=conv_improved", "seed=1", scores=[(10, 1.0)])

    def evaluate(*others):
        return evaluate_claim(ours, claim, 1, load_claims(), {"blog/conv": list(others)})

    def baseline(name, *overrides, steps=300):
        overrides = ["experiment=blog/conv", *overrides]
        return write_claim_run(tmp_path / name, *overrides, steps=steps, scores=[(30, 4.0)])

    unfit = evaluate(
        baseline("1", "seed=0"),
        baseline("2", "seed=1", "optim=sgd"),
        baseline("3", "seed=1", steps=290),
        baseline("4", "seed=1", steps=400),
        baseline("5", "seed=1", "precision=bf16"),
    )
    assert unfit.held is None and "no run of blog/conv of 30 epochs with the same seed" in unfit.evidence
    result = evaluate(baseline("r", "seed=0"), baseline("s", "seed=1"))
    assert result.held and result.evidence == "fid_mnist 1 after 1.0 minutes; 4 after 1.0 minutes in s"


def test_damaged_files_leave_a_claim_undecided(tmp_path):
    run = write_claim_run(tmp_path / "a" / "run", "experiment=blog/mlp", steps=2000, scores=[(200, 1.0)])
    rows = [{"step": 1}, {"step": 2, "epoch": None}, {"step": 3, "epoch": 3, "discriminator/loss": None}]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run.folder / "scores.json").write_text("[1")
    (run.folder / "final.png").write_bytes(b"no image")
    write_claim_run(tmp_path / "b" / "run", "experiment=blog/mlp", epoch="2|0")
    text = "\n".join(claims_markdown(find_runs([tmp_path]), tmp_path / "out"))
    assert "a/run: discriminator/loss is missing or not finite" in text and "b/run: it is running" in text
    assert "![" not in text
