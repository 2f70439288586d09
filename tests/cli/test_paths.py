"""Paths that users of sample.py and gan.evaluate type."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gan.cli import paths
from gan.config.errors import ConfigError
from gan.config.schema import Sampling
from gan.system import status

REQUEST = Sampling.model_construct(
    run="RUN", n=64, checkpoint="last", ema=True, class_=None, seed=0, truncation=1.0, format=None, out=None
)
DEFAULT = "RUN/generated/grid_seed0_n64.png"


def chosen(kind, out):
    settings = paths.choose_output(REQUEST.model_copy(update={"format": kind, "out": out}), Path("RUN"))
    return settings.format, settings.out


@pytest.mark.parametrize(
    ("kind", "out", "expected"),
    [
        (None, None, ("grid", DEFAULT)),
        (None, "", ("grid", DEFAULT)),
        ("npz", None, ("npz", "RUN/generated/npz_seed0_n64.npz")),
        ("png", None, ("png", "RUN/generated/png_seed0_n64")),
        ("interpolation", None, ("interpolation", "RUN/generated/interpolation_seed0_n64.gif")),
        ("gif", None, ("gif", "RUN/generated/gif_seed0_n64.gif")),
        ("onnx", None, ("onnx", "RUN/generated/generator.onnx")),
        ("torchscript", None, ("torchscript", "RUN/generated/generator.pt")),
        ("safetensors", "new/", ("safetensors", "new/generator.safetensors")),
        ("explorer", None, ("explorer", "RUN/generated/explorer.html")),
        (None, "x.html", ("explorer", "x.html")),
        ("npz", "x", ("npz", "x.npz")),
        ("grid", "x", ("grid", "x.png")),
        ("gif", "x", ("gif", "x.gif")),
        ("interpolation", "x", ("interpolation", "x.gif")),
        ("interpolation", "x.gif", ("interpolation", "x.gif")),
        ("torchscript", "x", ("torchscript", "x.pt")),
        ("png", "x", ("png", "x")),
        ("png", "my.images", ("png", "my.images")),
        (None, "x", ("grid", "x.png")),
        (None, "x.npz", ("npz", "x.npz")),
        (None, "x.gif", ("gif", "x.gif")),
        (None, "x.onnx", ("onnx", "x.onnx")),
        (None, "x.safetensors", ("safetensors", "x.safetensors")),
        (None, "X.PNG", ("grid", "X.PNG")),
        ("interpolation", "x.png", ("interpolation", "x.png")),
        ("npz", "lr0.01", ("npz", "lr0.01.npz")),
        (None, "new/", ("grid", "new/grid_seed0_n64.png")),
        ("png", "new/", ("png", "new")),
        ("npz", "/dev/null", ("npz", "/dev/null")),
    ],
)
def test_an_ending_decides_on_the_format_and_a_missing_one_is_added(kind, out, expected):
    assert chosen(kind, out) == expected


@pytest.mark.parametrize(
    ("kind", "out", "named"),
    [
        ("grid", "x.npz", r"x\.npz.*\.png.*format=npz"),
        ("grid", "x.gif", r"x\.gif.*\.png.*format=gif"),
        ("gif", "x.png", r"x\.png.*\.gif.*format=grid"),
        ("onnx", "x.pt", r"x\.pt.*\.onnx"),
        ("npz", "x.png", r"x\.png.*\.npz.*format=grid"),
        ("interpolation", "x.npz", r"x\.npz.*\.gif or \.png.*format=npz"),
        ("png", "x.png", r"x\.png.*folder.*format=grid"),
        (None, "x.jpg", r"x\.jpg.*\.png"),
        (None, "checkpoints/last.pt", r"last\.pt"),
    ],
)
def test_an_ending_of_another_format_is_a_config_error(kind, out, named):
    with pytest.raises(ConfigError, match=f"out=.*{named}"):
        chosen(kind, out)


@pytest.mark.parametrize("kind", paths.EXPORTS)
@pytest.mark.parametrize("setting", [{"class_": 3}, {"truncation": 0.5}])
def test_a_generator_in_a_file_has_no_class_and_no_truncation(kind, setting):
    name = next(iter(setting)).rstrip("_")
    with pytest.raises(ConfigError, match=rf"^{name}=.*format={kind}"):
        paths.choose_output(REQUEST.model_copy(update={"format": kind} | setting), Path("RUN"))


def test_a_name_says_how_images_were_generated():
    settings = {"checkpoint": "best", "ema": False, "class_": "a b", "truncation": 0.7, "seed": 2, "n": 9}
    request = REQUEST.model_copy(update=settings)
    assert paths.sample_name(request, "npz") == "npz_best_no-ema_classa_b_truncation0.7_seed2_n9"
    assert paths.sample_name(request, "onnx") == "generator_best_no-ema"


def test_samples_go_into_a_folder_that_exists_and_into_the_home_folder(tmp_path, monkeypatch):
    assert chosen("npz", str(tmp_path)) == ("npz", f"{tmp_path}/npz_seed0_n64.npz")
    assert chosen("png", str(tmp_path)) == ("png", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert chosen(None, "~/x") == ("grid", f"{tmp_path}/x.png")
    with pytest.raises(ConfigError, match="~no-such-user"):
        chosen(None, "~no-such-user/x")


@pytest.mark.parametrize(
    "text", ["~/x", "my file", "Übung", "a=b", "a,b", "x[1]", "x(1)", "2026", "true", "1e-3", "it's"]
)
def test_a_path_is_taken_as_it_stands(text):
    (read,) = paths.read_arguments([f"out={text}"], ["out"])
    assert OverridesParser.create().parse_override(read).value() == text


@pytest.mark.parametrize(
    "argument", ["out=null", "out=x.png", "out='a b'", "run=[a,b]", "seed=[1,2]", "n=4", "--cfg", "x"]
)
def test_other_arguments_stay_as_they_are(argument):
    assert paths.read_arguments([argument], ["run", "out"]) == [argument]


@pytest.mark.parametrize("argument", ["-m", "--multirun", "seed=1,2", "seed=range(3)"])
def test_a_sweep_is_a_config_error(argument):
    with pytest.raises(ConfigError, match=argument.partition("(")[0]):
        paths.read_arguments(["run=RUN", argument], ["run"])


@pytest.fixture
def runs(tmp_path):
    """A sweep of three runs, of which one failed before its first checkpoint."""
    for name in ("b", "a"):
        (tmp_path / "sweep" / name / "checkpoints").mkdir(parents=True)
        (tmp_path / "sweep" / name / "checkpoints" / "last.pt").touch()
    (tmp_path / "sweep" / "c").mkdir()
    status.update(tmp_path / "sweep" / "c", state="failed", error="the disk is full.")
    return tmp_path


def test_a_run_is_found_by_any_path_to_it(runs, monkeypatch):
    monkeypatch.chdir(runs)
    monkeypatch.setenv("HOME", str(runs))
    for text in ("sweep/a", "sweep/a/", f"{runs}/sweep/a", "~/sweep/a", "./sweep/../sweep/a"):
        assert paths.find_run(text).resolve() == runs / "sweep" / "a"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sweep/a/checkpoints/last.pt", r"run=\S+/sweep/a\."),
        ("sweep/a/checkpoints/best.pt", r"run=\S+/sweep/a checkpoint=best\."),
        ("sweep/a/checkpoints", r"run=\S+/sweep/a\."),
        ("sweep/a/samples", r"run=\S+/sweep/a\."),
        ("sweep", r"2 below it: a, b; type run=sweep/a\."),
        ("", r"sweep/a, sweep/b; type run=sweep/a\."),
        ("sweep/c", "failed: the disk is full"),
        ("nowhere", "does not exist"),
        ("file", "is not a folder"),
        ("empty", "has no checkpoint"),
    ],
)
def test_what_is_no_run_is_a_config_error_that_says_what_is_there(runs, monkeypatch, text, named):
    monkeypatch.chdir(runs)
    (runs / "file").touch()
    (runs / "empty").mkdir()
    with pytest.raises(ConfigError, match=f"^run={text}: .*{named}"):
        paths.find_run(text)


def test_a_run_that_did_not_finish_is_described_with_its_state(runs):
    assert paths.describe_run(runs / "sweep" / "a") == f"{runs}/sweep/a"  # of which nothing is known
    assert paths.describe_run(runs / "sweep" / "c") == f"{runs}/sweep/c (failed at step 0)"


def test_the_programs_take_any_path(train_here, program, tmp_path):
    run = tmp_path / "Übung, 1=a [x]"
    train_here(run, "train.max_steps=1")
    done = program("sample.py", f"run={run}/", "n=1", f"out={tmp_path}/a b", "device=cpu")
    assert done.returncode == 0 and (tmp_path / "a b.png").is_file(), done.stderr
    for name, arguments in (("sample.py", []), ("gan.evaluate", ["n=100"])):
        done = program(name, f"run={run}/checkpoints/last.pt", *arguments)
        assert done.returncode == 1 and done.is_clean_exit() and str(run) in done.stderr
