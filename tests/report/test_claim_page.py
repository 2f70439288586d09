"""The page about claims, and what README says of it."""

import re

from PIL import Image

from gan.report.__main__ import kept_runs
from gan.report.claim_files import load_claims
from gan.report.claim_page import claims_page
from gan.report.claim_results import evaluate_claims
from gan.report.runs import find_runs
from gan.report.verdicts import count_verdicts
from tests.conftest import ROOT
from tests.report.conftest import write_claim_run

PAGE = ROOT / "docs" / "results.md"


def write_sigmoid_runs(folder, *diverged):
    for seed, state in enumerate("diverged" if each else "finished" for each in diverged):
        overrides = ["experiment=blog/log_sigmoid", f"seed={seed}", "watch.samples_every=2 epochs", "threads=1"]
        status = {"state": state, "steps": 20_000 if state == "diverged" else 5_000, "error": f"NaN {seed}."}
        write_claim_run(folder / f"s{seed}", *overrides, rows=[(500, 1.0, 2.0, 0.5, 0.5)], **status)


def row_of(text, experiment, number):
    """The cells of a claim, after its name with the link to its set-up's page."""
    start = f"| [`{experiment}`](results/{experiment.replace('/', '-')}.md) {number} | "
    (row,) = (line for line in text.splitlines() if line.startswith(start))
    return row.removeprefix(start).strip("| ").split(" | ")


def test_a_claim_is_a_row_with_the_evidence_of_each_seed(tmp_path):
    write_sigmoid_runs(tmp_path, True, False)
    text = "\n".join(claims_page(find_runs([tmp_path])))
    words, ours, seeds, verdict, figure = row_of(text, "blog/log_sigmoid", 2)
    assert words.startswith("The loss becomes NaN")
    assert ours == "0: NaN 0.<br>1: finite in 5000 steps, losses of D 1 and G 2 at the end"
    assert (seeds, verdict) == ("1 of 2 (0.09 to 0.91)", "1 of 2 seeds, 1 to run")
    assert figure == "[earlier losses](results/blog-log_sigmoid_losses.png)"  # as long as none is kept
    command = "`python train.py experiment=blog/log_sigmoid 'watch.samples_every=2 epochs'`"
    assert f"* {command}, 20,000 steps; a box; seeds 0; 1.0 minutes" in text
    assert f"* {command}, 5,000 steps; a box; seeds 1; 1.0 minutes" in text
    assert "1 has too few seeds" in text


def test_runs_that_do_not_count_are_named_with_the_reason(tmp_path):
    write_claim_run(tmp_path / "a" / "run", "experiment=blog/mlp", steps=1990)
    write_claim_run(tmp_path / "b" / "run", "experiment=blog/mlp", "trick=[r1, r2]")
    write_claim_run(tmp_path / "c", "experiment=blog/mlp", "loss=minimax")  # a baseline
    write_claim_run(tmp_path / "d", "model=mlp")
    text = "\n".join(claims_page(find_runs([tmp_path])))
    assert "* Not counted for blog/mlp 1, a/run: it is at epoch 199 of 200: python train.py resume=" in text
    assert "* Not counted, b/run: no claim is about its overrides `trick=[r1,r2]`" in text
    assert not re.search(r"^\* .*\b[cd]\b", text, re.M)


def test_a_claim_without_runs_says_what_was_seen_before_as_no_verdict():
    text = "\n".join(claims_page([]))
    _, ours, seeds, verdict, _ = row_of(text, "blog/paper_sgd", 2)
    assert ours.startswith("*Before: seeds 0 to 2:") and (seeds, verdict) == ("-", "not run")
    count = sum(len(published.claims) for published in load_claims().values())
    assert f"**Of {count} claims 0 held," in text and f"and {count} were not run.**" in text


def test_missing_seeds_and_baselines_are_printed_as_lines_to_type_with_their_time(tmp_path):
    def commands(runs):
        return {line for line in "\n".join(claims_page(runs)).splitlines() if line.startswith("python train.py")}

    before = commands([])
    sgd = "python train.py -m experiment=blog/paper_sgd train.epochs=75 seed=0,1,2,3,4,5,6,7,8,9 threads=1 "
    sgd += "'watch.scores_every=5 epochs'  # 6.2 hours"
    assert sgd in before
    assert {line.split(" threads")[0] for line in before} >= {
        f"python train.py -m experiment=blog/mlp loss={loss} train.epochs=20 seed=0,1,2"
        for loss in ("nonsaturating", "minimax")
    }
    rows = [(epoch, 1, 1, 0.5, 0.5) for epoch in range(1, 76)]
    scores = [(epoch, {"fid_mnist": 1.0, "pixel_precision": 1.0}) for epoch in (30, 35, 75)]
    for seed in range(9):
        overrides = ["experiment=blog/paper_sgd", f"seed={seed}"]
        write_claim_run(tmp_path / str(seed), *overrides, rows=rows, scores=scores, steps=750)
    after = {line.split(" threads")[0] for line in commands(find_runs([tmp_path]))}
    assert "python train.py experiment=blog/paper_sgd train.epochs=75 seed=9" in after


def test_a_claim_links_to_the_figure_of_its_set_up(tmp_path):
    write_sigmoid_runs(tmp_path / "runs", True, True)
    text = "\n".join(claims_page(find_runs([tmp_path / "runs"]), tmp_path / "out"))
    assert row_of(text, "blog/log_sigmoid", 2)[-1] == "[curves](results/blog-log_sigmoid_curves.png)"
    assert row_of(text, "blog/log_sigmoid", 1)[-1] == "-"  # it has no images
    with Image.open(tmp_path / "out" / "results" / "blog-log_sigmoid_curves.png") as image:
        assert image.format == "PNG"
    text = "\n".join(claims_page([], tmp_path / "out"))
    assert row_of(text, "blog/log_sigmoid", 2)[-1] == "-"
    assert not list((tmp_path / "out" / "results").glob("*.png"))


def test_a_claim_about_a_variant_has_a_figure_of_its_first_seed_and_none_that_is_damaged(tmp_path):
    overrides = ["experiment=blog/log_tanh", "loss.saturating=true", "trick=[track_failures]", "seed=0"]
    rows = [(epoch, 1, 1, 0.6, 0.4, {"generator/gradient_norm": 1.0}) for epoch in range(1, 31)]
    run = write_claim_run(tmp_path / "runs" / "0", *overrides, rows=rows, steps=300)
    (run.folder / "figures").mkdir()
    Image.new("RGB", (20, 10), (255, 0, 0)).save(run.folder / "figures" / "losses.png")
    figure = tmp_path / "out" / "results" / "blog-log_tanh_3_losses.png"
    text = "\n".join(claims_page([run], tmp_path / "out"))
    assert row_of(text, "blog/log_tanh", 3)[-1] == f"[losses](results/{figure.name})"
    with Image.open(figure) as image:
        assert image.size == (20, 10) and image.convert("RGB").getpixel((5, 5)) == (255, 0, 0)
    (run.folder / "figures" / "losses.png").write_bytes(b"no image")
    text = "\n".join(claims_page([run], tmp_path / "out"))
    assert row_of(text, "blog/log_tanh", 3)[-1] == "-" and not figure.exists()


def test_missing_runs_of_a_set_up_of_steps_are_typed_with_their_steps():
    text = "\n".join(claims_page([]))
    (line,) = (
        line for line in text.splitlines() if line.startswith("python train.py -m experiment=toy/grid25 'trick=")
    )
    published = load_claims()["toy/grid25"]
    assert f"train.max_steps={published.steps} seed=0,1,2,3,4" in line and "train.epochs" not in line
    assert line.endswith(f"# {5 * published.steps / 1000 * published.minutes:.0f} minutes")


def test_claims_about_the_same_runs_share_a_figure_where_their_set_up_has_none(tmp_path):
    published, runs = load_claims()["toy/grid25"], []
    for claim, shade in ((published.claims[0], 10), (published.claims[1], 200)):
        scores = [(published.steps / 10, {"modes_found": 20.0, "mode_kl": 0.5})]
        names = ["experiment=toy/grid25", "seed=0", *claim.overrides]
        run = write_claim_run(tmp_path / str(shade), *names, steps=published.steps, scores=scores)
        Image.new("RGB", (30, 30), (shade, 0, 0)).save(run.folder / "final.png")
        runs.append(run)
    text = "\n".join(claims_page(runs, tmp_path / "out"))
    links = [row_of(text, "toy/grid25", number)[-1] for number in (1, 2, 3)]
    assert links == [f"[samples](results/toy-grid25_{number}_samples.png)" for number in (1, 2, 2)]
    shades = []
    for number in (1, 2):
        with Image.open(tmp_path / "out" / "results" / f"toy-grid25_{number}_samples.png") as image:
            shades.append(image.convert("RGB").getpixel((5, 5))[0])
    assert shades == [10, 200] and not (tmp_path / "out" / "results" / "toy-grid25_3_samples.png").exists()


def test_the_page_and_readme_are_what_the_program_prints(monkeypatch):
    monkeypatch.chdir(ROOT)
    runs = find_runs(kept_runs())
    text = "\n".join(claims_page(runs)) + "\n"
    assert text == PAGE.read_text("utf-8"), "python -m gan.report --claims --out docs"
    assert len(text.splitlines()) <= 150
    counted = count_verdicts(result.verdict for result in evaluate_claims(runs))
    assert counted in " ".join((ROOT / "README.md").read_text("utf-8").split())
