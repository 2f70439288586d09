"""Use from Python: gan.train, gan.load, a run, and the parts in somebody else's loop."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import gan
from tests.conftest import ROOT, TINY, composed, read_status, weights
from tests.test_project import fenced_blocks


@pytest.fixture
def train(cache, tmp_path):
    """gan.train with small networks, in a folder `run`."""
    return lambda *settings, **options: gan.train(
        *TINY, f"cache_dir={cache}", *settings, **{"folder": tmp_path / "run"} | options
    )


def test_importing_the_package_imports_no_torch_until_something_needs_it():
    script = "import gan, sys; gan.ConfigError, dir(gan); assert 'torch' not in sys.modules; gan.losses; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert {"train", "load", "Run", "losses", "step"} <= set(dir(gan))
    with pytest.raises(AttributeError, match="nosuch"):
        _ = gan.nosuch


def test_a_run_from_python_is_the_run_of_the_command_line(train, program, cache, tmp_path):
    run = train("train.max_steps=20", "watch.log_every=10", "seed=4")
    line = [*TINY, f"cache_dir={cache}", "train.max_steps=20", "watch.log_every=10", "seed=4"]
    assert program("train.py", *line, f"hydra.run.dir={tmp_path / 'typed'}").returncode == 0
    assert run.state == "finished" and run.step == 20 and run.folder == tmp_path / "run"
    one, other = weights(tmp_path / "run"), weights(tmp_path / "typed")
    assert one.keys() == other.keys() and all(map(torch.equal, one.values(), other.values()))
    assert [row["step"] for row in run.metrics] == [10, 20] and run.scores == []
    assert run.config["seed"] == 4 and (run.folder / ".hydra" / "config.yaml").exists()


def test_samples_are_those_of_sample_py(train, program, tmp_path):
    run = train("train.max_steps=3", "trick=[conditional]")
    images = run.sample(5, seed=2, label="7")
    assert images.shape == (5, 1, 28, 28) and images.dtype == torch.uint8
    done = program(
        "sample.py", f"run={run.folder}", "n=5", "seed=2", "class=7", f"out={tmp_path / 'x.npz'}", "device=cpu"
    )
    assert done.returncode == 0, done
    import numpy as np

    assert (np.load(tmp_path / "x.npz")["images"][..., 0] == images[:, 0].numpy()).all()
    assert torch.equal(run.sample(3, seed=2, label=7), images[:3])
    for wrong in ({"n": 0}, {"n": 2, "label": "cat"}, {"n": 2, "seed": -1}):
        with pytest.raises(gan.ConfigError):
            run.sample(**wrong)


def test_a_callback_gets_the_metrics_and_can_stop_a_run_that_then_goes_on(train):
    rows = []
    run = train("train.max_steps=40", "watch.log_every=10", callback=lambda row: rows.append(row) or row["step"] == 20)
    assert run.state == "stopped" and "callback" in run.status["error"] and run.step == 20
    assert [row["step"] for row in rows] == [10, 20] and "generator/loss" in rows[0]
    run = gan.train(f"resume={run.folder}")
    assert run.state == "finished" and run.step == 40


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["train.batch_size=0"], "train.batch_size=0"),
        (["optim=adm"], "optim=adam"),
        (["nosuch=1"], "nosuch"),
        (["-m", "seed=1,2"], "-m"),
        (["seed=1,2"], "comma"),
        (["trick=[r1,wgan_gp]"], "wgan_gp"),
    ],
)
def test_errors_are_one_sentence_in_an_exception(train, settings, named, capfd):
    with pytest.raises(gan.ConfigError, match=r"^[^\n]*\.$") as raised:
        train(*settings)
    assert named in str(raised.value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_run_that_a_system_error_ends_is_failed_and_a_bug_is_raised(train, monkeypatch, tmp_path):
    from gan.training import loop

    for error, kind in (
        (OSError(28, "No space left on device"), gan.ConfigError),
        (ZeroDivisionError("bug"), ZeroDivisionError),
    ):
        monkeypatch.setattr(loop, "train", lambda *_, error=error: (_ for _ in ()).throw(error))
        folder = tmp_path / kind.__name__
        with pytest.raises(kind):
            train("train.max_steps=1", folder=folder)
        assert read_status(folder)["state"] == "failed"


def test_hydra_and_the_log_are_as_before_after_a_run(train):
    composed()  # a notebook may use Hydra itself
    root = logging.getLogger()
    handlers, before = root.handlers[:], GlobalHydra.instance().is_initialized()
    train("train.max_steps=1")
    assert root.handlers == handlers and GlobalHydra.instance().is_initialized() == before


def test_a_run_may_start_in_another_thread(train):
    found = []
    thread = threading.Thread(target=lambda: found.append(train("train.max_steps=2").state))
    thread.start()
    thread.join()
    assert found == ["finished"]


def test_a_folder_without_a_run_is_one_sentence(tmp_path):
    with pytest.raises(gan.ConfigError, match=r"^[^\n]*\.$"):
        gan.load(tmp_path)
    with pytest.raises(gan.ConfigError, match="checkpoint=newest"):
        gan.load(tmp_path, checkpoint="newest")


def python_blocks():
    blocks = fenced_blocks((ROOT / "docs" / "api.md").read_text("utf-8"))
    return [text for language, text in blocks if language == "python"]


def test_the_documented_loop_of_ones_own_learns_its_points(capsys):
    """Our loss, penalty and EMA with foreign networks: the points' mean and spread."""
    (block,) = [text for text in python_blocks() if "Hinge" in text]
    assert len([line for line in block.splitlines() if line.strip()]) <= 36
    names: dict[str, object] = {}
    exec(block, names)
    points = names["points"].detach()
    assert torch.allclose(points.mean(0), torch.tensor([1.0, -1.0]), atol=0.1), points.mean(0)
    assert (points.std(0) < 0.3).all() and (points.std(0) > 0.02).all(), points.std(0)
    assert "tensor" in capsys.readouterr().out


def test_the_documented_run_works(monkeypatch, tmp_path, cache):
    (block,) = [text for text in python_blocks() if "gan.train(" in text]
    small = [*TINY, "train.max_steps=2", f"cache_dir={cache}"]
    block = re.sub(r'"model=dcgan", .*?\)', ", ".join(map(repr, small)) + ")", block, count=1)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block, names)
    assert names["images"].shape == (16, 1, 28, 28)


def test_ctrl_c_stops_a_run_with_all_saved_and_returns_it(train):
    def interrupt(row):
        os.kill(os.getpid(), signal.SIGINT)

    run = train("train.max_steps=1000", "watch.log_every=5", callback=interrupt)
    assert run.state == "stopped" and run.step in (5, 6)


def test_scores_are_those_of_gan_evaluate(train, program):
    run = train("train.max_steps=3")
    scores = run.score(200)
    line = [f"run={run.folder}", "n=200", "parzen=false", "device=cpu", f"cache_dir={run.config['cache_dir']}"]
    assert program("gan.evaluate", *line).returncode == 0
    typed = read_status(run.folder)["scores"]
    assert scores["fid_digits"] == pytest.approx(typed["fid_digits"], rel=1e-6) and len(scores) > 5
    with pytest.raises(gan.ConfigError, match="n=50"):
        run.score(50)


def test_a_generator_alone_has_no_state_and_no_status(train, tmp_path):
    run = train("train.max_steps=1")
    assert run.state == "finished" and run.status["step"] == 1
    for alone in (gan.load("zoo/ring8", device="cpu"), gan.load(run.export(tmp_path / "g.safetensors"), device="cpu")):
        assert alone.state == "" and alone.status == {} and alone.metrics == [] and alone.scores == []


def test_the_images_of_two_runs_are_compared_without_their_data(train):
    images = train("train.max_steps=3").sample(64)
    assert gan.metrics.fid(images, images, lambda batch: batch.float().flatten(1)[:, :8]) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", ["generator.onnx", "generator.safetensors"])
def test_an_exported_generator_is_loaded_again(train, tmp_path, name):
    run = train("train.max_steps=3")
    out = run.export(tmp_path / name, output="float")
    assert out == tmp_path / name and (tmp_path / f"{name}.md").exists()
    if name.endswith("safetensors"):
        from gan.generator_file import load_generator

        noise = run.noise.sample(2, torch.Generator().manual_seed(0))
        assert torch.equal(load_generator(out)(noise), run.generator(noise).detach())
    for wrong in ({"path": tmp_path / "x.png"}, {"path": tmp_path / "x.onnx", "output": "int"}):
        with pytest.raises(gan.ConfigError):
            run.export(**wrong)
