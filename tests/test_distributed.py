"""One run by two processes: what one process would have made of the same batches, up to rounding."""

import shutil
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from PIL import Image

from gan.config.errors import ConfigError
from gan.system import distributed, files, rank, status
from tests import forked
from tests.conftest import ROOT, TINY, same_weights, weights

BATCH_NORM = ["model=dcgan", "model.generator.width=4", "model.discriminator.width=4", "dataset.image_size=16"]
SETTINGS = {  # each without dropout, which each process draws for itself
    "BatchNorm in both": [*BATCH_NORM, "train.reuse_fakes=true", "trick=[]"],
    "penalties, classes, both at once": [
        *("model.discriminator.dropout=0", "trick=[r1,r2,conditional]", "loss=relativistic"),
        "train.update=simultaneous",
    ],
}
FIXED = [*TINY[:3], "optim=sgd", "train.max_steps=6", "watch.log_every=3", "watch.samples=4", "threads=1"]
SMALL = [setting for setting in TINY if "hidden" in setting]


def shared(*arguments: str) -> str:
    """Train with two processes. Returns what they said."""
    done = forked.together(2, "train.py", *arguments)
    assert all(each.returncode == 0 for each in done), done
    return "".join(each.stdout for each in done)


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_processes_train_as_one(program, cache, tmp_path, setting):
    small = SMALL if setting != next(iter(SETTINGS)) else []
    settings = [*FIXED, *small, *SETTINGS[setting], f"cache_dir={cache}"]
    alone = program("train.py", *settings, f"hydra.run.dir={tmp_path / 'alone'}")
    assert alone.returncode == 0, alone.stderr
    done = shared(*settings, f"hydra.run.dir={tmp_path / 'shared'}")
    assert done.count("Finished after 6 steps") == 1
    one, two = weights(tmp_path / "alone"), weights(tmp_path / "shared")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor.double(), two[name].double(), rtol=1e-4, atol=2e-5), name
    rows = [files.read_rows(tmp_path / name / "metrics.jsonl") for name in ("alone", "shared")]
    assert [row["step"] for row in rows[1]] == [3, 6]
    for a, b in zip(*rows, strict=True):
        assert all(a[name] == pytest.approx(b[name], rel=1e-3, abs=1e-4) for name in a if "/" in name)
    assert status.read(tmp_path / "shared")["state"] == "finished"
    with Image.open(tmp_path / "shared" / "samples" / "step_0000006.png") as grid:
        assert grid.width > 0


def test_a_shared_run_goes_on_to_the_same_bits(cache, tmp_path):
    """With dropout and tricks that draw, in each process from its own stream."""
    settings = [*FIXED, *SMALL, "optim=adam", "trick=[instance_noise,soft_labels]", f"cache_dir={cache}"]
    shared(*settings, f"hydra.run.dir={tmp_path / 'whole'}")
    shared(*settings, f"hydra.run.dir={tmp_path / 'part'}", "train.max_steps=3")
    shared(f"resume={tmp_path / 'part'}", "train.max_steps=6")
    assert same_weights(tmp_path / "whole", tmp_path / "part")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["hydra.mode=MULTIRUN"], "a sweep cannot be shared by several processes"),
        (["-m", "seed=1,2"], "a sweep cannot be shared by several processes"),
        (["resume=RUN", "train.max_steps=6"], "is finished: it has made 6 steps and should make 6"),
        (["resume=RUN", "train.max_steps=7"], "holds no checkpoint"),
        (["hydra.run.dir=RUN", "seed=1"], "holds a run: resume="),
        (["dataset=image_folder", "dataset.path=nowhere"], "dataset.path=nowhere does not exist"),
    ],
)
def test_what_all_processes_refuse_the_first_one_says(cache, tmp_path, asked, said):
    few = [*FIXED, *SMALL, f"cache_dir={cache}"]
    if "=RUN" in asked[0]:
        shared(*few, f"hydra.run.dir={tmp_path / 'run'}")
        few = few if "hydra" in asked[0] else []
        if "no checkpoint" in said:
            shutil.rmtree(tmp_path / "run" / "checkpoints")
    else:
        few = [setting for setting in few if "dataset" not in setting or "image_folder" not in asked[0]]
        few += [f"hydra.run.dir={tmp_path / 'run'}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = forked.together(
        2,
        "train.py",
        *few,
        *(each.replace("RUN", str(tmp_path / "run")) if "=RUN" in each else each for each in asked),
    )
    assert [each.returncode for each in done] == [1, 1], done
    assert said in done[0].stderr and not done[1].stderr and "\n" not in done[0].stderr.strip()


def test_torchrun_starts_it(cache, tmp_path):
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"]
    settings = [*FIXED, *SMALL, f"cache_dir={cache}", f"hydra.run.dir={tmp_path}"]
    done = subprocess.run([*line, *settings], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and done.stdout.count("Finished after 6 steps") == 1, done.stderr
    assert status.read(tmp_path)["state"] == "finished"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["trick=[minibatch_stddev]"], "trick=\\[minibatch_stddev\\] is not possible with several processes"),
        (["compile=true"], "compile=true is not possible with several processes"),
        (["train.batch_size=16"], "train.batch_size=16 cannot be shared by 3 processes"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(make_run, monkeypatch, asked, said):
    for module in (rank, distributed):
        monkeypatch.setattr(module, "WORLD_SIZE", 3)
    monkeypatch.setattr(distributed, "rank_zero_first", nullcontext)
    with pytest.raises(ConfigError, match=said):
        make_run("train.batch_size=12", *asked)
