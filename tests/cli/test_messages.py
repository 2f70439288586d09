"""A user's mistake gets one sentence and exit code 1, never a traceback."""

import json

import pytest
import torch
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from gan.cli import messages
from gan.config import check
from gan.config.errors import ConfigError
from gan.config.renamed import NEW_NAMES
from gan.data import digits
from tests.conftest import composed

# What is typed, and what the sentence must name: the setting, and options or limits.
TYPED = [
    (["model=foo"], ["model=foo", "dcgan_wide, linear, maxout, mlp"]),
    (["trick=[smothing]"], ["trick=smothing", "label_smoothing"]),
    (["optim.generator.lrr=1"], ["optim.generator.lrr", "betas"]),
    (["optim.generator.lr=abc"], ["optim.generator.lr=abc", "number"]),
    (["train.batch_size=0"], ["train.batch_size=0", "> 0"]),
    (
        ["train.batch_size=5000", "dataset.count=640", "dataset.limit=100"],
        ["train.batch_size=5000", "100 images"],
    ),
    (["train.epochs=-1"], ["train.epochs=-1", "> 0"]),
    (["dataset.image_size=7"], ["dataset.image_size=7", "8"]),
    (["dataset=mnist", "data_dir=/dev/null/x"], ["/dev/null/x/MNIST/raw", "dataset=digits"]),
    (["resume=nowhere"], ["resume=nowhere"]),
    (["hydra.run.dir=/proc/nothing"], ["/proc/nothing"]),
    (["hydra.run.dir=train.py/x"], ["train.py"]),
    (["foo"], ["foo"]),
    (["-m", "model=glob(nothing*)"], ["model=glob(nothing*)"]),
    (["dataset=5"], ["dataset=5", "digits"]),
    (["trick=null"], ["trick=null", "list"]),
    (["+trick=[r1]"], ["+trick=[r1]", "trick=[]"]),
    (["~model"], ["~model", "model=..."]),
    (["model=mlp,dcgan"], ["model=mlp,dcgan", "-m"]),
    (["resume="], ["resume=", "folder"]),
    (["-m", "resume=nowhere"], ["resume=", "-m"]),
    (["--nothing"], ["--nothing", "--help"]),
    (["watch.film_fps=3"], ["watch.film_fps was renamed to watch.gif_fps."]),
]
if not torch.cuda.is_available():
    TYPED.append((["device=cuda"], ["device=cuda", "cpu"]))

OF_SAMPLES = [
    (["run=nowhere"], ["nowhere"]),
    ([], ["run"]),
    (["run=tests"], ["tests", "checkpoint"]),
    (["run=tests", "n=0"], ["n=0", "> 0"]),
    (["run=tests", "format=jpg"], ["format=jpg", "'grid'"]),
    (["run=tests", "m=1"], ["m:", "seed"]),
    (["run=tests", "averaged=true"], ["averaged was renamed to ema."]),
]


def assert_one_sentence(done, *words):
    message = done.stderr.strip()
    assert done.returncode == 1, message
    assert "\n" not in message and message.endswith("."), message
    assert "Traceback" not in message and all(word in message for word in words), message


@pytest.fixture
def somewhere(tmp_path, cache):
    return [f"hydra.run.dir={tmp_path / 'run'}", f"cache_dir={cache}"]


@pytest.mark.parametrize(("arguments", "words"), TYPED, ids=lambda value: " ".join(value))
def test_a_mistake_on_the_command_line_gets_one_sentence(program, somewhere, tmp_path, arguments, words):
    if any("hydra.run.dir" in argument for argument in arguments):
        somewhere = somewhere[1:]
    assert_one_sentence(program("train.py", *arguments, *somewhere), *words)
    status = tmp_path / "run" / "status.json"
    if status.exists():
        outcome = json.loads(status.read_text())
        assert outcome["state"] == "refused" and words[0] in outcome["error"]


@pytest.mark.parametrize(("arguments", "words"), OF_SAMPLES, ids=lambda value: " ".join(value))
def test_a_mistake_in_the_settings_of_sample_gets_one_sentence(program, arguments, words):
    assert_one_sentence(program("sample.py", *arguments), *words)


def test_a_log_file_that_cannot_be_written_gets_one_sentence(program, somewhere, tmp_path):
    (tmp_path / "run" / "train.log").mkdir(parents=True)
    assert_one_sentence(program("train.py", *somewhere), "train.log")


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04" + b"0" * 99])
def test_a_damaged_checkpoint_gets_one_sentence(program, tmp_path, content):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").write_bytes(content)
    assert_one_sentence(program("sample.py", f"run={tmp_path}"), "last.pt")


def test_a_checkpoint_cannot_run_code_when_it_is_loaded(program, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    (tmp_path / "checkpoints").mkdir()
    torch.save({"config": Malicious()}, tmp_path / "checkpoints" / "last.pt")
    assert_one_sentence(program("sample.py", f"run={tmp_path}"), "last.pt")
    assert not (tmp_path / "owned").exists()


def test_gan_debug_shows_the_traceback(program, somewhere):
    done = program("train.py", *somewhere, "train.batch_size=0", GAN_DEBUG="1")
    assert "Traceback" in done.stderr and done.returncode == 1


def test_a_bug_shows_its_traceback_and_is_recorded(program, somewhere, tmp_path, monkeypatch):
    """A dataset whose loader breaks is not the user's mistake."""
    monkeypatch.setattr(digits, "draw_digits", lambda *_, **__: 1 / 0)
    done = program("train.py", *somewhere, "dataset.count=7")
    assert done.returncode == 1 and "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr
    outcome = json.loads((tmp_path / "run" / "status.json").read_text())
    assert outcome["state"] == "failed" and "division by zero" in outcome["error"]


def explained(*overrides):
    """The sentence for overrides that do not compose, or that the check finds wrong."""
    with pytest.raises((ConfigError, HydraException, OmegaConfBaseException)) as caught:
        check.check_config(composed(*overrides))
    return str(caught.value) if caught.type is ConfigError else messages.explain_error(caught.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trick.r1.gamma=1"], "trick.r1: needs trick=[r1]"),
        (["trick=[r1]", "trick.r1.gama=1"], "gama"),
        (["trick.r3.gamma=1"], "trick.r3: no such setting"),
    ],
)
def test_a_number_of_a_trick_needs_the_trick(program, overrides, words):
    done = program("train.py", *overrides)
    assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1


def test_an_old_value_of_features_is_answered_with_the_new_one(program, tmp_path):
    done = program("gan.evaluate", f"run={tmp_path}", "features=own")
    assert done.returncode == 1 and "features=classifier" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("old", [name for name in NEW_NAMES if "." in name])
def test_a_renamed_setting_is_called_by_its_new_name(old):
    """Typed as `name=value`; and in a YAML file of the user's own, which is what `++name=value` does."""
    trick = old.split(".")[1] if old.startswith("trick.") else None
    option = {"model": ["model=maxout"], "optim": ["optim=goodfellow2014"]}.get(old.split(".")[0], [])
    sentence = f"{old} was renamed to {NEW_NAMES[old]}."
    if trick != "ema":
        assert explained(f"{old}=1", *option) == sentence
        chosen = [f"trick=[{trick}]"] if trick else option
        assert explained(f"++{old}=1", *chosen) == sentence
    assert messages.explain_error(HydraException(f"Could not override '{old}'.\nMore.")) == sentence


def test_the_ema_trick_is_now_a_setting():
    for error in (MissingConfigException("", "trick/ema"), MissingConfigException("", "trick/ema", ["r1"])):
        sentence = messages.explain_error(error)
        assert "train.ema_decay" in sentence and sentence.startswith("trick=ema was replaced")


@pytest.mark.parametrize("name", ["hidden.a", "hidden.a.b", "hidden.7"])
def test_a_name_in_a_list_is_no_setting(program, name):
    done = program("train.py", "model=mlp", f"model.generator.{name}=1")
    assert done.returncode == 1 and done.is_clean_exit() and f"model.generator.{name}" in done.stderr
