"""train.py as a program: run folders, signals, resuming and sweeps."""

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from gan.cli import jobs, overrides
from gan.data import digits
from gan.system import locks, status
from gan.training import build, checkpoint, loop, outputs
from tests.conftest import ROOT, TINY, composed, read_status, same_weights
from tests.training.conftest import assert_complete, read_metrics


def test_a_run_writes_all_its_files(train, tmp_path):
    done = train(f"hydra.run.dir={tmp_path}", "train.epochs=2", "watch.log_every=10", "watch.samples_every=30")
    assert done.returncode == 0, done.stderr
    assert_complete(tmp_path)
    outcome = read_status(tmp_path)
    assert (outcome["state"], outcome["step"], outcome["epoch"], outcome["error"]) == ("finished", 80, 2.0, None)
    assert outcome["images_per_second"] > 0 and outcome["process"]["host"] == locks.HOST
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == list(range(10, 81, 10))
    metrics = {"loss", "gradient_norm", "lr", "fake"}
    names = {f"{player}/{name}" for player in ("generator", "discriminator") for name in metrics}
    assert {"epoch", "seconds", "discriminator/real", *names} <= rows[0].keys()
    grids = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert grids == ["real.png", *(f"step_{step:07d}.png" for step in (0, 30, 60, 80))]
    assert Image.open(tmp_path / "samples.gif").n_frames == 4
    assert Image.open(tmp_path / "final.png").size == (10 * 29 + 1, 10 * 29 + 1)  # 100 images, with lines between them
    assert done.stderr == ""


def test_a_run_says_what_it_is_how_it_goes_and_what_to_type_next(train, tmp_path):
    """In its log, and on a console that is no terminal."""
    done = train(f"hydra.run.dir={tmp_path}", "train.epochs=2", "watch.log_every=20")
    lines = [line for line in done.stdout.splitlines() if line]
    assert all(len(line) <= 100 or os.path.relpath(tmp_path, ROOT) in line for line in lines)
    labels = ("run folder", "device", "data", "classes", "generator", "discriminator", "loss", "steps", "curves")
    starts = [*(f"  {label} " for label in labels), *(f"step {step}/80 " for step in (20, 40, 60, 80)), "Finished after 80 steps in "]  # fmt: skip
    log = [line.partition(" INFO ")[2] for line in (tmp_path / "train.log").read_text().splitlines()]
    for text in (lines, log):
        assert all(line.startswith(start) for line, start in zip(text, starts, strict=False)), text
    assert re.search(r"in [\d.]+ s, [\d,]+ images a second", log[-1])
    path = os.path.relpath(tmp_path, ROOT)
    assert f"{path}/final.png" in done.stdout
    for command in (f"sample.py run={path}", f"gan.report {path}", f"gan.evaluate run={path}", "tensorboard --logdir"):
        assert command in done.stdout
    assert "resume=" not in done.stdout  # it is finished


def test_a_run_without_classes_is_not_told_to_type_what_needs_them(program, cache, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(20):
        Image.new("L", (8, 8), number).save(tmp_path / "images" / f"{number}.png")
    images = ["dataset=image_folder", f"dataset.path={tmp_path / 'images'}", f"cache_dir={cache}"]
    tiny = [text for text in TINY if "dataset" not in text]
    done = program("train.py", *images, *tiny, f"hydra.run.dir={tmp_path / 'run'}", "train.max_steps=2")
    assert done.returncode == 0 and "sample.py" in done.stdout and "gan.evaluate" not in done.stdout


def test_a_job_of_a_sweep_is_a_few_lines_on_the_console_and_has_its_own_log(train, tmp_path):
    done = train("-m", "seed=0,1", "train.max_steps=4", "watch.log_every=2", f"hydra.sweep.dir={tmp_path}")
    lines = [line for line in done.stdout.splitlines() if "[HYDRA]" not in line]
    assert [line.partition(":")[0] for line in lines[:3]] == ["seed-0", "seed-1", ""], lines
    log = (tmp_path / "seed-1" / "train.log").read_text()
    assert all(text in log for text in ("  discriminator ", "step 2/4 ", "step 4/4 ", "Finished after 4 steps"))


def test_the_bar_of_a_terminal_of_80_columns_shows_the_numbers_and_the_time_left(train_here, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def fileno(self):
            return null.fileno()

    terminal = Terminal()
    with Path(os.devnull).open() as null, monkeypatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("LINES", "24")
        patch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", terminal)
        train_here(tmp_path, "train.max_steps=20", "watch.log_every=5")
    bars = [bar for bar in terminal.getvalue().split("\r") if "%|" in bar]
    assert all(len(bar.strip()) <= 80 for bar in bars)
    assert re.search(r"20/20 \[00:\d\d<00:00\], D \S+ G \S+ D\(x\) \S+ D\(G\(z\)\) [\d.]+", bars[-1])


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.slow
def test_a_run_that_a_signal_stopped_is_complete_and_resumes_to_the_same_bits(
    train, train_here, cache, tmp_path, number, exit_code
):
    unbroken, stopped = tmp_path / "unbroken", tmp_path / "stopped"
    chosen = ["trick=[instance_noise,soft_labels]", "train.discriminator_steps=2", "threads=1"]
    train_here(unbroken, *chosen)
    command = [sys.executable, "train.py", *TINY, *chosen, f"cache_dir={cache}"]
    process = subprocess.Popen(
        [*command, f"hydra.run.dir={stopped}", "watch.log_every=1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (stopped / "metrics.jsonl").exists() or len(read_metrics(stopped)) < 20:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == exit_code, err
    assert read_status(stopped)["state"] == "stopped" and read_status(stopped)["step"] < 160
    assert "Traceback" not in err and "train.py resume=" in out
    assert_complete(stopped)
    done = train(f"resume={stopped}", "watch.log_every=50")
    assert done.returncode == 0, done.stderr
    assert read_status(stopped)["state"] == "finished"
    assert same_weights(unbroken, stopped)


@pytest.mark.slow
def test_the_printed_line_goes_on_with_a_run_of_the_users_own_options(program, cache, tmp_path):
    """It names the folder that has them; without that folder, one sentence says what is missing."""
    (tmp_path / "mine" / "optim").mkdir(parents=True)
    shutil.copy(ROOT / "conf" / "optim" / "sgd.yaml", tmp_path / "mine" / "optim" / "quick.yaml")
    shutil.copy(ROOT / "conf" / "train.yaml", tmp_path / "mine" / "long.yaml")
    folder = tmp_path / "run"
    own = ["--config-dir", str(tmp_path / "mine"), "--config-name", "long", "optim=quick"]
    settings = [*TINY, f"cache_dir={cache}", "train.epochs=1000", "watch.log_every=1", f"hydra.run.dir={folder}"]
    run = subprocess.Popen(
        [sys.executable, "train.py", *own, *settings],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists() or len(read_metrics(folder)) < 2:
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGTERM)
    output, _ = run.communicate(timeout=60)
    (line,) = [line.removeprefix("  resume ").strip() for line in output.splitlines() if "train.py" in line]
    _, *words = shlex.split(line)
    longer = f"train.max_steps={read_status(folder)['step'] + 2}"
    done = program(*words, longer)
    assert done.returncode == 0 and read_status(folder)["state"] == "finished", done.stderr
    without = program("train.py", f"resume={folder}", longer)
    assert without.returncode == 1 and without.stderr.count("\n") == 1
    assert "--config-dir" in without.stderr and "--config-name long" in without.stderr


@pytest.mark.slow
def test_a_run_makes_the_steps_that_were_typed_however_few_its_images(train, tmp_path):
    """Also in a sweep, and on resume."""
    few = ["dataset.limit=16", "hydra.run.dir=" + str(tmp_path / "run")]  # one step in an epoch
    for number, steps in enumerate((60, 90)):
        done = train(*(few if number == 0 else [f"resume={tmp_path / 'run'}"]), f"train.max_steps={steps}")
        assert done.returncode == 0 and read_status(tmp_path / "run")["step"] == steps, done.stderr
    jobs = ["-m", "dataset.limit=16", "train.max_steps=60,70", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    assert train(*jobs).returncode == 0
    folders = [tmp_path / "sweep" / f"train.max_steps-{steps}" for steps in (60, 70)]
    assert [read_status(folder)["step"] for folder in folders] == [60, 70]
    stored = OmegaConf.load(folders[0] / ".hydra" / "config.yaml")
    assert (stored.train.epochs, stored.train.max_steps) == (None, 60)
    assert train(*jobs).stdout.count("skipped") == 2


def test_a_diverged_run_ends_with_exit_code_0(train, tmp_path):
    done = train(f"hydra.run.dir={tmp_path}", "optim=sgd", "optim.generator.lr=1e30", "train.max_steps=50")
    assert done.returncode == 0 and "Diverged" in done.stdout and "Traceback" not in done.stderr
    assert read_status(tmp_path)["state"] == "diverged"


def test_resuming_with_settings_that_change_results_is_an_error_that_names_them(train, tmp_path):
    assert train(f"hydra.run.dir={tmp_path}", "train.max_steps=3").returncode == 0
    before = read_status(tmp_path)
    done = train(f"resume={tmp_path}", "train.max_steps=6", "optim.generator.lr=0.005", "seed=5")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in ("optim.generator.lr", "0.001", "0.005", "seed"))
    assert "max_steps" not in done.stderr
    assert read_status(tmp_path) == before
    for override in ("train.batch_size=0", "seed=5"):
        assert train(f"resume={tmp_path}", "train.max_steps=6", override).returncode == 1
    assert "max_steps=6" not in (tmp_path / ".hydra" / "overrides.yaml").read_text()
    resumed = train(f"resume={tmp_path}", "train.max_steps=6")
    assert resumed.returncode == 0, resumed.stderr
    assert "max_steps=6" in (tmp_path / ".hydra" / "overrides.yaml").read_text()


def test_a_new_run_does_not_overwrite_another(train, tmp_path):
    assert train(f"hydra.run.dir={tmp_path}", "train.max_steps=3").returncode == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "train.log"}
    for arguments, words in (
        ([f"hydra.run.dir={tmp_path}", "train.max_steps=2", "seed=1"], [str(tmp_path), f"resume={tmp_path}"]),
        (
            [f"resume={tmp_path}", "train.max_steps=6", f"hydra.run.dir={tmp_path / 'other'}"],
            [f"resume={tmp_path}"],
        ),
    ):
        done = train(*arguments)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert all(word in done.stderr for word in words)
        assert all(path.read_bytes() == content for path, content in files.items())
    assert not (tmp_path / "other").exists()


def test_a_run_in_a_folder_of_any_name_can_be_resumed(train_here, train, tmp_path):
    """With the name as it is, and in quotes; and the run prints a command that works."""
    folder = tmp_path / "läuf (1), it's [x] a=b"
    train_here(folder, "train.max_steps=2")
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text("[]")
    quoted = str(folder).replace("'", r"\'")
    for steps, override in ((3, f"resume={folder}"), (4, f"resume='{quoted}'")):
        done = train(override, f"train.max_steps={steps}")
        assert done.returncode == 0 and status.read(folder)["step"] == steps, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "sample.py" in line]
    python, program, run, count = shlex.split(line[line.index("python") :])
    assert (python, program, count) == ("python", "sample.py", "n=100")
    path = OverridesParser.create().parse_override(run).value()
    assert (ROOT / str(path)).samefile(folder)


@pytest.mark.parametrize(
    "name", ["a/b", "my run", "läuf", "a(1)", "a,b", "a=b", "it's", "[x]", "5", "null", "~a", "C:\\a b", ""]
)
def test_hydra_reads_a_quoted_value_as_it_was(name):
    override = OverridesParser.create().parse_override(overrides.quote_override("resume", name))
    assert override.key_or_group == "resume" and override.value() == name


@pytest.mark.parametrize(
    ("name", "tricks", "remaining"),
    [
        ("modern", "[r1]", {"r1"}),
        ("modern", "r2", {"r2"}),
        ("modern", "[]", set()),
        ("blog/paper_batchnorm_softlabel", "[]", set()),
        ("blog/paper_batchnorm_softlabel", "[soft_labels]", {"soft_labels"}),
    ],
)
def test_the_tricks_of_an_experiment_can_be_replaced(program, small, tmp_path, name, tricks, remaining):
    """Also by fewer, where the experiment has numbers for those that are left out."""
    tiny = [
        "dataset=digits",
        "dataset.image_size=8",
        "train.max_steps=1",
        "watch.samples=1",
        "watch.final_samples=null",
    ]
    done = program("train.py", f"experiment={name}", *small, *tiny, f"trick={tricks}", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    trick = OmegaConf.load(tmp_path / ".hydra" / "config.yaml").trick
    assert set(trick) == remaining
    assert "soft_labels" not in trick or list(trick.soft_labels.real_target) == [0.9, 1.0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_first_step_leaves_a_status_and_the_line_to_type(
    train, cache, tmp_path, monkeypatch, number
):
    """While the data are made, here: what takes minutes before a run has a checkpoint."""
    line = [f"hydra.run.dir={tmp_path / 'my run'}", "dataset.count=64", "train.max_steps=2"]
    with monkeypatch.context() as patch:
        patch.setattr(digits, "draw_digits", lambda *_, **__: signal.raise_signal(number))
        done = train(*line, f"cache_dir={tmp_path / 'cache'}")
    assert done.returncode == 128 + number and done.stderr == ""
    assert read_status(tmp_path / "my run")["state"] == "stopped"
    (again,) = [words for words in done.stdout.splitlines() if "train.py" in words]
    assert set(line) <= set(shlex.split(again))
    assert train(*line).returncode == 0
    assert read_status(tmp_path / "my run")["state"] == "finished"


@pytest.mark.parametrize("outputs", ["1", "1,2"])
def test_a_run_finishes_where_nobody_reads_its_output(train, tmp_path, outputs):
    """As after `| head -1` and `2>&1 | head -1`."""
    done = train(f"hydra.run.dir={tmp_path}", "train.epochs=2", "watch.log_every=10", CLOSED_OUTPUT=outputs)
    assert done.returncode == 0 and done.stderr == ""
    assert_complete(tmp_path)
    assert (read_status(tmp_path)["state"], read_status(tmp_path)["step"]) == ("finished", 80)
    assert "step 80/80" in (tmp_path / "train.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
@pytest.mark.slow
def test_a_finished_run_stays_finished_where_its_output_is_on_a_full_disk(tmp_path, cache):
    command = [sys.executable, "train.py", *TINY, f"cache_dir={cache}", f"hydra.run.dir={tmp_path}"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*command, "train.max_steps=2"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "standard output" in done.stderr
    assert read_status(tmp_path)["state"] == "finished"


@pytest.mark.slow
def test_a_run_finishes_where_its_terminal_is_gone(cache, tmp_path):
    """Its progress bar and its log write there, which gives an error of another kind than a pipe without a reader."""
    reader, writer = os.openpty()
    termios.tcsetwinsize(writer, (24, 80))  # without a size there is no bar
    command = [sys.executable, "train.py", *TINY, f"cache_dir={cache}", f"hydra.run.dir={tmp_path}", "threads=1"]
    process = subprocess.Popen([*command, "watch.log_every=1"], cwd=ROOT, stdout=writer, stderr=writer)
    os.close(writer)
    deadline = time.monotonic() + 60
    while not (tmp_path / "metrics.jsonl").exists() or len(read_metrics(tmp_path)) < 5:
        assert time.monotonic() < deadline and process.poll() is None
        os.read(reader, 10_000)
    os.close(reader)
    assert process.wait(timeout=60) == 0
    assert read_status(tmp_path)["state"] == "finished"
    assert_complete(tmp_path)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_does_not_skip_the_writing(train_here, tmp_path, monkeypatch, second):
    """The system sends it where the first has no effect for some seconds, or a terminal is closed after Ctrl-C."""
    step, finish = loop.training_step, outputs.finish

    def signalled_step(run):
        if run.step == 3:
            signal.raise_signal(signal.SIGTERM)
        return step(run)

    def signalled_finish(*args):
        signal.raise_signal(second)
        finish(*args)
        signal.raise_signal(second)

    monkeypatch.setattr(loop, "training_step", signalled_step)
    monkeypatch.setattr(outputs, "finish", signalled_finish)
    train_here(tmp_path, "train.max_steps=10")
    assert (read_status(tmp_path)["state"], read_status(tmp_path)["step"]) == ("stopped", 4)
    assert_complete(tmp_path, hydra=False)


def test_a_second_ctrl_c_ends_at_once_with_a_valid_status_and_checkpoint(program, train, tmp_path, monkeypatch):
    def twice(*_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(outputs, "log_metrics", twice)
    done = train(f"hydra.run.dir={tmp_path}", "train.max_steps=10", "watch.log_every=4", "watch.checkpoint_every=3")
    assert done.returncode == 130 and "Traceback" not in done.stderr
    assert read_status(tmp_path)["state"] == "stopped" and checkpoint.load(tmp_path)["step"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_sampling_and_evaluation_without_a_traceback(program, train_here, tmp_path, monkeypatch, number):
    train_here(tmp_path, "train.max_steps=1")
    monkeypatch.setattr(build, "load_trained", lambda *_: signal.raise_signal(number))
    for name in ("sample.py", "gan.evaluate"):
        done = program(name, f"run={tmp_path}")
        assert (done.returncode, done.stderr) == (128 + number, "")


def test_a_folder_of_checkpoints_that_cannot_be_read_is_not_empty(tmp_path, monkeypatch):
    assert not jobs.has_checkpoint(tmp_path)
    (tmp_path / "checkpoints").symlink_to("checkpoints")  # leads nowhere
    with pytest.raises(OSError):
        jobs.has_checkpoint(tmp_path)


def hparams_of(folder):
    """What TensorBoard's HParams tab has of a run."""
    events = EventAccumulator(str(folder))
    events.Reload()
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    found = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}


def test_hparams_of_a_run_are_what_was_typed(train, tmp_path):
    """Not what all runs have; numbers as numbers, and null left out."""
    typed = ["model=mlp", "trick=[r1,instance_noise]", "seed=3", "train.max_steps=1", "watch.log_mean=false"]
    assert train(*typed, "watch.scores_every=null", "threads=1", f"hydra.run.dir={tmp_path}").returncode == 0
    found, names = hparams_of(tmp_path), {override.partition("=")[0] for override in [*TINY, *typed]}
    assert found.keys() == names
    assert found["model"] == "mlp" and found["trick"] == "[r1,instance_noise]" and found["seed"] == 3
    assert found["watch.log_mean"] is False


def test_hparams_of_a_run_without_settings_are_its_seed(monkeypatch):
    """TensorBoard shows no row without any."""
    hydra = {"job": {"config": {"override_dirname": {"exclude_keys": []}}}, "runtime": {"choices": {"model": "mlp"}}}
    hydra["overrides"] = {"task": ["threads=1", "train.max_steps=null"]}
    monkeypatch.setattr(jobs.HydraConfig, "get", lambda: OmegaConf.create(hydra))
    assert jobs.hparams(composed()) == {"seed": 0}


@pytest.mark.slow
def test_hparams_of_a_job_are_what_was_swept(train, tmp_path):
    """Whatever else was typed is the same in all of its jobs."""
    typed = ["trick=[r1],[]", "seed=3,4", "train.max_steps=1", "loss=hinge"]
    done = train("-m", *typed, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0
    assert hparams_of(tmp_path / "trick-r1_seed-4") == {"trick": "[r1]", "seed": 4}
    assert hparams_of(tmp_path / "trick-none_seed-3") == {"trick": "[]", "seed": 3}


def test_a_run_goes_on_from_the_command_line_with_its_images_in_another_folder(program, cache, tmp_path):
    (tmp_path / "here").mkdir()
    for number in range(8):
        Image.new("L", (8, 8), 30 * number).save(tmp_path / "here" / f"{number}.png")
    tiny = [text for text in TINY if "dataset" not in text]
    words = ["dataset=image_folder", f"dataset.path={tmp_path / 'here'}", f"cache_dir={cache}", "train.batch_size=4"]
    run = tmp_path / "run"
    done = program("train.py", *tiny, *words, f"hydra.run.dir={run}", "train.max_steps=2")
    assert done.returncode == 0, done.stderr
    (tmp_path / "here").rename(tmp_path / "there")
    moved = [f"resume={run}", f"dataset.path={tmp_path / 'there'}"]
    done = program("train.py", *moved, "train.max_steps=4")
    assert done.returncode == 0, done.stderr
    done = program("train.py", f"resume={run}", "train.max_steps=6")  # from then on it is known where they are
    assert done.returncode == 0 and read_status(run)["step"] == 6, done.stderr
    Image.new("L", (8, 8), 255).save(tmp_path / "there" / "3.png")
    done = program("train.py", f"resume={run}", "train.max_steps=8")
    assert done.returncode == 1 and done.is_clean_exit() and "the images differ" in done.stderr
