"""TensorBoard shows what metrics.jsonl, scores.jsonl and samples/ have, however often the run was stopped or killed."""

import logging
import re
import signal

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from gan.metrics.catalogue import PROTOCOL
from gan.system import files, status
from gan.training import loop
from tests.training.conftest import read_metrics

OFTEN = ["watch.log_every=50", "watch.samples_every=100", "train.max_steps=300"]


def read_events(folder):
    """Everything in the event files of a run, as TensorBoard reads it."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def points(events, tag):
    """Steps and values of a scalar."""
    return [(event.step, event.value) for event in events.Scalars(tag)]


def assert_same_story(folder):
    """TensorBoard's points and images are those of the files, and the files are those of an uninterrupted run."""
    events, rows, scores = read_events(folder), read_metrics(folder), files.read_rows(folder / "scores.jsonl")
    tags = {name for row in rows for name in row} - {"step", "seconds"}
    score_tags = {f"scores/{name}" for row in scores for name in row if name not in (*PROTOCOL, "step")}
    scalars = {tag for tag in events.Tags()["scalars"] if not tag.startswith("evaluation/")}
    assert scalars == tags | score_tags | {"images_per_second"}
    for tag in scalars - {"images_per_second"}:
        of_file = [(row["step"], row[tag.removeprefix("scores/")]) for row in (scores if tag in score_tags else rows)]
        shown = points(events, tag)
        assert [step for step, _ in shown] == [step for step, _ in of_file], tag
        assert [value for _, value in shown] == pytest.approx([value for _, value in of_file], rel=1e-5), tag
    assert [step for step, _ in points(events, "images_per_second")] == [row["step"] for row in rows]
    assert all(value > 0 for _, value in points(events, "images_per_second"))
    grids = {step: path.read_bytes() for step, path in files.sample_grids(folder).items()}
    assert [image.step for image in events.Images("samples")] == list(grids)
    (real,) = events.Images("real images")
    assert (real.step, real.encoded_image_string) == (0, (folder / "samples" / "real.png").read_bytes())
    assert all(image.encoded_image_string == grids[image.step] for image in events.Images("samples"))
    sizes = sorted(path.stat().st_size for path in folder.glob("events.out.tfevents.*"))
    assert sizes[-1] and not any(sizes[:-1]) and len(sizes) <= 2  # the earlier one was emptied


def read_layout(folder):
    """The charts of the Custom Scalars tab: the tags of each by its title, for each category that is open."""
    event = read_events(folder).Tensors(metadata.CONFIG_SUMMARY_TAG)[-1]
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    return [{c.title: list(c.multiline.tag) for c in each.chart} for each in layout.category if not each.closed]


SCORES = pytest.param(["watch.scores_every=2", "watch.scores_images=100"], marks=pytest.mark.slow)


@pytest.mark.parametrize("scores", [[], SCORES], ids=["plain", "scores"])
def test_a_chart_that_is_open_has_one_number_of_each_run(train_here, tmp_path, scores):
    """So that forty runs are forty curves; and there is none of a number that the run does not have."""
    train_here(tmp_path, "train.max_steps=2", "watch.log_every=1", "watch.samples=1", *scores)
    tags = read_events(tmp_path).Tags()["scalars"]
    (charts,) = read_layout(tmp_path)
    for title, patterns in charts.items():
        assert sum(bool(re.match(pattern, tag)) for pattern in patterns for tag in tags) == 1, title
    assert len(charts) == (5 if scores else 4)


@pytest.fixture
def stop_after(monkeypatch):
    """Make a function that stops the next run after a step: with a signal, or with an exception, as if it was killed."""
    update = loop.training_step

    def stop(step, how):
        def update_and_stop(run):
            if run.step == step - 1:
                if how == "killed":
                    raise KeyboardInterrupt
                signal.raise_signal(signal.SIGTERM)
            return update(run)

        monkeypatch.setattr(loop, "training_step", update_and_stop if step else update)

    return stop


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_after_three_interruptions_tensorboard_has_the_steps_of_the_files(train_here, tmp_path, stop_after, how):
    for step in (101, 177, 245, None):
        stop_after(step, how)
        try:
            train_here(tmp_path, *OFTEN, "watch.checkpoint_every=90", resume=step != 101)
        except KeyboardInterrupt:
            assert how == "killed"
        else:
            assert_same_story(tmp_path)
    assert [row["step"] for row in read_metrics(tmp_path)] == [50, 100, 150, 200, 250, 300]
    assert list(files.sample_grids(tmp_path)) == [0, 100, 200, 300]
    assert_same_story(tmp_path)


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_that_was_killed_before_its_second_checkpoint_begins_anew(train_here, tmp_path, stop_after, resume):
    """From its first checkpoint, of step 0, or, without one, from the start."""
    stop_after(130, "killed")
    with pytest.raises(KeyboardInterrupt):
        train_here(tmp_path, *OFTEN)
    stop_after(None, "")
    train_here(tmp_path, *OFTEN, "train.max_steps=60", resume=resume)
    assert [row["step"] for row in read_metrics(tmp_path)] == [50, 60]
    assert list(files.sample_grids(tmp_path)) == [0, 60]
    assert_same_story(tmp_path)


def test_what_a_killed_process_had_not_yet_written_for_tensorboard_is_there_after_a_resume(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=200")
    (path,) = tmp_path.glob("events.out.tfevents.*")
    path.write_bytes(path.read_bytes()[:5000])
    train_here(tmp_path, *OFTEN, resume=True)
    assert_same_story(tmp_path)


def test_scores_failures_and_evaluations_are_there_after_a_resume(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=250")
    rows = [dict.fromkeys(PROTOCOL, 2000) | {"step": step, "fid_digits": step / 7} for step in (100, 200, 250)]
    files.write_rows(tmp_path / "scores.jsonl", rows)
    failure = {"step": 100, "what": "the generator has collapsed."}
    status.update(tmp_path, failures=[failure, failure | {"step": 249}, failure | {"step": 251}, "no failure", {}])
    number = {"mean": 7.0, "spread": None}
    made = {"step": 250, "checkpoint": "last", "ema": True, "scores": {"fid_digits": number}}
    files.write_json(tmp_path / "scores.json", [made, made | {"step": 999}, made | {"ema": False}])
    train_here(tmp_path, *OFTEN, resume=True)
    assert_same_story(tmp_path)
    events = read_events(tmp_path)
    assert points(events, "evaluation/fid_digits") == [(250, 7.0)]
    assert [event.step for event in events.Tensors("failures/text_summary")] == [100, 249]
    assert [found["step"] for found in status.read(tmp_path)["failures"]] == [100, 249]
    assert files.read_rows(tmp_path / "scores.jsonl") == rows[:2]  # the last one was taken because the run ended


def test_a_damaged_grid_is_left_out_with_a_warning(train_here, tmp_path, caplog):
    train_here(tmp_path, *OFTEN, "train.max_steps=200")
    path = files.sample_grids(tmp_path)[100]
    path.write_bytes(path.read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        train_here(tmp_path, *OFTEN, resume=True)
    assert path.name in caplog.text
    assert [image.step for image in read_events(tmp_path).Images("samples")] == [0, 200, 300]
    with Image.open(tmp_path / "samples.gif") as gif:
        assert gif.n_frames == 3
