"""Outcomes of claims over seeds, for runs whose files were written by hand."""

import json

import pytest

from gan.report.claim_files import Baseline, Claim, Claims, load_claims
from gan.report.claim_results import evaluate_claim, evaluate_claims, extra_overrides
from tests.report.conftest import write_claim_run


def write_seeds(folder, *outcomes, epochs=10, **status):
    """A run of blog/mlp for each outcome, whose D(x) is above 0.9 at the end where D wins."""
    rows = {wins: [(epoch, 1, 1, *((0.99, 0.01) if wins else (0.6, 0.4))) for epoch in range(1, 11)] for wins in (0, 1)}
    return [
        write_claim_run(
            folder / f"s{seed}", "experiment=blog/mlp", f"seed={seed}", rows=rows[wins], steps=10 * epochs, **status
        )
        for seed, wins in enumerate(outcomes)
    ]


def evaluate(runs, epochs=10, seeds=(0, 1, 2), **arguments):
    claim = Claim(text="D does not win.", check="discriminator_does_not_win", **arguments)
    published = Claims(source="x", epochs=epochs, seeds=list(seeds), minutes=1, claims=[claim])
    return evaluate_claim("blog/mlp", published, claim, runs)


def test_a_claim_is_decided_over_its_seeds(tmp_path):
    runs = write_seeds(tmp_path, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert str(evaluate(runs, seeds=range(10)).verdict) == "held"
    result = evaluate(runs, seeds=range(12))
    assert result.verdict == (9, 10, 2, False) and result.missing_seeds == [10, 11]
    assert [outcome.run.seed for outcome in result.counted] == [str(seed) for seed in range(10)]
    assert str(evaluate(write_seeds(tmp_path / "all", 1, 1, 1, 1), seeds=range(4)).verdict) == "did not hold"
    assert str(evaluate(write_seeds(tmp_path / "some", 0, 1), seeds=[0, 1]).verdict) == "depends on the seed"
    assert str(evaluate(write_seeds(tmp_path / "few", 0, 0, 0)).verdict) == "3 of 3 seeds"


def test_a_seed_that_was_not_chosen_beforehand_does_not_count(tmp_path):
    """One of five seeds says no; four more that say yes would make it "held"."""
    runs = write_seeds(tmp_path, 0, 0, 0, 0, 1, 0, 0, 0, 0)
    result = evaluate(runs, seeds=range(5))
    assert str(result.verdict) == "depends on the seed" and len(result.counted) == 5 and len(result.others) == 4
    assert all("not chosen" in outcome.result.evidence for outcome in result.others)
    assert str(evaluate(runs, seeds=range(9)).verdict) == "held"


def test_without_randomness_one_run_decides_and_has_no_interval(tmp_path):
    for wins, kind in ((0, "held"), (1, "did not hold")):
        verdict = evaluate(write_seeds(tmp_path / kind, wins), seeds=[0], deterministic=True).verdict
        assert str(verdict) == verdict.kind == kind and "(" not in verdict.share


def test_a_seed_counts_once_with_its_shortest_run_that_decides(tmp_path):
    (long,) = write_seeds(tmp_path / "long", 1, epochs=20)
    (short,) = write_seeds(tmp_path / "short", 0, epochs=10)
    (too_short,) = write_seeds(tmp_path / "too_short", 1, epochs=9)
    result = evaluate([long, short, too_short])
    assert [outcome.run for outcome in result.counted] == [short] and result.verdict[:2] == (1, 1)
    assert [(outcome.run, outcome.result.held) for outcome in result.others] == [(long, None)]
    assert "s0 has its seed" in result.others[0].result.evidence


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"state": "running", "epochs": 200}, "it is running, at epoch 200 of 200"),
        ({"state": "finished", "epochs": 199}, "it is at epoch 199 of 200: python train.py resume="),
        ({"state": "failed", "epochs": 200}, "it is failed"),
    ],
)
def test_a_run_that_is_too_short_is_not_counted_and_named(tmp_path, status, reason):
    (run,) = write_seeds(tmp_path, 0, **status)
    result = evaluate([run], epochs=200)
    assert str(result.verdict) == "not run" and result.missing_seeds == [0, 1, 2]
    assert [outcome.run for outcome in result.others] == [run] and reason in result.others[0].result.evidence


def test_the_length_of_a_run_can_be_counted_in_steps(tmp_path):
    claim = Claim(text="D does not win.", check="discriminator_does_not_win")
    published = Claims(source="x", steps=100, seeds=[0, 1], minutes=1, claims=[claim])
    enough, short = write_seeds(tmp_path, 0, 0, epochs=10)[0], write_seeds(tmp_path / "short", 0, 0, epochs=9)[1]
    result = evaluate_claim("blog/mlp", published, claim, [enough, short])
    assert [outcome.run for outcome in result.counted] == [enough] and result.missing_seeds == [1]
    (other,) = result.others
    assert other.run == short and "it is at step 90 of 100: python train.py resume=" in other.result.evidence
    assert other.result.evidence.endswith("train.max_steps=100")
    (short.folder / "checkpoints").rmdir()
    (kept,) = evaluate_claim("blog/mlp", published, claim, [short]).others
    assert kept.result.evidence == "it is at step 90 of 100"  # without checkpoints nothing can be resumed


@pytest.mark.parametrize("lengths", [{}, {"epochs": 1, "steps": 1}], ids=str)
def test_the_length_of_a_run_is_counted_in_one_unit(lengths):
    with pytest.raises(ValueError, match="either epochs or steps"):
        Claims(source="x", seeds=[0], minutes=1, claims=[], **lengths)


def test_a_comparison_of_steps_is_with_a_run_of_as_many(tmp_path):
    published = load_claims()["toy/grid25"]
    packed = published.claims[1]
    scores = [(1000, {"modes_found": 25}), (1200, {"modes_found": 25})]
    names = ["experiment=toy/grid25", "seed=0"]
    ours = write_claim_run(tmp_path / "ours", *names, *packed.overrides, steps=12_000, scores=scores)
    names += packed.baselines[0].overrides
    few = [(1000, {"modes_found": 17}), (1200, {"modes_found": 17})]
    short, equal = (write_claim_run(tmp_path / str(n), *names, steps=n, scores=few) for n in (10_000, 12_000))
    assert not evaluate_claim("toy/grid25", published, packed, [ours, short]).counted
    result = evaluate_claim("toy/grid25", published, packed, [ours, short, equal])
    assert result.counted[0].result == (True, "modes_found 17 to 25")


def test_a_run_without_the_numbers_is_not_counted_and_named(tmp_path):
    (run,) = write_seeds(tmp_path, 0)
    rows = [{"step": 1}, {"step": 2, "epoch": None}, {"step": 3, "epoch": 3, "discriminator/real": None}]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = evaluate([run])
    assert str(result.verdict) == "not run" and "discriminator/real is missing" in result.others[0].result.evidence


def test_a_claim_does_not_hold_for_a_run_that_diverged_unless_it_is_checked_too(tmp_path):
    runs = write_seeds(tmp_path, 0, state="diverged")
    result = evaluate(runs, epochs=20)
    assert result.verdict[:2] == (0, 1) and result.counted[0].result.evidence == "it diverged at step 100"
    assert evaluate(runs, epochs=20, evaluate_diverged=True).verdict[:2] == (1, 1)


def test_a_run_that_diverged_only_after_the_epochs_of_a_claim_decides_it(tmp_path):
    runs = write_seeds(tmp_path, 0, state="diverged", epochs=10)
    assert evaluate(runs, epochs=10).verdict[:2] == (1, 1) and evaluate(runs, epochs=11).verdict[:2] == (0, 1)


def test_a_claim_can_want_seeds_and_a_length_of_its_own(tmp_path):
    runs = write_seeds(tmp_path, 0, 0)
    result = evaluate(runs, epochs=200, **{"seeds": [0, 1, 2, 3]})
    assert result.missing_seeds == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("overrides", "extra"),
    [
        (["seed=3", "precision=fp32", "watch.scores_every=10 epochs", "train.epochs=9", "threads=1"], set()),
        (["trick=[r1, r2]", "watch.log_mean=true"], {"trick=[r1,r2]", "watch.log_mean=true"}),
        (["precision=bf16"], {"precision=bf16"}),  # no author's program ran in it
    ],
)
def test_only_a_run_of_the_set_up_as_published_counts(tmp_path, overrides, extra):
    run = write_claim_run(tmp_path, "experiment=blog/mlp", "hydra.run.dir=x", *overrides)
    assert extra_overrides(run) == extra


def test_the_claim_about_ema_wants_a_run_with_that_decay(tmp_path):
    name = "paper/goodfellow2014_mnist"
    scores = [(250, {"parzen": 225.1})]
    runs = [
        write_claim_run(
            tmp_path / decay, f"experiment={name}", "seed=0", decay, steps=2500, scores=scores, generated=10_000
        )
        for decay in ("train.ema_decay=0.9999", "train.ema_decay=0.999")
    ]
    results = [result for result in evaluate_claims(runs) if result.counted]
    assert [result.claim.overrides for result in results] == [["train.ema_decay=0.9999"]]
    assert [outcome.run for outcome in results[0].counted] == runs[:1] and results[0].verdict[:2] == (1, 1)


def test_a_comparison_is_with_a_complete_run_of_the_other_set_up_and_the_same_seed(tmp_path):
    published = load_claims()["conv_improved"]
    ours = write_claim_run(tmp_path / "0", "experiment=conv_improved", "seed=1", scores=[(10, 1.0)])

    def evaluate_beside(*others, epochs=30):
        baseline = Baseline(experiment="blog/conv", epochs=epochs)
        claim = Claim(text="", check="beats", arguments={"by": {"fid": 0.5}}, epochs=1, baselines=[baseline])
        return evaluate_claim("conv_improved", published, claim, [ours, *others])

    def baseline(name, *overrides, epochs=30, **status):
        overrides = ["experiment=blog/conv", *overrides]
        return write_claim_run(tmp_path / name, *overrides, steps=10 * epochs, scores=[(epochs, 4.0)], **status)

    unfit = evaluate_beside(
        baseline("1", "seed=0"),
        baseline("2", "seed=1", "optim=sgd"),
        baseline("3", "seed=1", epochs=29),
        baseline("4", "seed=1", epochs=40),
        baseline("5", "seed=1", "precision=bf16"),
        baseline("6", "seed=1", state="running"),
    )
    assert not unfit.counted
    assert "no run of blog/conv of 30 epochs with the same seed" in unfit.others[0].result.evidence
    result = evaluate_beside(baseline("r", "seed=0"), baseline("s", "seed=1"))
    assert result.counted[0].result == (True, "fid_mnist 4 to 1")
    assert evaluate_beside(baseline("t", "seed=1", epochs=10), epochs=None).verdict[:2] == (1, 1)  # as long as ours
    short_of = baseline("d", "seed=1", epochs=3, state="diverged")
    assert evaluate_beside(short_of).verdict[:2] == (1, 1)  # with its last score
