"""What a report says, whatever its form: the best group, columns, matrices."""

import itertools

from gan.report.contents import Report
from gan.report.runs import find_runs
from tests.report.conftest import COMPLETE_PROTOCOL, write_run


def test_models_are_rows_and_optimizers_columns(sweep, tmp_path):
    (matrix,) = Report(find_runs([sweep]), tmp_path).matrices()
    assert matrix.row_labels == ["model=mlp", "model=dcgan"] and matrix.column_labels == ["optim=adam", "optim=sgd"]
    assert [[cell.label for cell in row] for row in matrix.cells] == [
        ["model=mlp, optim=adam", "model=mlp, optim=sgd"],
        ["model=dcgan, optim=adam", "model=dcgan, optim=sgd"],
    ]


def write_grid(folder, **settings):
    for number, values in enumerate(itertools.product(*settings.values())):
        write_run(folder / str(number), *(f"{name}={value}" for name, value in zip(settings, values, strict=True)))


def test_a_third_setting_makes_a_matrix_for_each_of_its_values(tmp_path):
    write_grid(tmp_path, loss=["hinge", "minimax"], model=["mlp", "dcgan"], optim=["adam", "sgd"])
    (tmp_path / "7" / "status.json").unlink()
    first, second = Report(find_runs([tmp_path]), tmp_path).matrices()
    assert (first.title, second.title) == ("loss=hinge", "loss=minimax")
    assert [[cell is None for cell in row] for row in second.cells] == [[False, False], [False, True]]


def test_settings_that_fill_no_grid_make_one_row_with_the_best_first(tmp_path):
    for number, (model, optim, fid) in enumerate((("a", "x", 3.0), ("b", "y", 1.0), ("c", "z", None), ("d", "x", 2.0))):
        scores = COMPLETE_PROTOCOL | {"fid_mnist": fid} if fid else {}
        write_run(tmp_path / str(number), f"model={model}", f"optim={optim}", scores=scores)
    (matrix,) = Report(find_runs([tmp_path]), tmp_path).matrices()
    assert [group.settings["model"] for group in matrix.cells[0]] == ["b", "d", "a", "c"]


def test_a_setting_with_many_values_is_that_of_the_rows(tmp_path):
    write_grid(tmp_path, model=["mlp", "dcgan"], seed=[0], **{"train.batch_size": range(8, 15)})
    (matrix,) = Report(find_runs([tmp_path]), tmp_path).matrices()
    assert (len(matrix.row_labels), len(matrix.column_labels)) == (7, 2)


def test_the_score_that_most_groups_have_decides_and_is_the_first_column(tmp_path):
    for number, (count, fid) in enumerate(((100, 0.5), (2000, 2.0), (2000, 1.0))):
        scores = COMPLETE_PROTOCOL | {"kid_mnist": 7.0, "fid_mnist": fid, "generated": count}
        write_run(tmp_path / str(number), f"model=m{number}", scores=scores)
    report = Report(find_runs([tmp_path]), tmp_path)
    assert [group.settings["model"] for group in report.ranked()] == ["m2", "m1"]
    assert report.columns[0] == report.headline and "2000 generated" in report.headline.protocol
    names = [column.name for column in report.columns]
    assert names[:4] == ["fid_mnist", "fid_mnist", "kid_mnist", "kid_mnist"] and names.index("steps") == 4


def test_a_report_without_scores_has_no_best(sweep, tmp_path):
    for path in sweep.glob("*/status.json"):
        path.write_text(path.read_text().replace("fid_mnist", "x"))
    report = Report(find_runs([sweep]), tmp_path)
    assert report.headline is None and report.ranked() == []


def test_states_are_counted_the_most_frequent_first(sweep, tmp_path):
    assert Report(find_runs([sweep]), tmp_path).states == {"finished": 6, "refused": 1}
