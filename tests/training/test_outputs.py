"""What a run writes while it trains and at its end."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor
from torchvision.utils import save_image

from gan import sampling
from gan.training import outputs
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


class GridLogger:
    """In place of a RunLogger: keeps what it is given."""

    def log_grid(self, step, path, tag="samples"):
        self.logged = step, path.name, tag


def real_images(run, folder):
    """The images in real.png, uint8 (n, 28, 28), and the number of its columns."""
    logger = GridLogger()
    outputs.save_real_images(run, folder, logger)
    assert logger.logged == (0, "real.png", "real images")
    grid = (to_tensor(Image.open(folder / "samples" / "real.png"))[0] * 255).round().to(torch.uint8)
    rows = grid[1:, 1:].unfold(0, 28, 29).unfold(1, 28, 29)
    return rows.reshape(-1, 28, 28), rows.shape[1]


def test_real_png_has_real_images_as_d_sees_them_and_moves_no_random_number(make_run, tmp_path):
    run = make_run("watch.samples=16", "trick=[instance_noise]")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    images, columns = real_images(run, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert (len(images), columns) == (16, 4)
    known = {image.numpy().tobytes() for image in run.batches.images}
    assert len({image.numpy().tobytes() for image in images} & known) == 16
    again, _ = real_images(make_run("watch.samples=16"), tmp_path)
    other, _ = real_images(make_run("watch.samples=16", "seed=1"), tmp_path)
    assert torch.equal(again, images) and not torch.equal(other, images)


def test_real_png_of_a_conditional_run_has_a_column_for_each_class(make_run, tmp_path):
    run = make_run("watch.samples=20", "trick=[conditional]")
    images, columns = real_images(run, tmp_path)
    assert columns == 10
    label_of = {
        image.numpy().tobytes(): int(label) for image, label in zip(run.batches.images, run.batches.labels, strict=True)
    }
    assert [label_of[image.numpy().tobytes()] for image in images] == list(range(10)) * 2


def test_classes_of_unequal_size_are_all_shown():
    labels = torch.tensor([2, 2, 0, 2, 2, 0])
    order = outputs.cycle_classes(torch.arange(6) + 10, labels, 3)
    assert (order - 10).tolist() == [2, 0, 5, 1, 3, 4]


def test_every_logging_point_is_a_line_of_the_log_also_within_an_epoch(train_here, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        train_here(tmp_path, "train.max_steps=10", "watch.log_every=4")
    steps = [message.split("/")[0] for message in caplog.messages if message.startswith("step ")]
    assert steps == ["step  4", "step  8", "step 10"]


def test_the_status_says_what_the_data_is(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    data = read_status(tmp_path)["data"]
    assert (data["name"], data["images"], data["shape"], data["skipped"]) == ("digits", 640, [1, 28, 28], {})
    assert (data["classes"], data["class_names"], data["class_counts"]) == (10, list("0123456789"), [64] * 10)
    assert data["values"] == [0, 255] and {*data["content"]} == {"images", "labels"} and data["source"]


def test_real_images_are_shown_with_the_names_of_their_classes(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    with Image.open(tmp_path / "figures" / "real_classes.png") as sheet:
        assert sheet.height > 10 * 28


@pytest.mark.parametrize("output", ["tanh_unit", "sigmoid"])
def test_a_grid_in_its_own_pixel_range_is_that_of_torchvision_with_normalize(make_run, tmp_path, output):
    run = make_run(f"model.generator.output={output}", "watch.samples=4", "watch.samples_normalized=true")
    (tmp_path / "samples").mkdir()
    outputs.save_samples(run, tmp_path, GridLogger())
    images = outputs.draw_images(run, run.fixed_noise)
    save_image(images, tmp_path / "published.png", nrow=2, padding=1, normalize=True)
    names = "samples/step_0000000.png", "samples/normalized_0000000.png", "published.png"
    fixed, own, published = (np.asarray(Image.open(tmp_path / name).convert("L")).astype(int) for name in names)
    lines = np.arange(59) % 29 == 0
    for grid in (fixed, own, published):  # the lines differ in color
        grid[lines] = grid[:, lines] = 0
    assert abs(own - published).max() <= 1 and own.max() == 255
    assert abs(own - fixed).max() > 50


def test_a_grid_of_one_brightness_has_a_range_too():
    gray = torch.full((2, 1, 8, 8), 0.5)
    low, high = sampling.own_range(gray)
    assert low < high and not sampling.to_uint8(gray, (low, high)).any()


def test_grids_in_their_own_pixel_range_are_written_where_that_is_set_and_removed_with_the_others(train_here, tmp_path):
    settings = ["watch.samples_every=2", "watch.samples_normalized=true"]
    for number, steps in enumerate([[0, 2, 4, 5], [0, 2, 4, 6, 7]]):
        train_here(tmp_path, f"train.max_steps={steps[-1]}", *settings, resume=number > 0)
        names = {path.name for path in tmp_path.glob("samples/*_0*.png")}
        assert names == {f"{kind}_000000{step}.png" for kind in ("normalized", "step") for step in steps}
    train_here(tmp_path / "without", "train.max_steps=2")
    assert not list(tmp_path.glob("without/samples/normalized_*"))


@pytest.mark.parametrize("found", [{"longest": 3, "word": "good"}, {}])
def test_what_followed_a_run_draws_a_figure_and_says_what_it_found(train_here, tmp_path, monkeypatch, found):
    class Counter:
        name = "counter"

        def __init__(self):
            self.steps = []

        def keep(self, run):
            self.steps.append(run.step)

        def conclude(self, run, path):
            if found:
                Image.new("RGB", (8, 8)).save(path)
            return found

    follower = Counter()
    monkeypatch.setattr("gan.training.loop.find_followers", lambda run: [follower])
    train_here(tmp_path, "train.max_steps=3")
    assert follower.steps == [1, 2, 3]
    assert read_status(tmp_path)["findings"] == {f"counter/{name}": value for name, value in found.items()}
    assert (tmp_path / "figures" / "counter.png").exists() == bool(found)
