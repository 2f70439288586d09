"""Runs are scored by a protocol that is written beside every number."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from gan import evaluate as evaluation
from gan.cli import jobs, overrides
from gan.config import check
from gan.config.errors import ConfigError
from gan.data.datasets import ImageDataset
from gan.metrics import features, protocol
from gan.report.cells import Number
from gan.report.runs import RunFolder
from gan.system import files, status
from gan.training import build, checkpoint
from tests.conftest import CONF, composed, read_status

CPU = torch.device("cpu")
SCORES = {
    "fid",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "inception_score",
    "modes",
    "modes_in_100",
    "class_distance",
    "kl",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A network for scores after one pass, also for those who find it in the cache."""
    monkeypatch.setattr(features, "EPOCHS", 1)


@pytest.fixture
def evaluate_here(cache):
    """The same in this process, which is quicker."""

    def call(*arguments):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            evaluation.evaluate(compose("evaluate", overrides=[*arguments, f"cache_dir={cache}", "device=cpu"]))

    return call


@pytest.fixture
def evaluate(program, cache):
    def call(*arguments):
        return program("gan.evaluate", *arguments, f"cache_dir={cache}", "device=cpu")

    return call


def test_runs_are_scored_beside_real_images(train_here, evaluate, tmp_path):
    for name in ("a", "b"):
        train_here(tmp_path / name, "train.max_steps=2", f"seed={len(name)}", "trick=[]")
    done = evaluate(f"run={tmp_path}/a", f"run={tmp_path}/b", "n=200", "seeds=2")
    assert done.returncode == 0, done.stderr
    table = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert table == ["run", "---", f"{tmp_path}/a", f"{tmp_path}/b", "real images"]
    (kept,) = json.loads((tmp_path / "a" / "scores.json").read_text())
    assert set(kept["scores"]) == SCORES | {"parzen", "parzen_error", "parzen_width", "discriminator_gap"}
    assert kept["features"].startswith("digits-28x28x1-") and kept["features"] in done.stdout
    assert (kept["generated"], kept["real"], kept["split"], kept["seeds"]) == (200, 128, "test", [0, 1])
    assert kept["scores"]["fid"]["spread"] > 0 and kept["floor"]["fid"]["mean"] < kept["scores"]["fid"]["mean"] / 5
    assert f"200 generated against 128 of {kept['dataset']}, test" in done.stdout and kept["dataset"].startswith(
        "digits-"
    )
    status = json.loads((tmp_path / "a" / "status.json").read_text())
    assert status["scores"]["fid"] == kept["scores"]["fid"]["mean"] and status["scores"]["features"] == kept["features"]
    board = EventAccumulator(str(tmp_path / "a"))
    board.Reload()
    (event,) = board.Scalars("scores/fid")
    assert event.step == 2 and event.value == pytest.approx(kept["scores"]["fid"]["mean"], rel=1e-5)
    with Image.open(tmp_path / "a" / "figures" / "neighbours.png") as image:
        assert image.size == (16 * 29 + 1, 2 * 29 + 1)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["n=50"], "n=50 is not possible"),
        (["seeds=0"], "seeds=0 is not possible"),
        (["split=validation"], "split=validation is not possible"),
        (["checkpoint=best"], "holds no checkpoint"),
        (["features=vgg"], "features=vgg is not possible"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_sentence(train_here, evaluate_here, tmp_path, arguments, wanted):
    train_here(tmp_path, "train.max_steps=1")
    with pytest.raises(ConfigError, match=wanted):
        evaluate_here(f"run={tmp_path}", *arguments)


def test_a_run_that_is_not_there_is_said_in_one_sentence(evaluate):
    done = evaluate("run=nowhere")
    assert done.returncode == 1 and "nowhere is no folder" in done.stderr and "Traceback" not in done.stderr


def test_the_floor_is_that_of_its_own_images(tmp_path):
    network = nn.Module()
    network.name, network.accuracy = "any", None
    network.forward = lambda images: (images.flatten(1)[:, :2].float(), images.flatten(1)[:, :3].float())
    stream, floors = torch.Generator().manual_seed(0), []
    for name in ("one", "other"):
        train, real = (
            ImageDataset(torch.randint(0, 256, (200, 1, 8, 8), generator=stream).to(torch.uint8), torch.arange(200) % 3)
            for _ in range(2)
        )
        reference = protocol.Reference(name, train, real, "test", network, CPU)
        floors.append(reference.floor(100, False, tmp_path))
        assert reference.floor(100, False, tmp_path) == floors[-1]
    assert floors[0] != floors[1] and len(list(tmp_path.iterdir())) == 2
    (tmp_path / "file").write_text("")
    assert reference.floor(100, False, tmp_path / "file") == floors[1]  # a cache that cannot be kept is no loss


def test_what_is_said_twice_is_gathered():
    assert overrides.merge_repeated(["run=a", "n=5", "run=b c"], "run") == ["n=5", "run=['a','b c']"]
    assert overrides.merge_repeated(["run=a", "n=5"], "run") == ["run=a", "n=5"]


def test_help_says_what_can_be_asked(program):
    done = program("gan.evaluate", "--help")
    assert done.returncode == 0 and "python -m gan.evaluate run=outputs/A run=outputs/B seeds=3" in done.stdout


def test_the_generator_itself_is_drawn_from_where_it_is_asked_for(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3", "trick=[]")
    state = checkpoint.load(tmp_path)
    for averaged, name in ((True, "ema"), (False, "generator")):
        weights = build.load_trained(tmp_path, "last", averaged, CPU).generator.state_dict()
        assert all(torch.equal(weights[key], state[name][key]) for key in weights)
    assert any(not torch.equal(state["ema"][key], state["generator"][key]) for key in state["ema"])


def test_a_runs_own_scores_are_of_what_it_draws_with_as_it_is_now(train_here, evaluate_here, tmp_path):
    def known():
        return json.loads((tmp_path / "status.json").read_text())["scores"]

    train_here(tmp_path, "train.max_steps=3", "trick=[]")
    evaluate_here(f"run={tmp_path}", "n=100", "parzen=false", "ema=false")
    assert known() == {}
    evaluate_here(f"run={tmp_path}", "n=100", "parzen=false")
    assert known()["fid"] > 0
    (of_itself, averaged) = json.loads((tmp_path / "scores.json").read_text())  # the first is not lost
    assert (of_itself["ema"], averaged["ema"]) == (False, True)
    train_here(tmp_path, "train.max_steps=4", "trick=[]", resume=True)
    assert known() == {}


def test_an_evaluation_adds_to_what_was_found_before(train_here, evaluate_here, tmp_path):
    train_here(tmp_path, "train.max_steps=2")
    for asked in (["n=110"], ["n=100"], ["n=110", "parzen=false"]):
        evaluate_here(f"run={tmp_path}", *asked)
    of_100, of_110 = json.loads((tmp_path / "scores.json").read_text())
    assert (of_100["generated"], of_110["generated"]) == (100, 110) and "parzen" in of_110["scores"]
    assert [row["generated"] for row in RunFolder(tmp_path).evaluations] == [110, 100]


def test_a_folder_that_is_no_run_is_said_before_the_others_are_scored(train_here, evaluate_here, tmp_path):
    train_here(tmp_path / "run", "train.max_steps=1")
    with pytest.raises(ConfigError, match="nowhere is no folder"):
        evaluate_here(f"run=[{tmp_path}/run,{tmp_path}/nowhere]", "n=100")
    assert not (tmp_path / "run" / "scores.json").exists()


def test_scores_that_want_too_much_memory_are_refused(train_here, evaluate_here, tmp_path, monkeypatch):
    def too_much(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    train_here(tmp_path, "train.max_steps=1")
    monkeypatch.setattr(protocol, "generate_images", too_much)
    with pytest.raises(OSError, match="smaller"):
        evaluate_here(f"run={tmp_path}", "n=100")


def test_scores_in_training_keep_the_best(train_here, tmp_path):
    asked = ["watch.scores_every=10", "watch.scores_images=200", "watch.scores_parzen=true"]
    train_here(tmp_path, "train.max_steps=40", *asked)
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30, 40] and set(rows[0]) == SCORES | {
        "parzen",
        "parzen_error",
        "parzen_width",
        "step",
        "dataset",
        "features",
        "accuracy",
        "generated",
        "real",
        "split",
    }
    best = min(rows, key=lambda row: row["fid"])
    assert checkpoint.load(tmp_path, "best")["step"] == best["step"]
    kept = read_status(tmp_path)["scores"]
    assert kept["fid"] == rows[-1]["fid"] and kept["generated"] == 200
    run = build.load_trained(tmp_path, "best", True, CPU)
    assert run.step == best["step"]
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert [event.step for event in board.Scalars("scores/fid")] == [10, 20, 30, 40]


def test_scoring_moves_nothing_and_outlives_a_stop(train_here, tmp_path):
    scored = ["watch.scores_every=4", "watch.scores_images=100", "trick=[generator_dropout,conditional]"]
    train_here(tmp_path / "plain", "train.max_steps=10", scored[2])
    train_here(tmp_path / "whole", "train.max_steps=10", *scored)
    train_here(tmp_path / "parts", "train.max_steps=6", *scored)
    train_here(tmp_path / "parts", "train.max_steps=10", *scored, resume=True)
    plain, whole, parts = (checkpoint.load(tmp_path / name) for name in ("plain", "whole", "parts"))
    for other in (whole, parts):
        assert all(torch.equal(plain["generator"][name], other["generator"][name]) for name in plain["generator"])
    rows = [(tmp_path / name / "scores.jsonl").read_text() for name in ("whole", "parts")]
    assert rows[0] == rows[1] and rows[0].count("\n") == 3  # 4, 8, and the end


def test_going_on_does_not_cost_a_better_generator(train_here, tmp_path, monkeypatch):
    scored = ["watch.scores_every=4", "watch.scores_images=100"]
    score, fids = protocol.Reference.score, iter([30.0, 10.0, 20.0, 25.0, 40.0])
    monkeypatch.setattr(protocol.Reference, "score", lambda *given: score(*given) | {"fid": next(fids)})
    train_here(tmp_path, "train.max_steps=6", *scored)  # 30 after 4 steps, and 10 at the end
    train_here(tmp_path, "train.max_steps=10", *scored, resume=True)
    assert [row["fid"] for row in files.read_rows(tmp_path / "scores.jsonl")] == [30.0, 20.0, 25.0]
    assert checkpoint.load(tmp_path, "best")["step"] == 6
    train_here(tmp_path, "train.max_steps=12", *scored[:1], "watch.scores_images=200", resume=True)
    assert checkpoint.load(tmp_path, "best")["step"] == 12  # other scores than before cannot be compared


def test_a_score_that_was_cut_short_is_taken_again(train_here, tmp_path, monkeypatch):
    often = ["train.max_steps=6", "watch.scores_every=2", "watch.scores_images=100", "watch.checkpoint_every=1"]
    train_here(tmp_path / "whole", *often)
    score, calls = protocol.Reference.score, []

    def killed(*given):
        calls.append(given)
        if len(calls) == 2:  # at step 4
            raise KeyboardInterrupt
        return score(*given)

    monkeypatch.setattr(protocol.Reference, "score", killed)
    with pytest.raises(KeyboardInterrupt):
        train_here(tmp_path / "parts", *often)
    train_here(tmp_path / "parts", *often, resume=True)
    rows = [(tmp_path / name / "scores.jsonl").read_text() for name in ("whole", "parts")]
    assert rows[0] == rows[1] and rows[0].count("\n") == 3


@pytest.mark.parametrize(("state", "sought"), [("finished", 7.0), ("stopped", 7.0), ("diverged", None)])
def test_a_search_does_not_want_what_diverges(tmp_path, state, sought):
    status.update(tmp_path, state=state, scores={"fid": 7.0})
    assert jobs.objective(tmp_path) == sought


def test_scores_say_how_the_generator_was_when_it_is_told_of_classes():
    asked = []

    class Painted(nn.Module):
        pixel_range, class_count = (-1, 1), 3

        def forward(self, noise, labels):
            asked.extend(labels.tolist())
            return noise[:, :1, None, None].expand(-1, 1, 8, 8)

    noise = SimpleNamespace(draw=lambda count, stream: torch.randn(count, 2, generator=stream))
    images = list(protocol.generate_images(Painted(), noise, 600, 0, CPU))
    assert [len(each) for each in images] == [256, 256, 88] and asked == [number % 3 for number in range(600)]


def test_a_discriminator_that_knows_its_images_by_heart_has_a_gap():
    light = ImageDataset(torch.full((40, 1, 8, 8), 255, dtype=torch.uint8), torch.arange(40) % 3)
    dark = ImageDataset(torch.zeros(30, 1, 8, 8, dtype=torch.uint8), torch.arange(30) % 4)

    def knows(images, labels=None):
        assert labels is None or labels.max() < 3
        return images.mean((1, 2, 3)) / 1000 - 100  # only the order counts

    def gap(learned, other, batch_size=10, classes=0):
        return protocol.discriminator_gap(knows, learned, other, (-1.0, 1.0), batch_size, classes, CPU)

    assert gap(light, dark) == 1 and gap(dark, light) == -1 and gap(light, light) == 0
    assert gap(light, dark, classes=3) == 1  # the fourth class is not asked for
    assert gap(light, dark, batch_size=35) is None
    rising = (torch.arange(5000) / 20).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    rises, falls = (ImageDataset(images, torch.zeros(5000)) for images in (rising, rising.flip(0)))
    assert abs(gap(rises, falls)) < 0.06  # whatever the order in which they lie


@pytest.mark.parametrize("tricks", ["conditional,minibatch_discrimination", "packing,minibatch_stddev,spectral_norm"])
def test_players_with_tricks_are_scored_as_they_were_trained(train_here, evaluate_here, tmp_path, tricks):
    train_here(tmp_path, "train.max_steps=2", f"trick=[{tricks}]")
    evaluate_here(f"run={tmp_path}", "n=100", "parzen=false")
    (kept,) = json.loads((tmp_path / "scores.json").read_text())
    assert -1 < kept["scores"]["discriminator_gap"]["mean"] < 1 and "parzen" not in kept["scores"]


def test_images_are_compared_with_a_test_split_only_where_there_is_one(tmp_path, cache):
    for part, count in (("train", 240), ("other", 120)):
        for number in range(count):
            folder = tmp_path / part / str(number % 2)
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 100, (8, 8)) + 150 * (number % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    own = ["dataset=image_folder", f"dataset.path={tmp_path / 'train'}"]
    folders = (tmp_path, cache)
    alone = build.build_reference(composed(*own), None, "own", folders, CPU)
    assert (alone.split, len(alone.real)) == ("train", 240) and alone.floor(100, False, cache) == {}
    both = build.build_reference(
        composed(*own, f"dataset.test_path={tmp_path / 'other'}", "dataset.limit=5"), None, "own", folders, CPU
    )
    assert (both.split, len(both.real), len(both.train)) == ("test", 120, 240)
    with pytest.raises(ConfigError, match=r"dataset\.test_path"):
        build.build_reference(composed(*own), "test", "own", folders, CPU)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("colour", "the test images are 8x8x3 in 2 classes and those to train on 8x8x1 in 2 classes"),
        ("flat", "the test images are 8x8x1 in 0 classes"),
        ("few", "scores need 100 images or more"),
        ("absent", "does not exist"),
        ("renamed", "the folder 0 is not both among the test images and among those to train on"),
    ],
)
def test_test_images_of_another_kind_are_refused(tmp_path, cache, kind, wanted):
    for part, count in (("train", 120), ("other", 20 if kind == "few" else 120)):
        for number in range(count):
            name = str(number % 2 + (1 if part == "other" and kind == "renamed" else 0))
            folder = tmp_path / part / ("" if part == "other" and kind == "flat" else name)
            folder.mkdir(parents=True, exist_ok=True)
            mode = "RGB" if part == "other" and kind == "colour" else "L"
            colour = (number, 0, 200) if mode == "RGB" else number
            Image.new(mode, (8, 8), colour).save(folder / f"{number}.png")
    test = tmp_path / ("nowhere" if kind == "absent" else "other")
    own = ["dataset=image_folder", f"dataset.path={tmp_path / 'train'}", f"dataset.test_path={test}"]
    with pytest.raises(ConfigError, match=wanted):
        build.build_reference(composed(*own), None, "own", (tmp_path, cache), CPU)


def test_a_score_in_training_wants_classes(tmp_path):
    for number in range(16):
        Image.new("L", (8, 8), number * 10).save(tmp_path / f"{number}.png")
    own = ["dataset=image_folder", f"dataset.path={tmp_path}"]
    cfg = composed(*own, "watch.scores_every=1", "train.batch_size=4", f"cache_dir={tmp_path}", "device=cpu")
    with pytest.raises(ConfigError, match=r"watch\.scores_every needs a data set with classes"):
        build.build_run(cfg, check.check_config(cfg), {})


def test_the_best_of_each_score_stands_out():
    from gan.evaluate import as_table

    rows = {name: {"fid": Number(fid, 0.1), "recall": Number(0.5)} for name, fid in (("a", 2.0), ("b", 3.0))}
    table = as_table(rows, {"fid": Number(0.1)}).splitlines()
    assert table[2] == "| a | **2 ± 0.1** | **0.5** |" and table[3] == "| b | 3 ± 0.1 | **0.5** |"
    assert table[4] == "| real images | 0.1 | - |"


def test_a_search_finds_the_settings_with_the_least_fid(program, tmp_path, cache):
    few = [
        "train.max_steps=20",
        "watch.scores_every=20",
        "watch.scores_images=100",
        "model.generator.hidden=[32]",
        "model.discriminator.hidden=[32]",
    ]
    trials = ["hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.n_startup_trials=3", f"hydra.sweep.dir={tmp_path}"]
    done = program(
        "train.py", "experiment=search/rates", "dataset.count=640", *few, *trials, f"cache_dir={cache}", "threads=1"
    )
    assert done.returncode == 0, done.stderr
    found = {path.parent.name: json.loads(path.read_text())["scores"]["fid"] for path in tmp_path.glob("*/status.json")}
    result = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert len(found) == 3 and result["best_value"] == pytest.approx(min(found.values()))
    best = min(found, key=found.get)
    assert f"optim.generator.lr-{result['best_params']['optim.generator.lr']}" in best
