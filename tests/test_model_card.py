"""The model card beside an exported generator: how to load it, what it was trained on, and its scores."""

import json
import re

import numpy as np
import pytest
import torch
import yaml

from gan.config.schema import Sampling
from gan.export import export_generator
from gan.model_card import write_card
from gan.system import files
from gan.training import build, checkpoint

CPU = torch.device("cpu")
RECORD = {
    "dataset": "digits-1234",
    "features": "digits-9",
    "accuracy": 0.9,
    "generated": 100,
    "real": 200,
    "split": "test",
}
FORMATS = {"onnx": "x.onnx", "torchscript": "x.pt", "safetensors": "x.safetensors"}


def request(path, kind, **changes):
    settings = {"checkpoint": "last", "ema": True, "format": kind, "output": "uint8", "out": str(path)}
    return Sampling.model_construct(**(settings | changes))


def card_of(run_folder, path, kind="safetensors", **changes):
    """The card of a run's generator, without its file."""
    run = build.load_trained(run_folder, "last", True, CPU)
    return write_card(run, run_folder, request(path, kind, **changes), "none").read_text("utf-8")


def blocks(card):
    """The fenced blocks of a card, by language."""
    return {language: text for _, language, text in re.findall(r"^(`{3,})(\w+)\n(.*?)\n\1$", card, re.M | re.S)}


def section(card, title):
    return card.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip()


@pytest.mark.parametrize(
    ("kind", "noise", "tricks"),
    [
        ("onnx", "normal", "[]"),
        ("onnx", "sphere", "[conditional]"),
        ("torchscript", "uniform", "[]"),
        ("torchscript", "sphere", "[conditional]"),
        ("safetensors", "normal", "[conditional]"),
        ("safetensors", "uniform", "[]"),
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:FutureWarning")
def test_the_code_of_a_card_loads_the_file_and_generates_images(train_here, tmp_path, monkeypatch, kind, noise, tricks):
    train_here(tmp_path / "run", "train.max_steps=1", f"noise.kind={noise}", "noise.dim=12", f"trick={tricks}")
    path, run = tmp_path / FORMATS[kind], build.load_trained(tmp_path / "run", "last", True, CPU)
    export_generator(run, kind, "uint8", path)
    code = blocks(card_of(tmp_path / "run", path, kind))["python"]
    assert len(code.splitlines()) <= 8
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    images, drawn = np.asarray(names["images"]), names["noise"]
    assert images.shape == (16, 1, 28, 28) and images.dtype == (np.float32 if kind == "safetensors" else np.uint8)
    own = run.noise.sample(4000, torch.Generator().manual_seed(0)).numpy()
    assert drawn.shape == (16, 12) and drawn.std() == pytest.approx(1, abs=0.3)
    assert noise == "normal" or np.abs(drawn).max() <= np.abs(own).max() + 1e-3
    assert noise != "sphere" or np.allclose((drawn**2).sum(1), 12, rtol=1e-4)


def test_a_card_says_what_the_generator_is_and_what_it_was_trained_on(train_here, tmp_path):
    train_here(tmp_path / "run", "train.max_steps=2", "noise.dim=12", "trick=[conditional]")
    (tmp_path / "run" / ".hydra").mkdir()
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text("- trick=[conditional]\n- cache_dir=x\n")
    card = card_of(tmp_path / "run", tmp_path / "x.onnx", "onnx")
    assert (tmp_path / "x.onnx.md").read_text("utf-8") == card and card.startswith("---\nlicense: unknown\n")
    for text in ("noise` float32 (N, 12)", "labels` int64 (N,), from 0 to 9", "uint8, from 0 to 255, (N, 1, 28, 28)"):
        assert text in card
    assert "EMA, after 2 steps" in card and "640 images of 28x28x1" in card and re.search(r"license \| unknown", card)
    found = blocks(card)
    assert found["bash"] == "python train.py 'trick=[conditional]'"
    config = checkpoint.parse_config(checkpoint.load(tmp_path / "run")["config"])
    assert yaml.safe_load(found["yaml"]).items() <= config.items() and "cache_dir" not in found["yaml"]
    assert "float32, from -1 to 1" in card_of(tmp_path / "run", tmp_path / "x.onnx", "onnx", output="float")


def test_a_run_for_which_no_setting_was_typed_has_a_command_and_the_license_is_what_is_chosen(train_here, tmp_path):
    train_here(tmp_path / "run", "train.max_steps=1")
    (tmp_path / "run" / ".hydra").mkdir()
    for content, command in (("[]", "python train.py"), ("a: 1", None)):
        (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text(content)
        assert blocks(card_of(tmp_path / "run", tmp_path / "x")).get("bash") == command
    run = build.load_trained(tmp_path / "run", "last", True, CPU)
    card = write_card(run, tmp_path / "run", request(tmp_path / "x", "safetensors"), "none", "mit").read_text("utf-8")
    assert card.startswith("---\nlicense: mit\n") and re.search(r"license \| mit", card)


def test_a_card_has_the_scores_of_this_very_generator(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=2")
    assert "None" in section(card_of(tmp_path, tmp_path / "x"), "Scores")
    evaluations = [
        {"step": step, "checkpoint": which, "ema": ema, "scores": {"fid_digits": {"mean": mean, "spread": spread}}}
        | RECORD
        for step, which, ema, mean, spread in [
            (1, "last", True, 1.25, None),
            (2, "best", True, 2.25, None),
            (2, "last", False, 3.25, None),
            (2, "last", True, 4.25, 0.5),
        ]
    ]
    (tmp_path / "scores.json").write_text(json.dumps(evaluations))
    found = section(card_of(tmp_path, tmp_path / "x"), "Scores")
    assert re.search(r"fid_digits \| lower \| 4\.25 ± 0\.50 \|", found) and "100 generated against 200 test" in found
    assert not any(number in found for number in ("1.25", "2.25", "3.25"))
    files.write_rows(tmp_path / "scores.jsonl", [{"step": step, "fid_digits": 5.25 + step} | RECORD for step in (1, 2)])
    found = section(card_of(tmp_path, tmp_path / "x"), "Scores")
    assert "7.25" in found and "4.25" in found and "6.25" not in found
    found = section(card_of(tmp_path, tmp_path / "x", ema=False), "Scores")
    assert "3.25" in found and "7.25" not in found


def test_the_text_of_a_stranger_has_no_effect_in_a_card(train_here, tmp_path):
    folder = tmp_path / "<b>run|[x](y)"
    train_here(folder, "train.max_steps=1", "trick=[conditional]")
    bad = "<script>|\n# title ![a](http://b) `````"
    state = torch.load(checkpoint.path_in(folder), weights_only=True)
    image = [*state["image"][:3], [f"{bad}{number}" for number in range(10)]]
    config = yaml.safe_load(state["config"])
    config = yaml.safe_dump({name: value for name, value in config.items() if name != "optim"} | {"loss": bad})
    torch.save(state | {"image": image, "step": bad, "config": config}, checkpoint.path_in(folder))
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([f"{bad}\n```\n", "\x1b[2J"]))
    status = json.loads((folder / "status.json").read_text())
    status["data"]["name"] = bad
    (folder / "status.json").write_text(json.dumps(status))
    record = RECORD | {"dataset": bad, "split": 3}
    scores = {f"fid_{bad}": {"mean": 1.5}, "fid_digits": {"mean": 1e999}, bad: {"mean": 1.0}, "kid_digits": 3}
    row = {"step": bad, "checkpoint": "last", "ema": True, "scores": scores} | record
    (folder / "scores.json").write_text(json.dumps([row, 3, {"scores": []}]))
    card = card_of(folder, tmp_path / "x")
    assert not re.search(r"^#+ title", card, re.M) and "\x1b" not in card
    for language, text in blocks(card).items():
        card = card.replace(f"{language}\n{text}", "")
    assert len(re.findall(r"^`{3,}$", card, re.M)) == 2 * 3
    assert "<script" not in card and "<b>" not in card and "http://" not in card
    assert not re.search(r"(?<!\\)\]\(", card)
    assert len(re.findall(r"^\|", section(card, "Scores"), re.M)) == 3  # heading, line, fid of bad features


def test_a_run_of_which_only_the_checkpoint_is_left_has_a_card(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    (tmp_path / "status.json").write_text("[]")
    card = card_of(tmp_path, tmp_path / "x")
    assert "data | not recorded" in card and "not recorded" in section(card, "Training")
