"""Claims about published set-ups, held against runs whose files were written by hand."""

import inspect
import json
import subprocess
import sys

import pytest
import yaml
from PIL import Image

from gan.report import checks, verdicts
from gan.report.checks import Missing
from gan.report.runs import Run, found_below
from tests.conftest import ROOT, composed

CLAIMS = [(name, claim) for name, claims in verdicts.read().items() for claim in claims.claims]


def write(folder, *said, rows=(), scored=(), steps=100, **status):
    """A run of 10 steps an epoch. `rows` are (epoch, D loss, G loss, D(x), D(G(z))), `scored` (epoch, FID)."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.dump(list(said)))
    names = "discriminator/loss", "generator/loss", "discriminator/real", "discriminator/fake"
    logged = [{"step": 10 * row[0], "epoch": row[0]} | dict(zip(names, row[1:], strict=True)) for row in rows]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in logged))
    (folder / "scores.jsonl").write_text("".join(json.dumps({"step": 10 * e, "fid": f}) + "\n" for e, f in scored))
    known = {"state": "finished", "step": steps, "epoch": steps / 10, "seconds": 60.0, "machine": "a box"}
    (folder / "status.json").write_text(json.dumps(known | status))
    return Run(folder)


LOSSES = ["discriminator/loss", "generator/loss"]


@pytest.mark.parametrize(("name", "claim"), CLAIMS)
def test_a_claim_names_a_set_up_and_a_check_with_its_numbers(name, claim):
    composed(f"experiment={name}", *claim.asked, *verdicts.read()[name].watch)
    signature = inspect.signature(getattr(checks, claim.check))
    signature.bind("a run", **claim.numbers, **({"than": "another"} if claim.than else {}))


def test_every_published_set_up_has_its_claims():
    published = {f"blog/{name}" for name in ("mlp", "paper_sgd", "paper_adam", "paper_batchnorm_softlabel")}
    published |= {f"blog/{name}" for name in ("log_sigmoid", "log_tanh", "dcgan_cifar10")}
    assert published | {"paper/goodfellow2014_mnist", "conv_improved", "modern"} == set(verdicts.read())


def test_level_is_near_the_median(tmp_path):
    rows = [(1, 9.0, 1.0, 0.5, 0.5), (2, 1.0, 1.0, 0.5, 0.5), (3, 1.2, 1.0, 0.5, 0.5), (4, 1.1, 1.0, 0.5, 0.5)]
    run = write(tmp_path, rows=rows)
    assert checks.level(run, names=LOSSES, from_epoch=2, until_epoch=4, within=0.1).held  # 1.2 is 9.1 % above 1.1
    assert not checks.level(run, names=LOSSES, from_epoch=2, until_epoch=4, within=0.09).held
    assert not checks.level(run, names=LOSSES, from_epoch=1, until_epoch=4, within=0.1).held
    with pytest.raises(Missing, match="between epochs 5 and 9"):
        checks.level(run, names=LOSSES, from_epoch=5, until_epoch=9, within=0.1)


def test_a_loss_that_falls_is_seen_in_the_means_of_the_tenths(tmp_path):
    rows = [(epoch, 2.0 if epoch <= 2 else 1.0, 1.0 + epoch, 0.5, 0.5) for epoch in range(1, 21)]
    run = write(tmp_path, rows=rows)
    assert not checks.does_not_fall(run, names=LOSSES, by=0.5).held  # from 2 to 1
    assert checks.does_not_fall(run, names=LOSSES, by=0.51).held
    climbed = checks.climbs(run, name="generator/loss", after_epoch=3, times=20.5 / 3)  # 2, 3, 4, and at last 20, 21
    assert climbed.held and "is 3 on average until epoch 3, and 20.5" in climbed.figure
    assert not checks.climbs(run, name="generator/loss", after_epoch=3, times=7).held


def test_an_order_holds_in_every_row(tmp_path):
    rows = [(1, 1, 1, 0.4, 0.3), (2, 1, 1, 0.6, 0.4), (3, 1, 1, 0.7, 0.2)]
    run = write(tmp_path, rows=rows)
    order = ["discriminator/real", 0.5, "discriminator/fake"]
    assert checks.ordered(run, greatest_first=order, from_epoch=2).held
    found = checks.ordered(run, greatest_first=order, from_epoch=1)
    assert not found.held and "so in 2 of 3 logged rows" in found.figure and "lies in 0.4 to 0.7" in found.figure


def test_the_discriminator_wins_for_good_or_not_at_all(tmp_path):
    sure, unsure = (0.95, 0.05), (0.6, 0.4)
    rows = [(epoch, 1, 1, *(sure if epoch in (2, 5, 6, 7) else unsure)) for epoch in range(1, 8)]
    won = write(tmp_path / "won", rows=rows)
    assert checks.discriminator_wins(won, from_epoch=5, until_epoch=6).held
    assert not checks.discriminator_wins(won, from_epoch=2, until_epoch=4).held  # epoch 2 was not for good
    assert not checks.nobody_wins(won).held
    lost = write(tmp_path / "lost", rows=[*rows, (8, 1, 1, *unsure)])
    assert checks.nobody_wins(lost).held and not checks.discriminator_wins(lost, from_epoch=0, until_epoch=9).held


def test_a_run_diverges_late_enough_or_does_not(tmp_path):
    at_20 = write(tmp_path / "a", state="diverged", steps=20, error="NaN at step 20.")
    assert checks.diverges(at_20, from_step=20).held and not checks.diverges(at_20, from_step=21).held
    finished = checks.diverges(write(tmp_path / "b", last={"generator/loss": 2.5}), from_step=20)
    assert not finished.held and "100 steps (generator/loss 2.5 at the end)" in finished.figure


def test_a_gradient_vanishes_where_the_discriminator_wins(tmp_path):
    run = write(tmp_path, rows=[(1, 1, 8.0, 0.5, 0.5), (2, 1, 0.01, 0.5, 0.5), (3, 1, 0.5, 0.95, 0.01)])
    asked = {"name": "generator/loss", "until_epoch": 3}
    assert checks.vanishes(run, below=0.07, **asked).held  # 0.5 of 8, and not 0.01, where D had not won
    assert not checks.vanishes(run, below=0.06, **asked).held
    assert "does not win" in checks.vanishes(run, name="generator/loss", until_epoch=2, below=0.5).figure


def test_scores_are_the_last_or_the_mean_of_some_epochs(tmp_path):
    run = write(tmp_path, scored=[(1, 40.0), (5, 10.0), (6, 20.0), (9, 30.0)], scores={"fid": 30.0})
    assert checks.score(run, name="fid", at_most=30).held and not checks.score(run, name="fid", at_least=30.1).held
    assert checks.score(run, name="fid", at_least=15, at_most=15, epochs=[5, 6]).held
    assert checks.hardly_improves(run, from_epoch=1, by=0.26).held
    assert not checks.hardly_improves(run, from_epoch=1, by=0.25).held  # 30 is lower than 40 by a quarter
    assert checks.falls_apart(run, times=3).held and not checks.falls_apart(run, times=3.1).held
    for wanted in (lambda: checks.score(run, name="kl"), lambda: checks.hardly_improves(run, from_epoch=10, by=0.1)):
        with pytest.raises(Missing):
            wanted()


def test_one_run_beats_another_in_the_same_time_on_the_same_machine(tmp_path):
    ours = write(tmp_path / "ours", scores={"fid": 5.0}, seconds=62.0)
    theirs = write(tmp_path / "theirs", scores={"fid": 10.0})
    assert checks.beats(ours, than=theirs, by=0.5, slack=0.05).held
    assert not checks.beats(ours, than=theirs, by=0.51, slack=0.05).held
    assert not checks.beats(ours, than=theirs, by=0.5, slack=0.03).held
    elsewhere = write(tmp_path / "elsewhere", scores={"fid": 10.0}, machine="another box")
    with pytest.raises(Missing, match="machine"):
        checks.beats(ours, than=elsewhere, by=0.5, slack=0.05)


def test_only_a_run_of_the_set_up_as_published_is_judged(tmp_path):
    free = [
        "seed=3",
        "precision=bf16",
        "watch.scores_every=10 epochs",
        "train.epochs=9",
        "hydra.run.dir=x",
        "threads=1",
    ]
    published = write(tmp_path / "a", "experiment=blog/mlp", *free)
    changed = write(tmp_path / "b", "experiment=blog/mlp", "optim=sgd")
    averaged = write(tmp_path / "c", "experiment=blog/mlp", "trick=[ema, r1]")
    assert [verdicts.is_of(run, "blog/mlp", []) for run in (published, changed, averaged)] == [True, False, False]
    assert verdicts.is_of(averaged, "blog/mlp", ["trick=[ema,r1]"]) and not verdicts.is_of(published, "blog/conv", [])


def test_a_verdict_is_printed_with_what_decides_or_with_what_to_type(tmp_path):
    for seed, state in ((0, "diverged"), (1, "finished")):
        said = ["experiment=blog/log_sigmoid", f"seed={seed}", "watch.log_every=2 epochs", "threads=1"]
        write(tmp_path / f"s{seed}", *said, state=state, steps=20_000, error=f"seed {seed}.")
    write(tmp_path / "short", "experiment=blog/log_sigmoid", steps=50)
    text = "\n".join(verdicts.lines(found_below([tmp_path])))
    assert "| **held in 1 of 2 runs** | s0: seed 0.<br>s1: no loss" in text
    assert "<br>short: it has come to epoch 5 of 500 |" in text
    assert (
        "| **not run** |  |\n\n* not run: `python train.py experiment=blog/mlp 'watch.scores_every=10 epochs'`" in text
    )
    assert "experiment=blog/log_tanh loss.saturating=true 'trick=[track_failures]'" in text
    again = "`python train.py experiment=blog/log_sigmoid seed=1 'watch.log_every=2 epochs'`"
    assert f"* s1: {again}; 1 minutes of training; a box" in text


def test_a_comparison_is_with_a_run_of_the_other_set_up_and_the_same_seed(tmp_path):
    claim = verdicts.Claim(says="", check="beats", numbers={"by": 0.5, "slack": 0.05}, than="blog/conv")
    ours = write(tmp_path / "0", "experiment=conv_improved", "seed=1", scores={"fid": 1.0})
    alone = verdicts.judged(ours, claim, 1, [ours])
    assert alone.held is None and "no run of blog/conv" in alone.figure
    rivals = [write(tmp_path / f"r{s}", "experiment=blog/conv", f"seed={s}", scores={"fid": 5.0 - s}) for s in (0, 1)]
    found = verdicts.judged(ours, claim, 1, [ours, *rivals])
    assert found.held and "4 after 1 in r1" in found.figure


def test_claims_are_printed_or_written_with_pictures(program, tmp_path):
    done = program("gan.report", "--claims", str(tmp_path / "nowhere"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "does not exist" in done.stderr
    run = write(tmp_path / "run", "experiment=blog/log_sigmoid", state="diverged", steps=20_000, error="NaN.")
    done = program("gan.report", "--claims", str(tmp_path))
    assert done.returncode == 0 and "| **held** | run: NaN. |" in done.stdout and not list(tmp_path.glob("*.*"))
    Image.new("RGB", (20, 10), (255, 0, 0)).save(run.folder / "final.png")
    written = program("gan.report", "--claims", str(tmp_path), "--out", str(tmp_path / "out"))
    text = (tmp_path / "out" / "claims.md").read_text()
    assert written.returncode == 0 and "![pictures of run](run_pictures.png)" in text and "losses of run" not in text
    with Image.open(tmp_path / "out" / "run_pictures.png") as image:
        assert image.size == (20, 10) and image.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_a_reader_who_has_read_enough_is_no_error(tmp_path):
    write(tmp_path / "run", "experiment=blog/mlp")
    line = [sys.executable, "-m", "gan.report", "--claims", str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        done.stdout.close()
        assert done.stderr.read() == "" and done.wait() == 0
