"""`python -m gan.evaluate` writes scores with their protocol, beside the real-data baseline."""

import errno
import json
import multiprocessing
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from gan import evaluate as evaluation
from gan.cli import overrides
from gan.config.errors import ConfigError, printable
from gan.config.schema import Evaluation
from gan.data import datasets
from gan.metrics import features, protocol
from gan.metrics.catalogue import METRICS, direction
from gan.metrics.comparison import FeatureStats
from gan.metrics.moments import write_moments
from gan.metrics.network_files import load_network
from gan.report.cells import Number
from gan.report.runs import RunFolder
from gan.system import files, status
from gan.training import build, checkpoint
from tests.conftest import CONF, read_status
from tests.metrics.conftest import save_script

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Classifiers after one epoch, also for those who find them in the cache."""
    for name, value in {"EPOCHS": 1, "MIN_STEPS": 20, "MIN_ACCURACY": 0}.items():
        monkeypatch.setattr(features, name, value)


@pytest.fixture
def evaluate_here(cache):
    """The same as `evaluate` in this process, which is quicker."""

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
        train_here(tmp_path / name, "train.max_steps=2", f"seed={len(name)}")
    done = evaluate(f"run={tmp_path}/a", f"run={tmp_path}/b", "n=200", "seeds=2")
    assert done.returncode == 0, done.stderr
    tables = [block.splitlines() for block in done.stdout.split("\n\n")[2:-1]]
    assert all(table[1].startswith("better ") and table[-1].startswith("real data ") for table in tables)
    assert max(len(line) for line in done.stdout.splitlines() if str(tmp_path) not in line) <= 100
    (row,) = json.loads((tmp_path / "a" / "scores.json").read_text())
    columns = [metric.column("digits") for metric in METRICS if metric.needs not in ("inception", "points", "modes")]
    assert list(row["scores"]) == columns and list(row["real_data"]) == columns[:-1]  # without the discriminator's gap
    assert [name for table in tables for name in table[0].split()] == columns
    assert [name for table in tables for name in table[1].split()[1:]] == [direction(name) or "-" for name in columns]
    assert row["features"].startswith("digits-28x28x1-") and row["features"] in done.stdout
    assert row["dataset"].startswith("digits-") and row["dataset"] in done.stdout
    assert (row["generated"], row["real"], row["split"], row["seeds"]) == (200, 128, "test", [0, 1])
    assert "200 generated" in done.stdout and "128 test" in done.stdout
    fid = row["scores"]["fid_digits"]
    assert fid["spread"] > 0 and row["real_data"]["fid_digits"]["mean"] < fid["mean"] / 5
    scores = read_status(tmp_path / "a")["scores"]
    assert scores["fid_digits"] == fid["mean"] and scores["features"] == row["features"]
    board = EventAccumulator(str(tmp_path / "a"))
    board.Reload()
    (event,) = board.Scalars("evaluation/fid_digits")
    assert event.step == 2 and event.value == pytest.approx(fid["mean"], rel=1e-5)
    with Image.open(tmp_path / "a" / "figures" / "neighbors.png") as image:
        assert image.size == (16 * 29 + 1, 2 * 29 + 1)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("n=50", "n=50"),
        ("seeds=0", "seeds=0"),
        ("split=validation", "split=validation"),
        ("features=vgg", "features=vgg"),
        ("features=own", "features=own"),
        ("checkpoint=best", "checkpoint"),
    ],
)
def test_an_impossible_setting_is_a_config_error(train_here, evaluate_here, tmp_path, argument, expected):
    train_here(tmp_path, "train.max_steps=1")
    with pytest.raises(ConfigError, match=expected):
        evaluate_here(f"run={tmp_path}", argument)


def test_a_missing_run_is_one_line_on_stderr(evaluate):
    done = evaluate("run=nowhere")
    assert done.returncode == 1 and "nowhere" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_missing_run_is_found_before_the_others_are_scored(train_here, evaluate_here, tmp_path):
    train_here(tmp_path / "run", "train.max_steps=1")
    with pytest.raises(ConfigError, match="nowhere"):
        evaluate_here(f"run=[{tmp_path}/run,{tmp_path}/nowhere]", "n=100")
    assert not (tmp_path / "run" / "scores.json").exists()


def test_repeated_arguments_are_merged():
    assert overrides.merge_repeated(["run=a", "n=5", "run=b c"], "run") == ["n=5", "run=['a','b c']"]
    assert overrides.merge_repeated(["run=a", "n=5"], "run") == ["run=a", "n=5"]


def test_help_has_the_settings_and_an_example(program):
    done = program("gan.evaluate", "--help")
    assert done.returncode == 0 and "python -m gan.evaluate run=outputs/A run=outputs/B seeds=3" in done.stdout
    assert "features: classifier" in done.stdout


def test_ema_false_scores_the_generator_itself(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    state = checkpoint.load(tmp_path)
    for ema, name in ((True, "ema"), (False, "generator")):
        generator = build.load_trained(tmp_path, "last", ema, CPU).generator
        assert all(torch.equal(weight, state[name][key]) for key, weight in generator.named_parameters())
    assert any(not torch.equal(state["ema"][key], state["generator"][key]) for key in state["ema"])


def test_status_has_the_scores_of_the_ema_at_the_last_checkpoint_only(train_here, evaluate_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    evaluate_here(f"run={tmp_path}", "n=100", "parzen=false", "ema=false")
    assert read_status(tmp_path)["scores"] == {}
    evaluate_here(f"run={tmp_path}", "n=100", "parzen=false")
    status, (_, evaluated) = read_status(tmp_path), json.loads((tmp_path / "scores.json").read_text())
    assert status["scores"]["fid_digits"] > 0 and status["real_data"]["generated"] == 100
    assert {name: number["mean"] for name, number in evaluated["real_data"].items()}.items() <= status[
        "real_data"
    ].items()
    rows = json.loads((tmp_path / "scores.json").read_text())
    assert [row["ema"] for row in rows] == [False, True]  # the first is still there
    train_here(tmp_path, "train.max_steps=4", resume=True)
    assert read_status(tmp_path)["scores"] == read_status(tmp_path)["real_data"] == {}


def test_an_evaluation_updates_the_one_with_the_same_protocol(train_here, evaluate_here, tmp_path):
    train_here(tmp_path, "train.max_steps=2")
    for arguments in (["n=110"], ["n=100"], ["n=110", "parzen=false"]):
        evaluate_here(f"run={tmp_path}", *arguments)
    of_100, of_110 = json.loads((tmp_path / "scores.json").read_text())
    assert (of_100["generated"], of_110["generated"]) == (100, 110)
    assert "parzen" in of_110["scores"] and "parzen" in of_110["real_data"]
    assert [row["generated"] for row in RunFolder(tmp_path).evaluations] == [110, 100]


@pytest.fixture
def network(tmp_path_factory):
    """A TorchScript with three features, and the settings that choose it."""
    path = save_script(Halves(), tmp_path_factory.mktemp("network") / "halves.pt")
    return path, [f"features={path}", "trust=true", "n=100", "parzen=false"]


class Halves(nn.Module):
    """Brightness of the upper half, the lower half and the center."""

    def forward(self, images):
        gray = images.float().mean(1)
        return torch.stack([gray[:, :14].mean((1, 2)), gray[:, 14:].mean((1, 2)), gray[:, 9:19, 9:19].mean((1, 2))], 1)


def test_a_run_is_scored_on_the_features_of_a_file(train_here, evaluate_here, tmp_path, network):
    train_here(tmp_path, "train.max_steps=1")
    evaluate_here(f"run={tmp_path}", *network[1])
    (row,) = json.loads((tmp_path / "scores.json").read_text())
    assert row["features"].startswith("halves-") and row["accuracy"] is None and row["real"] == 128
    suffix = row["features"].replace("-", "_")
    assert {f"{name}_{suffix}" for name in ("fid", "kid", "recall")} <= row["scores"].keys()
    assert not {"modes", "inception_score", "pixel_precision", f"classifier_score_{suffix}"} & row["scores"].keys()
    assert row["real_data"][f"fid_{suffix}"]["mean"] < row["scores"][f"fid_{suffix}"]["mean"]


@pytest.mark.parametrize("tricks", ["", "conditional"])
def test_a_run_is_scored_against_statistics(train_here, evaluate_here, tmp_path, cache, network, capsys, tricks):
    train_here(tmp_path / "run", "train.max_steps=1", f"trick=[{tricks}]")
    path, settings = network
    images = datasets.digits(cache, cache, "test", count=640, limit=None, image_size=None).images
    loaded = load_network(str(path), trust=True)
    write_moments(tmp_path / "digits.npz", FeatureStats(loaded, images.split(50), CPU), loaded.name)
    evaluate_here(f"run={tmp_path}/run", *settings)
    status_before = read_status(tmp_path / "run")
    evaluate_here(f"run={tmp_path}/run", f"stats={tmp_path}/digits.npz", *settings)
    with_images, with_statistics = json.loads((tmp_path / "run" / "scores.json").read_text())
    ((column, number),) = with_statistics["scores"].items()
    assert number["mean"] == pytest.approx(with_images["scores"][column]["mean"], rel=1e-6)
    assert with_statistics["real"] is None and with_statistics["dataset"].startswith("digits.npz-")
    assert read_status(tmp_path / "run") == status_before  # which cannot say that it is against statistics
    assert "against the statistics digits.npz-" in " ".join(capsys.readouterr().out.split())


def save_evaluations(folder, first):
    """As `gan.evaluate` does, for ten protocols."""
    for count in range(first, first + 10):
        settings = Evaluation.model_construct(checkpoint="last", ema=True, seed=0, seeds=1, stats=None)
        evaluation.save_scores(folder, 2, {"fid_digits": Number(count)}, {}, {"generated": count}, settings)


def test_two_evaluations_of_a_run_at_the_same_time_are_both_kept(tmp_path):
    run_at_the_same_time((save_evaluations, tmp_path, 100), (save_evaluations, tmp_path, 200))
    rows = json.loads((tmp_path / "scores.json").read_text())
    assert sorted(row["generated"] for row in rows) == [*range(100, 110), *range(200, 210)]


def update_status(folder, name, make_value):
    """Update an entry many times. It keeps every value, whatever another process writes."""
    for number in range(200):
        value = make_value(number)
        status.update(folder, **{name: value})
        assert status.read(folder)[name] == value


def test_an_evaluation_leaves_the_status_of_a_run_that_is_training_as_it_is(tmp_path):
    run_at_the_same_time(
        (update_status, tmp_path, "step", int), (update_status, tmp_path, "scores", lambda number: {"fid": number})
    )
    assert status.read(tmp_path)["step"] == 199 and status.read(tmp_path)["scores"] == {"fid": 199}


def run_at_the_same_time(*calls):
    """Call functions in processes of their own."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=function, args=arguments) for function, *arguments in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(calls)


@pytest.mark.slow
def test_scores_that_cannot_be_kept_are_printed_before_the_error(
    train_here, evaluate_here, tmp_path, monkeypatch, capsys
):
    train_here(tmp_path, "train.max_steps=1")
    monkeypatch.chdir(tmp_path.parent)

    def fail(*_):
        raise OSError(errno.ENOSPC, "no space left", "scores.json")

    monkeypatch.setattr(files, "write_json", fail)
    with pytest.raises(OSError, match="no space left"):
        evaluate_here(f"run={tmp_path.name}", "n=100", "parzen=false")
    assert "real data" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["garbage", "folder"])
def test_a_file_of_scores_that_is_none_is_moved_aside(tmp_path, content):
    path = tmp_path / "scores.json"
    path.mkdir() if content == "folder" else path.write_bytes(b"mine")
    save_evaluations(tmp_path, 100)
    assert len(json.loads(path.read_text())) == 10
    aside = tmp_path / "aside_1_scores.json"
    assert aside.is_dir() if content == "folder" else aside.read_bytes() == b"mine"


def test_a_lack_of_memory_is_explained(train_here, evaluate_here, tmp_path, monkeypatch):
    def out_of_memory(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    train_here(tmp_path, "train.max_steps=1")
    monkeypatch.setattr(protocol, "generate_images", out_of_memory)
    with pytest.raises(OSError, match="smaller"):
        evaluate_here(f"run={tmp_path}", "n=100")


@pytest.mark.parametrize("tricks", ["conditional,minibatch_discrimination", "packing,minibatch_stddev,spectral_norm"])
def test_networks_with_tricks_are_scored_as_they_were_trained(train_here, evaluate_here, tmp_path, tricks):
    train_here(tmp_path, "train.max_steps=2", f"trick=[{tricks}]")
    evaluate_here(f"run={tmp_path}", "n=100", "parzen=false")
    (row,) = json.loads((tmp_path / "scores.json").read_text())
    assert -1 < row["scores"]["discriminator_gap"]["mean"] < 1 and "parzen" not in row["scores"]


def test_the_table_has_the_better_direction_the_best_run_and_real_images_below():
    rows = {
        name: {"fid_mnist": Number(fid, 0.1), "recall_mnist": Number(recall), "density_mnist": Number(1.0)}
        for name, fid, recall in (("a", 2.0, 0.5), ("b", 3.0, 0.5), ("c", 4.0, 0.25))
    }
    assert evaluation.format_table(rows, {"fid_mnist": Number(0.1)}).splitlines() == [
        "           fid_mnist  recall_mnist  density_mnist",
        "better         lower        higher              -",
        "a          *2 ± 0.10        *0.500              1",
        "b           3 ± 0.10        *0.500              1",
        "c           4 ± 0.10         0.250              1",
        "real data      0.100             -              -",
        "",
        "*: the best of these runs",
    ]


def test_a_tilde_is_the_home_folder(train_here, cache, tmp_path, monkeypatch):
    train_here(tmp_path / "run", "train.max_steps=1")
    monkeypatch.setenv("HOME", str(cache.parent))
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        quick = ["n=100", "parzen=false", "device=cpu"]
        evaluation.evaluate(compose("evaluate", overrides=["run=run", f"cache_dir='~/{cache.name}'", *quick]))
    assert not (tmp_path / "~").exists()


def test_a_run_alone_and_equal_runs_have_no_star():
    assert "*" not in evaluation.format_table({"a": {"fid_mnist": Number(2.0)}}, {})
    rows = {name: {"fid_mnist": Number(2.0)} for name in "ab"}
    assert "*2" not in evaluation.format_table(rows, {})


@pytest.mark.parametrize("name", ["outputs/RUN", " ", "outputs/" + "x" * 200, "a b\x1b[31m" * 9])
def test_the_table_fits_in_100_columns_with_nothing_lost(name):
    columns = [metric.column("stacked_mnist") for metric in METRICS]
    rows = {other: dict.fromkeys(columns, Number(-0.00123456, 0.00123)) for other in (name, "b")}
    table = evaluation.format_table(rows, rows["b"])
    assert max(map(len, table.splitlines())) <= 100 and all(line.isprintable() for line in table.splitlines())
    blocks = table.split("\n\n")[:-1]
    assert [each for block in blocks for each in block.splitlines()[0].split()] == columns
    for block in blocks:
        label = "".join(line.split("  ")[0] for line in block.splitlines()[2:-2])
        assert label.replace(" ", "") == printable(name).replace(" ", "")
    assert table.count("-0.00123 ± 0.0012") == 3 * len(columns)


@pytest.mark.parametrize(("state", "shown"), [("running", "\nr (interrupted at step 1) "), ("finished", "\nr  ")])
def test_a_table_says_which_runs_did_not_finish(train_here, evaluate_here, tmp_path, monkeypatch, capsys, state, shown):
    train_here(tmp_path / "r", "train.max_steps=1")
    monkeypatch.chdir(tmp_path)
    status.update(Path("r"), state=state)
    Path("r", ".lock").touch()
    evaluate_here("run=r", "n=100", "parzen=false")
    assert shown in capsys.readouterr().out


def test_scores_that_cannot_be_read_are_not_replaced(train_here, evaluate_here, tmp_path, monkeypatch):
    train_here(tmp_path, "train.max_steps=1")
    evaluate_here(f"run={tmp_path}", "n=100", "parzen=false")
    content, read = (tmp_path / "scores.json").read_bytes(), files.read_bytes

    def fail(path, max_bytes):
        if path.name == "scores.json":
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return read(path, max_bytes)

    with monkeypatch.context() as patch:
        patch.setattr(files, "read_bytes", fail)
        with pytest.raises(OSError, match="Stale"):
            evaluate_here(f"run={tmp_path}", "n=110", "parzen=false")
    assert (tmp_path / "scores.json").read_bytes() == content
