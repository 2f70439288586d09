"""The other parts of the page in a browser: search, comparison, details of a run, commands to copy."""

import pytest

from gan.system import files

pytestmark = pytest.mark.slow


def test_the_trials_of_a_search_are_listed_best_first_with_their_commands(visit, build_page):
    page = visit("search")
    best = files.read_yaml(build_page("search").parent / "optimization_results.yaml")
    trials = page.locator("#search .trials li:visible")
    shown = trials.count()
    assert shown >= 5
    scores = [float(text.split()[-1]) for text in trials.locator("b").all_inner_texts()]
    assert scores == sorted(scores) and scores[0] == pytest.approx(best["best_value"], rel=0.01)
    command = trials.first.locator("code").inner_text()
    assert "train.py" in command
    assert all(f"{name}={value}" in command for name, value in best["best_params"].items())
    page.locator("#all-trials").click()
    assert shown < trials.count() == 29  # one diverged


def test_each_searched_setting_is_plotted_against_the_score(visit):
    page = visit("search")
    figures = page.locator("#search figure.plot")
    names = ["optim.generator.lr", "optim.discriminator.lr", "train.batch_size", "loss"]
    assert sorted(figures.locator("figcaption").all_inner_texts()) == sorted(names)
    assert figures.locator("canvas").count() == 4


def test_a_comparison_of_two_runs_shows_only_what_differs(visit):
    page = visit("pair")
    table = page.locator("#compare")
    text = table.inner_text()
    assert "hinge" in text and "least_squares" in text and "optim.generator.lr" in text and "fid_mnist" in text
    assert "batch_size" not in text and "seed" not in text
    for row in table.locator("tbody tr").all():
        first, second = row.locator("td").nth(0).inner_text(), row.locator("td").nth(1).inner_text()
        assert first != second


def test_the_page_of_one_run_has_its_settings_as_a_tree_the_changed_ones_first_and_the_log(visit):
    page = visit("one")
    details = page.locator("#details details.detail")
    assert details.count() == 1 and details.evaluate("details => details.open")
    changed = details.locator("table").first.inner_text()
    assert "train.epochs" in changed and "watch.scores_every" in changed and "batch_size" not in changed
    tree = details.locator(".tree")
    assert tree.locator("code:visible").count() == 0
    tree.locator("summary").first.click()
    branch = tree.locator("details").filter(has_text="batch_size").first
    branch.locator("summary").first.click()
    assert "batch_size: 32" in branch.inner_text()
    log = details.locator("details").filter(has_text="Log").last
    log.locator("summary").click()
    assert "step   3750/3750" in log.locator("pre").inner_text()


def test_what_to_type_next_is_listed_for_each_run_and_can_be_selected(visit):
    page = visit("one")
    commands = page.locator("#details .commands code").all_inner_texts()
    assert any("sample.py run=" in text for text in commands) and any("gan.evaluate run=" in text for text in commands)
    page.locator("#details .commands code button").first.click()
    assert (
        page.evaluate("getSelection().toString()")
        .replace("Copied", "")
        .replace("Copy", "")
        .strip()
        .startswith("python ")
    )


def test_an_interrupted_run_says_how_to_resume_it(visit):
    page = visit("mixed")
    details = page.locator("#details details.detail").filter(has=page.locator("summary .state.interrupted")).first
    details.locator("summary").first.click()
    assert any("resume=" in text for text in details.locator(".commands code").all_inner_texts())


def test_every_failure_is_told_in_its_sentence(visit):
    text = visit("mixed").locator("#table .problems").inner_text()
    for part in ("not finite at step 1210", "No space left", "BatchNorm in", "almost all alike", "shapes <4> & <5>"):
        assert part in text


def test_the_head_says_what_was_run_where_and_how_it_ended(visit):
    page = visit("mixed")
    head = page.locator("header").inner_text()
    assert "42 runs" in head and "AMD EPYC" in head and "diverged" in head and "running" in head
    for kind, line in (("one", "python train.py dataset=mnist"), ("sweep", "python train.py -m model=mlp,dcgan")):
        assert line in visit(kind).locator("header").inner_text()


def test_the_best_run_comes_first_with_its_score_beside_real_images(visit):
    page = visit("sweep")
    best = page.locator("#best")
    assert "dcgan adam" in best.inner_text() and "real data have" in best.inner_text()
    assert best.locator("img").count() == 2
