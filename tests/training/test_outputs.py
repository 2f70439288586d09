"""What a run writes while it trains and at its end."""

import pytest
from PIL import Image

from tests.conftest import read_status
from tests.training.conftest import read_metrics


def steps_of(folder):
    """The steps of the rows of metrics and of the sample grids."""
    grids = sorted(int(path.stem.removeprefix("step_")) for path in (folder / "samples").glob("step_*.png"))
    return [row["step"] for row in read_metrics(folder)], grids


@pytest.mark.parametrize(
    ("period", "rows", "grids"), [("4", [4, 8, 10], [0, 4, 8, 10]), ("5", [5, 10], [0, 5, 10]), ("null", [10], [0, 10])]
)
def test_the_last_step_is_logged_and_sampled_once_whether_it_was_due_or_not(train_here, tmp_path, period, rows, grids):
    train_here(tmp_path, "train.max_steps=10", f"watch.log_every={period}", f"watch.samples_every={period}")
    assert steps_of(tmp_path) == (rows, grids)
    last = read_metrics(tmp_path)[-1]
    assert read_status(tmp_path)["last"]["generator/loss"] == pytest.approx(last["generator/loss"], abs=1e-6)


@pytest.mark.parametrize(("count", "size"), [("9", (3 * 29 + 1, 3 * 29 + 1)), ("null", None)])
def test_final_png_has_as_many_images_as_are_set(train_here, tmp_path, count, size):
    train_here(tmp_path, "train.max_steps=1", f"watch.final_samples={count}")
    path = tmp_path / "final.png"
    assert (Image.open(path).size if path.exists() else None) == size
