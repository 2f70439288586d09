"""Generators in files: what a file keeps of its run, what it says to a wrong choice, and files that were changed."""

import functools
import shlex

import pytest
import torch
import yaml

import gan
from gan import generator_file, model_card, projection
from gan.cli import overrides
from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape, PointShape
from gan.explorer import page
from gan.training import checkpoint
from gan.training.initial_weights import read_source, start_from
from tests.conftest import narrow
from tests.test_evaluate import evaluate_here  # noqa: F401
from tests.test_export import change_recipe, untrained
from tests.test_model_card import request
from tests.test_sample_files import sample

CPU = torch.device("cpu")
OWN_IMAGES = ["dataset=image_folder", "dataset.path=photos"]


@pytest.fixture
def write(tmp_path):
    """`write(run)`: the file of the generator of a run."""

    def to_file(run, name="g.safetensors"):
        (tmp_path / name).write_bytes(generator_file.to_bytes(run, run.generator))
        return tmp_path / name

    return to_file


@pytest.mark.parametrize("first", ["cat", "${oc.env:HOME}", "${", "\udcfc: [x", "yes"])
def test_a_file_keeps_the_names_of_the_classes(write, tmp_path, monkeypatch, first):
    names = (first, "dog")
    path = write(untrained(*narrow("mlp"), *OWN_IMAGES, "trick=[conditional]", image=ImageShape(1, 12, 2, names)))
    again = write(generator_file.load_run(path), "again.safetensors")
    for each in (path, again):
        run = gan.load(each, device="cpu")
        assert run.class_names == list(names)
        assert torch.equal(run.sample(3, label="dog"), run.sample(3, label=1))
        assert "| classes |" in model_card.write_card(
            run.trained, each, request(tmp_path / "x", "safetensors"), "none"
        ).read_text("utf-8")
    assert sample(path, "n=2", "class=dog", f"out={tmp_path / 'x.png'}").exists()
    monkeypatch.setattr(page, "write_onnx", lambda run, network: b"a generator")
    assert '"dog"' in sample(path, "n=2", "format=explorer", f"out={tmp_path / 'x.html'}").read_text("utf-8")


@pytest.mark.parametrize("image", [ImageShape(3, 8), PointShape(2, 2, ("a", "b"))])
def test_a_file_has_the_whole_shape(write, image):
    model = "points" if isinstance(image, PointShape) else "mlp"
    run = generator_file.load_run(write(untrained(f"model={model}", *narrow(model), image=image)))
    assert run.image == image and run.image.class_names == image.class_names


def test_a_file_without_names_has_its_classes_by_number():
    assert gan.load("zoo/mnist_classes", device="cpu").class_names == []


@pytest.mark.parametrize(
    ("setting", "ema", "expected"),
    [
        ("train.ema_decay=[0.9,0.99]", True, "EMA"),
        ("train.ema_decay=[0.9,0.99]", 0.99, "EMA of decay 0.99"),
        ("train.ema_decay=[0.9,0.99]", False, "without EMA"),
        ("train.ema_decay=null", True, "without EMA"),
    ],
)
def test_the_card_says_which_weights_a_file_has_however_often_it_is_exported(
    train_here, tmp_path, setting, ema, expected
):
    train_here(tmp_path / "run", "train.max_steps=1", "noise.dim=5", setting)
    run = gan.load(tmp_path / "run", ema=ema, device="cpu")
    for name in ("one.safetensors", "two.safetensors", "three.safetensors"):
        run = gan.load(run.export(tmp_path / name), device="cpu")
        card = (tmp_path / f"{name}.md").read_text("utf-8")
        assert f"| weights | {expected}, after" in card
    change_recipe(tmp_path / "three.safetensors", lambda text: text.replace("ema: ", "of_no_version: "))
    run = gan.load(tmp_path / "three.safetensors", device="cpu")
    assert run.trained.ema is None
    run.export(tmp_path / "four.safetensors")
    has_ema = "null" not in setting
    card = (tmp_path / "four.safetensors.md").read_text("utf-8")
    assert f"| weights | {'EMA' if has_ema else 'without EMA'}, after" in card


def change_settings(text, name, value):
    """YAML with another value of a setting; None: without it."""
    settings = yaml.safe_load(text)
    *groups, last = name.split(".")
    node = functools.reduce(dict.__getitem__, groups, settings)
    node.pop(last) if value is None else node.update({last: value})
    return yaml.safe_dump(settings)


CHANGES = [
    ("dataset._target_", None),
    ("dataset.count", None),
    ("dataset", 3),
    ("noise.kind", "zzz"),
    ("noise.kind", None),
    ("noise.dim", "5"),
    ("noise", []),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_changed_setting_is_one_sentence_where_a_file_is_loaded(write, name, value):
    path = write(untrained(*narrow("mlp")))
    change_recipe(path, lambda text: change_settings(text, name, value))
    with pytest.raises(ConfigError, match=r"^[^\n]*\.$"):
        gan.load(path, device="cpu")


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_changed_setting_is_one_sentence_where_a_run_is_loaded(train_here, tmp_path, name, value):
    train_here(tmp_path, "train.max_steps=1", "noise.dim=5")
    path = checkpoint.path_in(tmp_path)
    state = torch.load(path, weights_only=True)
    torch.save(state | {"config": change_settings(state["config"], name, value)}, path)
    with pytest.raises(ConfigError, match=r"^[^\n]*\.$"):
        gan.load(tmp_path, device="cpu")


@pytest.mark.parametrize("ema", ["word", [0.9], {"a": 1}])
def test_another_kind_of_ema_is_one_sentence(write, ema):
    path = write(untrained(*narrow("mlp")))
    change_recipe(path, lambda text: yaml.safe_dump(yaml.safe_load(text) | {"ema": ema}))
    with pytest.raises(ConfigError, match="does not fit"):
        gan.load(path, device="cpu")


@pytest.mark.parametrize("names", ["[a]", "3", "[1, 2]", "[" * 100_000, "{"])
def test_names_that_are_none_are_one_sentence(write, names, monkeypatch):
    monkeypatch.setattr(generator_file.yaml, "safe_dump", lambda _: names)
    path = write(untrained(*narrow("mlp"), "trick=[conditional]", image=ImageShape(1, 12, 2, ("a", "b"))))
    with pytest.raises(ConfigError, match=r"^[^\n]*\.$"):
        gan.load(path, device="cpu")


@pytest.mark.parametrize(
    ("choice", "named"),
    [
        ({"checkpoint": "best"}, "leave out checkpoint=best."),
        ({"ema": False}, "leave out ema=false."),
        ({"checkpoint": "best", "ema": 0.9}, "leave out checkpoint=best and ema=0.9."),
    ],
)
def test_a_choice_that_a_file_does_not_have_is_named_as_it_was_typed(choice, named):
    with pytest.raises(ConfigError) as raised:
        gan.load("zoo/digits", device="cpu", **choice)
    assert str(raised.value).endswith(named) and str(raised.value).startswith("zoo/digits ")


def test_a_file_without_a_path_to_its_images_names_what_can_be_scored(write, evaluate_here):  # noqa: F811
    path = write(untrained(*narrow("mlp"), *OWN_IMAGES, image=ImageShape(1, 12)))
    for score in (lambda: evaluate_here(f"run={path}"), gan.load(path, device="cpu").score):
        with pytest.raises(ConfigError) as raised:
            score()
        text = str(raised.value)
        assert text.startswith(f"run={path}: ") and "unknown" not in text and "images=fakes.npz reference=" in text
    line = shlex.split(text.partition("or type ")[2].partition(", and then")[0])
    assert line[:2] == ["python", "sample.py"] and overrides.parse_settings(line[2:])["run"] == str(path)


def test_points_without_a_path_are_not_scored_as_images(write, evaluate_here):  # noqa: F811
    settings = ["model=points", *narrow("points"), "dataset=points", "dataset.path=points.csv"]
    path = write(untrained(*settings, image=PointShape(2)))
    with pytest.raises(ConfigError, match=r"^run=[^\n]*\.$") as raised:
        evaluate_here(f"run={path}")
    assert "unknown" not in str(raised.value) and "images" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "classes", "is_scored"),
    [
        (OWN_IMAGES, 2, False),
        (["dataset=digits"], 10, True),
        (["dataset=celeba64"], 0, False),
    ],
)
def test_a_search_without_features_advises_what_is_possible(write, tmp_path, settings, classes, is_scored):
    run = generator_file.load_run(write(untrained(*narrow("mlp"), *settings, image=ImageShape(1, 12, classes))))
    run.cfg.cache_dir = str(tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"^like: ") as raised:
        projection.choose_features(run, CPU)
    assert ("gan.evaluate" in str(raised.value)) == is_scored


@pytest.mark.parametrize("name", ["zoo/mnist", "g.safetensors", "./a 'b'.safetensors"])
def test_a_generator_that_should_be_resumed_is_one_to_start_from(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not name.startswith("zoo"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=r"^resume=[^\n]*init_from=[^\n]*\.$"):
        overrides.parse_arguments([f"resume={name}"])


def test_a_folder_with_the_name_of_a_file_is_a_run_that_lacks_something(tmp_path):
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(ConfigError, match=r"overrides\.yaml"):
        overrides.parse_arguments([f"resume={tmp_path / 'x.safetensors'}"])


def test_a_generator_of_the_zoo_has_its_name_in_messages_about_its_weights(make_run, caplog):
    caplog.set_level("INFO")
    run = gan.load("zoo/ring8", device="cpu")
    with pytest.raises(ConfigError, match=r"^init_from=zoo/ring8: "):
        start_from(make_run("model=dcgan", *narrow("dcgan")), read_source(run.folder))
    digits = gan.load("zoo/digits", device="cpu")
    start_from(make_run("model=dcgan"), read_source(digits.folder))
    assert "zoo/digits" in caplog.text and str(digits.folder.parent) not in caplog.text
