"""The exponential moving average of the generator."""

import pytest
import torch
from torch import nn

import gan
from gan.config.errors import ConfigError
from gan.training import loop
from gan.training.ema import EMA
from tests.conftest import NARROW


def test_the_decay_starts_small_and_buffers_are_copied():
    network = nn.BatchNorm1d(1)
    ema = EMA(network, decay=0.5)
    expected = 1.0
    for step, weight in enumerate((2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0), 1):
        with torch.no_grad():
            network.weight.fill_(weight)
            network.running_mean.fill_(weight)
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))  # 2/11, 3/12, ... and 0.5 from step 8 on
        expected = decay * expected + (1 - decay) * weight
        assert ema.network.weight.item() == pytest.approx(expected, rel=1e-5)
        assert ema.network.running_mean.item() == weight


def test_every_run_has_an_ema_by_default(make_run):
    run = make_run("trick=[r1]", "model.generator.norm=none", *NARROW["mlp"])
    assert run.ema.decay == 0.999 and run.sampling_generator() is run.ema.network is not run.generator
    assert run.state_dict()["ema"].keys() == run.generator.state_dict().keys()


def test_without_ema_samples_are_drawn_with_the_generator_itself(make_run):
    run = make_run("train.ema_decay=null", *NARROW["mlp"])
    assert run.ema is None and run.sampling_generator() is run.generator and run.state_dict()["ema"] is None


def test_the_ema_does_not_change_training(make_run):
    runs = [make_run(f"train.ema_decay={decay}", *NARROW["mlp"]) for decay in ("0.9", "null")]
    for _ in range(3):
        metrics = [loop.training_step(run) for run in runs]
        for run in runs:
            run.step += 1
            if run.ema:
                run.ema.update(run.step)
    assert metrics[0] == metrics[1]


def test_several_decays_give_what_each_gives_alone_and_one_is_chosen_when_the_run_is_opened(train_here, tmp_path):
    several, alone = tmp_path / "several", tmp_path / "alone"
    train_here(several, "train.ema_decay=[0.999,0.1]", "train.max_steps=20")
    train_here(alone, "train.ema_decay=0.1", "train.max_steps=20")
    first, second, itself = (gan.load(several, ema=ema) for ema in (True, 0.1, False))
    expected = gan.load(alone).generator.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second.generator.state_dict().items())
    parts = [torch.cat([weight.flatten() for weight in run.generator.parameters()]) for run in (first, second, itself)]
    assert not torch.equal(parts[0], parts[1]) and not torch.equal(parts[1], parts[2])
    assert torch.equal(first.sample(2), gan.load(several, ema=0.999).sample(2))


def test_a_decay_that_a_run_has_not_is_one_sentence(train_here, tmp_path):
    for decay in ("0.9", "null"):
        train_here(tmp_path / decay, f"train.ema_decay={decay}", "train.max_steps=2")
        with pytest.raises(ConfigError, match=r"ema=0\.5"):
            gan.load(tmp_path / decay, ema=0.5)


def test_several_emas_resume_to_the_bit(train_here, tmp_path):
    settings = ["train.ema_decay=[0.999,0.1]"]
    train_here(tmp_path / "unbroken", *settings, "train.max_steps=6")
    train_here(tmp_path / "resumed", *settings, "train.max_steps=3")
    train_here(tmp_path / "resumed", *settings, "train.max_steps=6", resume=True)
    one, other = (gan.load(tmp_path / name, ema=0.1).generator.state_dict() for name in ("unbroken", "resumed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_sample_py_and_the_model_card_name_the_decay(train, program, tmp_path):
    folder = tmp_path / "run"
    train(f"hydra.run.dir={folder}", "train.ema_decay=[0.999,0.5]", "train.max_steps=2")
    assert program("sample.py", f"run={folder}", "ema=0.5", "n=1").returncode == 0
    assert program("sample.py", f"run={folder}", "ema=0.5", "format=safetensors").returncode == 0
    assert (folder / "generated" / "grid_ema0.5_seed0_n1.png").exists()
    assert "EMA of decay 0.5" in (folder / "generated" / "generator_ema0.5.safetensors.md").read_text()
    wrong = program("sample.py", f"run={folder}", "ema=0.7")
    assert wrong.returncode == 1 and wrong.is_clean_exit() and "ema=0.7" in wrong.stderr


def test_a_decay_out_of_its_range_is_one_sentence(train, tmp_path):
    for decay in ("1.5", "[0.9,2]"):
        wrong = train(f"hydra.run.dir={tmp_path / 'run'}", f"train.ema_decay={decay}")
        assert wrong.returncode == 1 and wrong.is_clean_exit() and "train.ema_decay" in wrong.stderr
