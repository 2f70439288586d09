"""What run folders hold, and which of them belong together."""

import json

import pytest
from filelock import FileLock

from gan.config.errors import ConfigError
from gan.report.cells import mean_over
from gan.report.contents import Report
from gan.report.groups import differing_settings, group_runs
from gan.report.page import Page
from gan.report.runs import Column, RunFolder, find_runs, thin_out
from tests.report.conftest import COMPLETE_PROTOCOL, write_run


def by_name(results):
    return {column.name: number for column, number in results.items()}


def test_runs_that_differ_in_the_seed_alone_are_one_group(sweep):
    runs = find_runs([sweep])
    assert differing_settings(runs) == ["model", "optim", "seed"]
    groups = group_runs(runs)
    assert [group.label for group in groups] == [
        "model=mlp, optim=adam", "model=mlp, optim=sgd", "model=dcgan, optim=adam", "model=dcgan, optim=sgd",
    ]  # fmt: skip
    results = by_name(groups[0].results)
    assert results["D loss"] == mean_over([0.4, 0.6]) and results["G loss"].mean == pytest.approx(1.0)
    assert results["fid_mnist"].mean == pytest.approx(5.0) and "dataset" not in results
    assert groups[3].state == "refused"


def test_a_run_that_never_started_takes_no_part_in_a_mean(sweep):
    write_run(
        sweep / "7_mlp_adam", "model=mlp", "optim=adam", "seed=x", losses=(), state="refused", error="no.", frames=0
    )
    first, last, *_ = group_runs(find_runs([sweep]))
    assert (len(first.runs), len(last.runs)) == (2, 1) and first.settings == last.settings
    assert by_name(first.results)["steps"] == mean_over([20, 20]) and last.state == "refused"


def test_scores_of_different_protocols_are_different_columns_even_in_one_group(tmp_path):
    for seed, generated in enumerate((2000, 10_000, 10_000)):
        scores = COMPLETE_PROTOCOL | {"generated": generated, "fid_mnist": 1.0 + seed}
        write_run(tmp_path / str(seed), f"seed={seed}", scores=scores)
    (group,) = group_runs(find_runs([tmp_path]))
    few, many = (column for column in group.results if column.name == "fid_mnist")
    assert group.results[few] == mean_over([1.0]) and group.results[many] == mean_over([2.0, 3.0])
    assert "2000 generated" in few.protocol and "10000 generated" in many.protocol
    assert group.results[Column("D loss")] == mean_over([0.5] * 3)


def test_a_setting_that_was_not_typed_has_its_default(tmp_path):
    write_run(tmp_path / "a", "train.batch_size=64", "model=dcgan", "resume=x")
    write_run(tmp_path / "b")
    runs = find_runs([tmp_path])
    assert differing_settings(runs) == ["train.batch_size", "model"]
    assert [run.setting("train.batch_size") for run in runs] == ["64", "32"]
    assert [run.setting("model") for run in runs] == ["dcgan", "mlp"]


def test_evaluations_of_the_last_checkpoint_with_ema_are_read_with_their_means(tmp_path):
    evaluation = {"checkpoint": "last", "ema": True, "scores": {"fid_mnist": {"mean": 2.0, "spread": None}, "kl": 3}}
    rows = [evaluation | {"step": step} for step in (1, 2)] + [evaluation | {"ema": False}, {"scores": 1}, 5]
    (tmp_path / "scores.json").write_text(json.dumps(rows))
    assert [(row["step"], row["fid_mnist"]) for row in RunFolder(tmp_path).evaluations] == [(2, 2.0), (1, 2.0)]


def test_thinning_out_keeps_the_first_and_the_last():
    assert thin_out(list(range(10)), 4) == [0, 3, 6, 9] and thin_out([1, 2], 4) == [1, 2]


def test_a_path_without_runs_is_a_user_error(tmp_path):
    with pytest.raises(ConfigError, match="holds no run"):
        find_runs([tmp_path])
    with pytest.raises(ConfigError, match="does not exist"):
        find_runs([tmp_path / "nothing"])


def test_a_run_that_repeats_a_seed_is_no_repetition(tmp_path):
    """The mean has the finished run of each seed, and the report names those that it leaves out."""
    for name, seed, loss, state in (("a", 0, 3.0, "stopped"), ("b", 0, 1.0, "finished"), ("c", 0, 1.0, "finished"), ("d", 1, 2.0, "finished")):  # fmt: skip
        write_run(tmp_path / name, f"seed={seed}", losses=(5.0, loss), state=state)
    (group,) = group_runs(find_runs([tmp_path]))
    assert [run.name for run in group.counted] == ["b", "d"]
    assert by_name(group.results)["D loss"] == mean_over([1.0, 2.0])
    report = Report(find_runs([tmp_path]), tmp_path)
    assert report.largest_group == 2 and '<td class="number">2</td>' in Page(report).html()
    assert any("Not counted" in sentence and sentence.endswith("a, c.") for sentence in report.footnotes())


def test_runs_of_an_option_that_was_edited_are_two_groups(tmp_path):
    """They were started with the same words; their resolved settings differ."""
    for name, lr, seed in (("a", 0.1, 0), ("b", 0.1, 1), ("c", 0.2, 0)):
        write_run(tmp_path / name, "optim=mine", f"seed={seed}")
        path = tmp_path / name / ".hydra" / "config.yaml"
        path.write_text(path.read_text() + f"optim: {{generator: {{lr: {lr}}}}}\ndata_dir: {name}\n")
    groups = group_runs(find_runs([tmp_path]))
    assert [(group.label, len(group.counted)) for group in groups] == [
        ("optim.generator.lr=0.1", 2), ("optim.generator.lr=0.2", 1),
    ]  # fmt: skip


def test_the_runs_of_a_sweep_are_sorted_with_numbers_as_numbers(tmp_path):
    names = ["seed-1", "seed-2", "seed-2_2", "seed-10", "x-0.5", "x-10"]
    for name in reversed(names):
        write_run(tmp_path / name)
    assert [run.name for run in find_runs([tmp_path])] == names


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path):
    write_run(tmp_path / "run", state="running")
    (tmp_path / "run" / ".lock").touch()
    assert group_runs(find_runs([tmp_path]))[0].state == "interrupted"
    with FileLock(tmp_path / "run" / ".lock"):
        assert group_runs(find_runs([tmp_path]))[0].state == "running"
