"""The path of a run on the Dirac-GAN, and what its figure says."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan.cli.overrides import with_steps_alone
from gan.config import check
from gan.system import status
from gan.training import build, dirac_path, loop
from gan.training.dirac import classify_step
from gan.training.resume import resume as resume_run
from tests.conftest import composed


@pytest.fixture
def train_dirac(cache):
    """A run of a set-up in a folder, with a few points."""

    def call(folder, *overrides, experiment="toy/dirac", resume=False):
        few = ["device=cpu", "dataset.count=20", "train.batch_size=16", "watch.samples_every=100"]
        chosen = [f"experiment={experiment}", *few, f"cache_dir={cache}", *with_steps_alone(list(overrides))]
        cfg = composed(*chosen)
        run = build.build_run(cfg, check.check_config(cfg), {})
        if resume:
            resume_run(run, folder)
        loop.train(run, folder)
        return run

    return call


@pytest.fixture
def drawn(monkeypatch):
    """What `draw_dirac` was called with, by name, for each figure."""
    calls, names = [], ("path", "trajectory", "field", "eigenvalues", "verdict", "expected", "title")
    monkeypatch.setattr(
        dirac_path, "draw_dirac", lambda *given, **more: calls.append(dict(zip(names, given, strict=True)) | more)
    )
    monkeypatch.setattr("gan.training.logger.RunLogger.log_grid", lambda *_: None)
    return calls


def test_a_run_writes_its_figure_also_for_tensorboard(train_dirac, tmp_path):
    train_dirac(tmp_path, "train.max_steps=5")
    with Image.open(tmp_path / "figures" / "dirac.png") as image:
        assert image.width > 300
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [image.step for image in events.Images("dirac")] == [5]


def test_the_path_has_the_weights_of_every_step(train_dirac, tmp_path, drawn):
    run = train_dirac(tmp_path, "train.max_steps=30")
    (figure,) = drawn
    path = figure["trajectory"]
    assert path.shape == (31, 2) and path[0].tolist() == [1, 1]
    assert path[-1].tolist() == [player.parameters[0].item() for player in run.players]
    game = dirac_path.make_game(run)
    for before, after in itertools.pairwise(path):
        state = torch.tensor(before, requires_grad=True)
        assert game.move(state).detach().numpy() == pytest.approx(after, abs=1e-6)


CASES = {  # overrides of toy/dirac: by eigenvalues, by the run, by the paper
    "none": ([], "circles", "circles", "does not converge"),
    "simultaneous": (["train.update=simultaneous"], "diverges", "diverges", "does not converge"),
    "r1": (["trick=[r1]", "trick.r1.gamma=0.3"], "converges", "converges", "converges"),
    "penalty with a kink": (
        ["loss=wasserstein", "trick=[wgan_gp]", "trick.wgan_gp.weight=0.35"],
        *(None, "circles", "does not converge"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_figure_has_eigenvalues_verdict_and_theory(train_dirac, tmp_path, drawn, name):
    overrides, by_eigenvalues, by_run, by_paper = CASES[name]
    train_dirac(tmp_path, *overrides, "train.max_steps=200", "watch.log_every=200")
    (figure,) = drawn
    found = figure["eigenvalues"]
    assert (None if found is None else classify_step(found)) == by_eigenvalues
    assert (figure["verdict"], figure["expected"]) == (by_run, by_paper)
    findings = status.read(tmp_path)["findings"]
    assert [findings[f"dirac/{each}"] for each in ("path", "step", "paper")] == [by_run, by_eigenvalues, by_paper]
    pairs = None if found is None else [[each.real, each.imag] for each in found]
    assert findings["dirac/eigenvalues"] == pairs


def test_of_noise_that_has_faded_the_theory_is_that_of_the_start(train_dirac, tmp_path, drawn):
    noise = ["trick=[instance_noise]", "trick.instance_noise.std=0.7", "trick.instance_noise.fade_steps=2"]
    train_dirac(tmp_path, *noise, "train.max_steps=4")
    assert classify_step(drawn[0]["eigenvalues"]) == "converges"


def test_a_run_that_becomes_infinite_diverges(train_dirac, tmp_path, drawn):
    train_dirac(tmp_path, "loss=hinge", "optim.generator.lr=1e30", "train.update=simultaneous", "train.max_steps=20")
    assert status.read(tmp_path)["state"] == "diverged" and drawn[0]["verdict"] == "diverges"
    assert status.read(tmp_path)["findings"]["dirac/path"] == "diverges"


def test_eigenvalues_that_are_not_finite_are_none():
    assert dirac_path.describe_eigenvalues(np.array([np.nan, 1.0])) == {"step": None, "eigenvalues": None}


@pytest.mark.parametrize(
    ("overrides", "has_field"),
    [
        (["optim.generator.momentum=0.5"], True),
        (["optim.discriminator.momentum=0.5"], True),
        (["optim.generator.weight_decay=0.1"], True),
        (["trick=[r1]", "trick.r1.every=4"], False),
        (["trick=[lecam]"], False),
        (["trick=[unrolled]"], False),
        (["trick=[replay]"], False),
    ],
    ids=str,
)
def test_where_theory_does_not_hold_the_path_stands_alone(train_dirac, tmp_path, drawn, overrides, has_field):
    train_dirac(tmp_path, *overrides, "train.max_steps=3")
    (figure,) = drawn
    assert figure["eigenvalues"] is None and figure["expected"] is None and figure["why_none"]
    assert figure["field"](np.ones((2, 2))).any() == has_field


def test_a_resumed_run_draws_its_path_from_there(train_dirac, tmp_path, drawn):
    train_dirac(tmp_path, "train.max_steps=5")
    train_dirac(tmp_path, "train.max_steps=8", resume=True)
    first, second = (figure["trajectory"] for figure in drawn)
    assert (len(first), len(second)) == (6, 4) and (second[0] == first[-1]).all()
    assert "steps 5 to 8" in drawn[1]["title"]


def test_a_run_without_another_step_keeps_its_figure(train_dirac, tmp_path, drawn):
    train_dirac(tmp_path, "train.max_steps=5")
    status.update(tmp_path, state="running")  # it was killed after its last checkpoint
    train_dirac(tmp_path, "train.max_steps=5", resume=True)
    assert len(drawn) == 1


def test_of_a_long_run_evenly_spaced_steps_are_kept(train_dirac, tmp_path, drawn, monkeypatch):
    train_dirac(tmp_path / "all", "train.max_steps=20")
    monkeypatch.setattr(dirac_path, "KEPT_STEPS", 7)
    train_dirac(tmp_path / "some", "train.max_steps=20")
    every, some = (figure["trajectory"] for figure in drawn)
    assert (some == every[::3]).all()


@pytest.mark.parametrize(
    "overrides",
    [
        ["dataset=gaussian1d"],  # its equilibrium is not at 0
        ["dataset=ring8"],  # two weights each
        ["model=points"],
        ["trick=[spectral_norm]"],  # psi is not the gradient of D
    ],
    ids=str,
)
def test_another_game_has_no_such_figure(train_dirac, tmp_path, overrides):
    train_dirac(tmp_path, *overrides, "train.max_steps=2")
    assert not (tmp_path / "figures" / "dirac.png").exists() and not status.read(tmp_path)["findings"]


def test_keeping_the_path_changes_nothing_of_the_run(train_dirac, tmp_path, monkeypatch):
    noise = ["trick=[instance_noise]", "train.max_steps=6"]
    kept = train_dirac(tmp_path / "kept", *noise)
    monkeypatch.setattr(dirac_path, "follow", lambda run: None)
    plain = train_dirac(tmp_path / "plain", *noise)
    weights = [[player.parameters[0].item() for player in run.players] for run in (kept, plain)]
    assert weights[0] == weights[1]
