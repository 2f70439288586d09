"""Random command lines and damaged run folders either run or get one sentence: no traceback, no hang."""

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as some
from omegaconf import OmegaConf

from gan.config.comparison import flatten
from gan.system import status
from gan.training import checkpoint
from tests import forked
from tests.conftest import TINY, composed, options
from tests.damage import damaged, damages

STRANGE = [
    *("", "0", "-1", "1", "2", "7", "0.5", "-0.1", "1e400", "1e-400", "nan", "inf", "-inf", "99999999999", "1" * 40),
    *("true", "null", "abc", "'quoted'", "'", "é", "a b", "a=b", "%s", "None", "1 epoch", "0 epochs", "epochs"),
    *("[]", "[1]", "[a,b]", "[[1]]", "[", "{}", "{a: 1}", "{_target_: os.system}", "{_target_: gan.losses.Hinge}"),
    *(
        "${seed}",
        "${nothing}",
        "${oc.env:NOTHING}",
        "${trick.r1.gamma}",
        "${train}",
        "${",
        "1,2",
        "range(3)",
        "glob(*)",
    ),
    *("..", "/dev/null", "/proc/self/mem", "/", "a/b/c", "x" * 300),
]
EXCLUDED = {"train.max_steps", "train.epochs", "data_dir", "cache_dir"}  # they make a run long, or start a download
GROUPS = ("model", "optim", "loss", "trick", "experiment")


def names() -> list[str]:
    """Every setting of the default run, some that do not exist, and some of Hydra."""
    settings = flatten(OmegaConf.to_container(composed())).keys()
    return [*sorted(settings - EXCLUDED), "nothing", "train.nothing", "hydra.run.dir", "hydra.job.name", "hydra.mode"]


settings_of_runs = some.builds(
    "{}{}={}".format,
    some.sampled_from(["", "", "", "", "+", "++", "~"]),
    some.sampled_from(names()),
    some.one_of(
        some.sampled_from(STRANGE),
        some.integers(-3, 300).map(str),
        some.floats(allow_nan=False).map(str),
        some.text(max_size=8),
    ),
)
choices_of_groups = some.sampled_from(GROUPS).flatmap(
    lambda group: some.one_of(some.sampled_from(options(group) or ["modern"]), some.sampled_from(STRANGE)).map(
        lambda option: f"{group}={option}"
    )
)
tricks = some.lists(some.sampled_from(options("trick")), max_size=3).map(lambda chosen: f"trick=[{','.join(chosen)}]")
flags = some.sampled_from(["-m", "--multirun", "-c", "--cfg", "job", "--info", "--help", "-x", "--nothing", "-", "--"])
words = some.text(some.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
arguments = some.lists(some.one_of(settings_of_runs, choices_of_groups, tricks, flags, words), min_size=1, max_size=3)


@given(arguments)
def test_any_command_line_runs_or_gets_one_sentence(cache, arguments):
    plain = [argument.replace("\0", "") for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        outcome = forked.run(
            "train.py", *TINY, "train.max_steps=2", "threads=1", f"cache_dir={cache}", *plain, folder=Path(folder)
        )
    event(f"exit code {outcome.returncode}")  # counted by --hypothesis-show-statistics
    assert outcome.is_clean_exit(), (plain, outcome.returncode, outcome.stderr)


OF_SAMPLES = [
    "run",
    "n",
    "checkpoint",
    "class",
    "seed",
    "format",
    "out",
    "batch_size",
    "device",
    "frames",
    "fps",
    "truncation",
    "output",
    "nothing",
]
sampling_arguments = some.lists(
    some.builds(
        "{}={}".format,
        some.sampled_from(OF_SAMPLES),
        some.sampled_from([*STRANGE, "npz", "png", "gif", "onnx", "torchscript", "0.5"]),
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cache):
    """A small run of six steps."""
    folder = tmp_path_factory.mktemp("trained")
    few = [*TINY, "train.max_steps=6", "threads=1", f"cache_dir={cache}"]
    outcome = forked.run("train.py", *few, "hydra.run.dir=run", folder=folder)
    assert outcome.returncode == 0, outcome.stderr
    return folder / "run"


@given(sampling_arguments)
@pytest.mark.slow
def test_any_settings_of_sample_give_images_or_one_sentence(trained, arguments):
    with tempfile.TemporaryDirectory() as folder:
        outcome = forked.run("sample.py", f"run={trained}", "out=samples", *arguments, folder=Path(folder))
    event(f"exit code {outcome.returncode}")
    assert outcome.is_clean_exit(), (arguments, outcome.returncode, outcome.stderr)


@given(some.data())
def test_a_damaged_checkpoint_is_read_unchanged_or_not_at_all(trained, data):
    content = checkpoint.path_in(trained).read_bytes()
    damaged_content = damaged(content, data.draw(damages(len(content))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.pt"
        path.write_bytes(damaged_content)
        state, intact = checkpoint.read(path), checkpoint.read(checkpoint.path_in(trained))
    event("read" if state else "not read")
    assert state is None or repr(state) == repr(intact)
    assert state is None or all(
        torch.equal(state["generator"][name], intact["generator"][name]) for name in intact["generator"]
    )


FILES = ["status.json", "metrics.jsonl", ".hydra/overrides.yaml", ".hydra/config.yaml", "checkpoints/last.pt", ".lock"]
junk = some.one_of(
    some.binary(max_size=40),
    some.sampled_from([b"[]", b"{}", b"null", b'{"state": 1}', b"- a\n- b=c", b'"x"', b"[1]\n{}"]),
)


@given(some.sampled_from(FILES), some.one_of(some.none(), junk), some.data())
@pytest.mark.slow
def test_a_run_with_a_damaged_file_resumes_or_gets_one_sentence(trained, name, content, data):
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(trained, run)
        before = (run / name).read_bytes()
        (run / name).write_bytes(damaged(before, data.draw(damages(len(before)))) if content is None else content)
        outcome = forked.run("train.py", f"resume={run}", "train.max_steps=8", folder=Path(folder))
        event(f"{name}: exit code {outcome.returncode}")
        if outcome.returncode == 0:
            assert status.read(run)["state"] == "finished" and checkpoint.load(run)["step"] == 8
    assert outcome.is_clean_exit(), (name, content, outcome.returncode, outcome.stderr)
