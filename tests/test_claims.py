"""Claims about published set-ups, held against runs whose files were written by hand."""

import inspect
import json
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from gan.report import checks, verdicts
from gan.report.cells import BETTER, PROTOCOL
from gan.report.checks import Missing
from gan.report.runs import RunFolder, find_runs
from tests.conftest import CONF, ROOT, composed

TAKEN = dict.fromkeys(PROTOCOL, "x") | {"split": "test"}
CLAIMS = [(name, claim) for name, claims in verdicts.read().items() for claim in claims.claims]


def write(folder, *said, rows=(), scored=(), steps=100, generated=2000, **status):
    """A run of 10 steps an epoch. `rows` are (epoch, D loss, G loss, D(x), D(G(z))), `scored` (epoch, FID)."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.dump(list(said)))
    names = "discriminator/loss", "generator/loss", "discriminator/real", "discriminator/fake"
    logged = [{"step": 10 * row[0], "epoch": row[0]} | dict(zip(names, row[1:], strict=True)) for row in rows]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in logged))
    protocol = TAKEN | {"generated": generated}
    found = [protocol | {"step": round(10 * epoch), "fid": fid} for epoch, fid in scored]
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    known = {"state": "finished", "step": steps, "epoch": steps / 10, "seconds": 60.0, "machine": "a box"}
    (folder / "status.json").write_text(json.dumps(known | status))
    return RunFolder(folder)


LOSSES = ["discriminator/loss", "generator/loss"]


@pytest.mark.parametrize(("name", "claim"), CLAIMS)
def test_a_claim_names_a_set_up_and_a_check_with_its_numbers(name, claim):
    composed(f"experiment={name}", *claim.asked, *verdicts.read()[name].watch)
    signature = inspect.signature(getattr(checks, claim.check))
    signature.bind("a run", **claim.numbers, **({"than": "another"} if claim.than else {}))
    assert claim.than is None or claim.than in verdicts.read()


def test_a_claim_looks_at_what_a_run_has():
    names = [
        name for _, claim in CLAIMS for name in [claim.numbers.get("name"), *claim.numbers.get("names", [])] if name
    ]
    assert names and set(names) <= {*BETTER, "discriminator/loss", "generator/loss", "generator/gradient_norm"}


def test_every_published_set_up_has_its_claims():
    folder = CONF / "experiment"
    published = [*folder.glob("blog/*.yaml"), *folder.glob("paper/*.yaml")]
    assert {path.relative_to(folder).with_suffix("").as_posix() for path in published} <= set(verdicts.read())


def test_level_is_near_the_median_and_without_a_trend(tmp_path):
    rows = [(1, 9.0, 1.0, 0.5, 0.5), (2, 1.0, 1.0, 0.5, 0.5), (3, 1.2, 1.0, 0.5, 0.5), (4, 1.1, 1.0, 0.5, 0.5)]
    run = write(tmp_path / "a", rows=rows)
    assert checks.level(run, names=LOSSES, from_epoch=2, until_epoch=4, within=0.1).held  # 1.2 is 9.1 % above 1.1
    assert not checks.level(run, names=LOSSES, from_epoch=2, until_epoch=4, within=0.09).held
    assert not checks.level(run, names=LOSSES, from_epoch=1, until_epoch=4, within=0.1).held
    with pytest.raises(Missing, match="between epochs 5 and 9"):
        checks.level(run, names=LOSSES, from_epoch=5, until_epoch=9, within=0.1)
    rising = write(tmp_path / "b", rows=[(epoch, 1, 0.8 + 0.1 * epoch, 0.5, 0.5) for epoch in range(5)])  # 0.8 to 1.2
    asked = {"names": ["generator/loss"], "from_epoch": 0, "until_epoch": 5}
    assert checks.level(rising, within=0.41, **asked).held and not checks.level(rising, within=0.39, **asked).held
    resting = write(tmp_path / "c", rows=[(epoch, 0.0, 1, 0.5, 0.5) for epoch in range(3)])
    assert checks.level(resting, names=LOSSES, from_epoch=0, until_epoch=3, within=0.1).held
    lost = write(tmp_path / "d", rows=[(0, 2e-5, 1, 0.5, 0.5), (1, 3e-6, 1, 0.5, 0.5), (2, 1e-6, 1, 0.5, 0.5)])
    assert checks.level(lost, names=LOSSES, from_epoch=0, until_epoch=3, within=0.1).held  # seven times, of nothing
    assert not checks.level(lost, names=LOSSES[:1], from_epoch=0, until_epoch=3, within=0.1, at=0.6931).held
    assert checks.level(run, names=LOSSES[:1], from_epoch=2, until_epoch=4, within=0.2, at=1.0).held  # 1.2 lies 0.2 off
    assert not checks.level(run, names=LOSSES[:1], from_epoch=2, until_epoch=4, within=0.19, at=1.0).held
    falling = write(tmp_path / "e", rows=[(0, 0.05, 1, 0.5, 0.5), (1, 0.02, 1, 0.5, 0.5), (2, 0.01, 1, 0.5, 0.5)])
    assert not checks.level(falling, names=LOSSES, from_epoch=0, until_epoch=3, within=0.1).held


def test_a_loss_that_falls_is_seen_in_the_means_of_the_tenths(tmp_path):
    rows = [(epoch, 2.0 if epoch <= 2 else 1.0, 1.0 + epoch, 0.5, 0.5) for epoch in range(1, 21)]
    run = write(tmp_path, rows=rows)
    assert not checks.does_not_fall(run, names=LOSSES, by=0.5).held  # from 2 to 1
    assert checks.does_not_fall(run, names=LOSSES, by=0.51).held
    climbed = checks.climbs(run, name="generator/loss", after_epoch=3, times=20.5 / 3)  # 2, 3, 4, and at last 20, 21
    assert climbed.held and "is 3 until epoch 3, and 20.5" in climbed.figure
    assert not checks.climbs(run, name="generator/loss", after_epoch=3, times=7).held


def test_an_order_holds_in_most_rows(tmp_path):
    rows = [(1, 1, 1, 0.4, 0.3), (2, 1, 1, 0.6, 0.4), (3, 1, 1, 0.7, 0.2)]
    run = write(tmp_path, rows=rows)
    order = ["discriminator/real", 0.5, "discriminator/fake"]
    assert checks.ordered(run, greatest_first=order, share=2 / 3).held
    found = checks.ordered(run, greatest_first=order, share=0.67)
    assert not found.held and "so in 2 of 3 logged rows" in found.figure and "lies in 0.4 to 0.7" in found.figure


def test_the_discriminator_wins_for_good_or_not_at_all(tmp_path):
    def play(name, *sure):
        rows = [(epoch, 1, 1, *((0.95, 0.05) if epoch in sure else (0.9, 0.4))) for epoch in range(1, 21)]
        return write(tmp_path / name, rows=rows)

    won = play("won", 2, *range(8, 13), *range(14, 21))  # 12 of the 13 rows from epoch 8 on
    assert checks.discriminator_wins(won, from_epoch=8, until_epoch=8).held and not checks.nobody_wins(won).held
    assert not checks.discriminator_wins(
        won, from_epoch=2, until_epoch=7
    ).held  # what was won at epoch 2 was lost again
    lost = play("lost", *range(1, 20))  # but not in one of the last two
    assert checks.nobody_wins(lost).held and not checks.discriminator_wins(lost, from_epoch=0, until_epoch=20).held


def test_a_run_diverges_late_enough_or_does_not(tmp_path):
    at_20 = write(tmp_path / "a", state="diverged", steps=20, error="NaN at step 20.")
    assert checks.diverges(at_20, from_step=20).held and not checks.diverges(at_20, from_step=21).held
    finished = checks.diverges(write(tmp_path / "b", rows=[(10, 1.5, 2.5, 0.5, 0.5)]), from_step=20)
    assert not finished.held and "100 steps (discriminator/loss 1.5, generator/loss 2.5 in" in finished.figure


def test_a_gradient_vanishes_where_the_discriminator_wins(tmp_path):
    def falling(name, least, real):
        rows = [(epoch, 1, 8.0 if epoch < 19 else least, real, 0.01) for epoch in range(1, 21)]
        return write(tmp_path / name, rows=rows)

    asked = {"name": "generator/loss", "until_epoch": 20}
    found = checks.vanishes(falling("a", 0.5, 0.95), below=0.07, **asked)
    assert found.held and "goes from 8 to 0.5 at epoch 20, where D wins" in found.figure
    assert not checks.vanishes(falling("b", 0.5, 0.95), below=0.06, **asked).held
    assert not checks.vanishes(falling("c", 0.5, 0.6), below=0.07, **asked).held  # it fell, but D did not win
    once = write(tmp_path / "d", rows=[(e, 1, 0.01 if e == 20 else 8.0, 0.95, 0.01) for e in range(1, 21)])
    assert not checks.vanishes(once, below=0.07, **asked).held


def test_scores_are_the_last_or_the_mean_of_some_epochs(tmp_path):
    run = write(tmp_path, scored=[(1, 40.0), (5, 10.0), (6, 20.0), (10, 30.0)])
    assert checks.score(run, name="fid", at_most=30).held and not checks.score(run, name="fid", at_least=30.1).held
    assert checks.score(run, name="fid", at_least=15, at_most=15, epochs=(5, 6)).held
    assert checks.hardly_improves(run, from_epoch=1, until_epoch=5, by=0.26).held
    assert not checks.hardly_improves(
        run, from_epoch=1, until_epoch=5, by=0.25
    ).held  # 30 is lower than 40 by a quarter
    assert checks.falls_apart(run, times=3).held and not checks.falls_apart(run, times=3.1).held
    assert checks.score(run, name="fid", at_most=30, images=2000).held
    for wanted in (
        lambda: checks.score(run, name="kl"),
        lambda: checks.score(run, name="fid", images=2001),
        lambda: checks.score(run, name="fid", images=1999),
        lambda: checks.hardly_improves(run, from_epoch=2, until_epoch=4, by=0.1),
    ):
        with pytest.raises(Missing):
            wanted()


def test_scores_taken_otherwise_or_elsewhere_do_not_decide(tmp_path):
    once = write(tmp_path / "once", scored=[(10, 30.0)])
    stopped_scoring = write(tmp_path / "stopped", scored=[(1, 40.0), (2, 30.0)])
    for run in (once, stopped_scoring):
        with pytest.raises(Missing, match="not taken in training both before the end and there"):
            checks.falls_apart(run, times=2)
    with pytest.raises(Missing, match="both before the end and there"):
        checks.hardly_improves(stopped_scoring, from_epoch=1, until_epoch=2, by=0.1)
    early = write(tmp_path / "early", scored=[(9, 30.0)])
    with pytest.raises(Missing, match=r"not taken at the end: python -m gan\.evaluate"):
        checks.score(early, name="fid")
    with (early.folder / "scores.jsonl").open("a") as file:  # of as many images as nothing before
        file.write(json.dumps(TAKEN | {"generated": 9, "step": 100, "fid": 60.0}) + "\n")
    with pytest.raises(Missing, match="both before"):
        checks.falls_apart(RunFolder(early.folder), times=2)


def test_the_score_of_the_most_images_at_the_end_decides(tmp_path):
    run = write(tmp_path, scored=[(10, 30.0)])
    whole = TAKEN | {"generated": 10_000, "step": 100, "checkpoint": "last", "ema": True}
    for change, expected in (
        ({}, 20.0),
        ({"generated": 2000}, 20.0),
        ({"generated": 1999}, 30.0),
        ({"ema": False}, 30.0),
        ({"checkpoint": "best"}, 30.0),
        ({"step": 9}, 30.0),
        ({"split": "train"}, 30.0),
        ({"features": "inception-0"}, 30.0),
        ({"scores": {"fid": {"mean": None}}}, 30.0),
        ({"generated": "all"}, 30.0),
        ({"scores": [20.0]}, 30.0),
    ):
        found = whole | {"scores": {"fid": {"mean": 20.0, "spread": None}}} | change
        (run.folder / "scores.json").write_text(json.dumps([found]))
        assert checks.at_end(RunFolder(run.folder), "fid")["fid"] == expected


def test_one_run_beats_another_in_the_same_time_on_the_same_machine(tmp_path):
    ours = write(tmp_path / "ours", scored=[(10, 5.0)], seconds=62.0)
    theirs = write(tmp_path / "theirs", scored=[(10, 10.0)])
    assert checks.beats(ours, than=theirs, by=0.5, slack=0.05).held
    assert not checks.beats(ours, than=theirs, by=0.51, slack=0.05).held
    assert not checks.beats(ours, than=theirs, by=0.5, slack=0.03).held
    elsewhere = write(tmp_path / "elsewhere", scored=[(10, 10.0)], machine="another box")
    otherwise = write(tmp_path / "otherwise", scored=[(10, 10.0)], generated=500)
    for other, what in ((elsewhere, "machine"), (otherwise, "scores")):
        with pytest.raises(Missing, match=what):
            checks.beats(ours, than=other, by=0.5, slack=0.05)


def test_only_a_run_of_the_set_up_as_published_is_judged(tmp_path):
    free = [
        "seed=3",
        "precision=bf16",
        "watch.scores_every=10 epochs",
        "train.epochs=9",
        "hydra.run.dir=x",
        "threads=1",
    ]
    assert not verdicts.also_asked(write(tmp_path / "a", "experiment=blog/mlp", *free))
    averaged = write(tmp_path / "b", "experiment=blog/mlp", "trick=[ema, r1]", "watch.log_mean=true")
    assert verdicts.also_asked(averaged) == {"trick=[ema,r1]", "watch.log_mean=true"}
    text = "\n".join(verdicts.lines([averaged]))
    assert (
        "b: not judged, as it was also asked for trick=[ema,r1] watch.log_mean=true" in text and "held" not in text[30:]
    )


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"state": "running", "steps": 2000}, "it is running, at epoch 200 of 200"),
        ({"state": "diverged", "steps": 20}, "it is diverged, at epoch 2 of 200"),
        ({"state": "finished", "steps": 1990}, "it has come to epoch 199: python train.py resume="),
        ({"state": "finished", "steps": 2000}, "nothing was logged"),
    ],
)
def test_a_run_that_is_not_whole_decides_nothing(tmp_path, status, why):
    text = "\n".join(verdicts.lines([write(tmp_path / "run", "experiment=blog/mlp", **status)]))
    assert f"| **undecided** | run: {why}" in text and "`python train.py experiment=blog/mlp 'watch" not in text


def test_a_verdict_is_printed_with_what_decides_or_with_what_to_type(tmp_path):
    for seed, state in ((0, "diverged"), (1, "finished")):
        said = ["experiment=blog/log_sigmoid", f"seed={seed}", "watch.samples_every=2 epochs", "threads=1"]
        rows = [(500, 1.0, 2.0, 0.5, 0.5)]
        write(tmp_path / f"s{seed}", *said, rows=rows, state=state, steps=20_000 - 15_000 * seed, error=f"{seed}.")
    text = "\n".join(verdicts.lines(find_runs([tmp_path])))
    assert "| **held in 1 of 2 runs** | s0: 0.<br>s1: no loss" in text
    assert (
        "| **not run** |  |\n\n* not run: `python train.py experiment=blog/mlp 'watch.scores_every=10 epochs'`" in text
    )
    assert "loss.saturating=true 'trick=[track_failures]' train.epochs=30" in text
    assert "| The digits can be recognised. (Judged by coverage, which sees no digit through speckles;" in text
    again = "`python train.py experiment=blog/log_sigmoid seed=1 'watch.samples_every=2 epochs'`"
    assert f"* s1: {again}; 1.0 minutes of training, to epoch 500; a box" in text


def test_a_comparison_is_with_a_whole_run_of_the_other_set_up_and_the_same_seed(tmp_path):
    claim = verdicts.Claim(says="", check="beats", numbers={"by": 0.5, "slack": 0.05}, than="blog/conv")
    ours = write(tmp_path / "0", "experiment=conv_improved", "seed=1", scored=[(10, 1.0)])

    def judge(*rivals):
        return verdicts.judged(ours, claim, verdicts.read(), 1, {"blog/conv": list(rivals)})

    asked = {"steps": 300, "scored": [(30, 4.0)]}
    other_seed = write(tmp_path / "1", "experiment=blog/conv", "seed=0", **asked)
    changed = write(tmp_path / "2", "experiment=blog/conv", "seed=1", "optim=sgd", **asked)
    unfinished = write(tmp_path / "3", "experiment=blog/conv", "seed=1", **asked | {"steps": 290})
    longer = write(tmp_path / "4", "experiment=blog/conv", "seed=1", **asked | {"steps": 400})
    in_half = write(tmp_path / "5", "experiment=blog/conv", "seed=1", "precision=bf16", **asked)
    refused = judge(other_seed, changed, unfinished, longer, in_half)
    assert refused.held is None and "no run of blog/conv of 30 epochs that is alike in seed" in refused.figure
    found = judge(other_seed, write(tmp_path / "r", "experiment=blog/conv", "seed=1", **asked))
    assert found.held and "FID 1 after 1.0 minutes, and 4 after 1.0 minutes in r" in found.figure


def test_odd_files_are_no_verdict_and_no_traceback(tmp_path):
    run = write(tmp_path / "a" / "run", "experiment=blog/mlp", steps=2000, scored=[(200, 1.0)])
    rows = [{"step": 1}, {"step": 2, "epoch": None}, {"step": 3, "epoch": 3, "discriminator/loss": None}]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run.folder / "scores.json").write_text("[1")
    (run.folder / "final.png").write_bytes(b"no image")
    write(tmp_path / "b" / "run", "experiment=blog/mlp", epoch="2|0")
    text = "\n".join(verdicts.lines(find_runs([tmp_path]), tmp_path / "out"))
    assert "a/run: discriminator/loss was not logged in every row" in text and "b/run: it is running" in text
    assert "![" not in text


def test_claims_are_printed_or_written_with_images(program, tmp_path):
    done = program("gan.report", "--claims", str(tmp_path / "nowhere"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "does not exist" in done.stderr
    run = write(tmp_path / "run", "experiment=blog/log_sigmoid", state="diverged", steps=20_000, error="NaN.")
    done = program("gan.report", "--claims", str(tmp_path))
    assert done.returncode == 0 and "| **held** | run: NaN. |" in done.stdout and not list(tmp_path.glob("*.*"))
    Image.new("RGB", (20, 10), (255, 0, 0)).save(run.folder / "final.png")
    written = program("gan.report", "--claims", str(tmp_path), "--out", str(tmp_path / "out"))
    text = (tmp_path / "out" / "claims.md").read_text()
    assert (
        written.returncode == 0 and "![images of run](blog-log_sigmoid_images.png)" in text and "losses of" not in text
    )
    with Image.open(tmp_path / "out" / "blog-log_sigmoid_images.png") as image:
        assert image.size == (20, 10) and image.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_a_reader_who_has_read_enough_is_no_error(tmp_path):
    write(tmp_path / "run", "experiment=blog/mlp")
    line = [sys.executable, "-m", "gan.report", "--claims", str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        done.stdout.close()
        assert done.stderr.read() == "" and done.wait() == 0
