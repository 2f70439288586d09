"""What a user does wrong gets one sentence and exit code 1 or 2, never a traceback."""

import json
import re

import pytest
import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from gan.cli import messages
from gan.cli.overrides import slug
from gan.config import check
from gan.config.errors import ConfigError
from gan.data import digits
from gan.training import build
from tests.conftest import ROOT, composed, options

# tried from the command line
TYPED = [
    (["model=foo"], "model can be", "dcgan, maxout, mlp"),
    (["trick=[smothing]"], "trick=smothing is not known", "label_smoothing"),
    (["optim.generator.lrr=1"], "optim.generator.lrr", "betas"),
    (["optim.generator.lr=abc"], "optim.generator.lr=abc", "number"),
    (["train.batch_size=0"], "train.batch_size=0", "greater than 0"),
    (
        ["train.batch_size=5000", "dataset.count=640", "dataset.limit=100"],
        "train.batch_size=5000 is larger",
        "100 images",
    ),
    (["train.epochs=-1"], "train.epochs=-1", "greater than 0"),
    (["dataset.image_size=7"], "dataset.image_size=7", "8"),
    (["dataset=mnist", "data_dir=/dev/null/x"], "/dev/null/x/MNIST/raw", "dataset=digits"),
    (["resume=nowhere"], "resume=nowhere is not a run", ""),
    (["hydra.run.dir=/proc/nothing"], "/proc/nothing", ""),
    (["hydra.run.dir=train.py/x"], "train.py", ""),
    (["foo"], "foo", ""),
    (["-m", "model=glob(nothing*)"], "model=glob(nothing*) fits none", "options of model"),
    (["dataset=5"], "dataset=5 is not possible", "dataset can be"),
    (["trick=null"], "trick=null is not possible", "or [] for none"),
    (["+trick=[r1]"], "+trick=[r1] is not possible", "trick=[] is none"),
    (["~model"], "~model is not possible", "model=... says all"),
    (["model=mlp,dcgan"], "model=mlp,dcgan has a comma", "-m for a sweep"),
    (["resume="], "resume= is empty", "the folder of a run"),
    (["-m", "resume=nowhere"], "resume=... goes on with one run, and -m starts a sweep", "leave one"),
]
# tried in this process, which is quicker
COMPOSED = [
    (["train.update=simultaneous", "train.discriminator_steps=3"], "train.discriminator_steps=3", "should be 1"),
    (["+optim.lrr=1"], "optim.lrr is not a setting", "generator"),
    (["optim.discriminator=5"], "optim.discriminator should be settings", "optim=..."),
    (["+model.encoder=5"], "model.encoder is not a setting", "discriminator, generator"),
    (["model.generator._target_=os.system"], "os.system is not allowed", "torch.nn"),
    (["model.generator._target_=gan.cli.messages.os.system"], "gan.cli.messages.os.system is not allowed", "torch.nn"),
    (["model.generator._target_=gan.models.mlp.Nothing"], "gan.models.mlp.Nothing cannot be used", "no attribute"),
    (["model.generator.activation=sine"], "model.generator.activation=sine", "'relu'"),
    (["model.discriminator.dropout=[0.1,0.2]"], "dropout=[0.1, 0.2] does not fit 3 hidden layers", "one for each"),
    (["+optim.schedule.lrr={_target_: gan.optim.Decay, factor: 2.0, floor: 0.0}"], "optim.schedule.lrr", "lr, eps"),
    (["+optim.schedule.betas={_target_: gan.optim.Decay, factor: 2.0, floor: 0.0}"], "optim.schedule.betas", "lr, eps"),
    (["+optim.schedule.lr=0.1"], "optim.schedule.lr=0.1", "goodfellow2014.yaml"),
    (["+optim.schedule.lr={factor: 1.1}"], "optim.schedule.lr=", "goodfellow2014.yaml"),
    (["optim.generator._target_=torch.optim.AdamW"], "optim.generator should be fused", "optim.generator.fused=true"),
    (["+trick.foo=1"], "trick.foo=1 is not possible", "settings with names"),
    (
        ["model.discriminator.activation={_target_: torch.nn.Bilinear}"],
        "activation.in1_features is missing",
        "Bilinear",
    ),
    (["+optim.generator.lrr=1"], "optim.generator.lrr", "betas"),
    (["optim.generator.lr=0"], "optim.generator.lr=0", "greater than 0"),
    (["optim.generator.betas=[0.5]"], "optim.generator.betas", "missing"),
    (["optim.generator.betas=[1.0,0.999]"], "optim.generator.betas", "less than 1"),
    (["optim=sgd", "optim.generator.nesterov=true", "optim.generator.momentum=0"], "momentum=0", "above 0"),
    (["optim=goodfellow2014", "optim.schedule.momentum.from_epoch=250"], "from_epoch=250 to_epoch=250", "later"),
    (["optim=goodfellow2014", "optim.schedule.lr.factor=0.5"], "factor=0.5", "greater than or equal to 1"),
    (["model=conv", "train.batch_size=1"], "train.batch_size=1 is not possible with BatchNorm", "2 or more"),
    (["model.discriminator.norm=batch", "trick=[packing]", "train.batch_size=2"], "BatchNorm", "4 or more"),
    (["model.discriminator.hidden=[]", "trick=[packing]"], "this D has none", "give it one"),
    (["trick=[track_failures]", "watch.log_every=null"], "looks when numbers are logged", "not be null"),
    (["trick=[track_failures]", "watch.log_every=[]"], "looks when numbers are logged", "not be null"),
    (["model.generator.output=relu"], "model.generator.output=relu", "'tanh', 'tanh_unit', 'sigmoid' or 'linear'"),
    (["model.generator.hidden=64"], "model.generator.hidden=64", "list"),
    (["model.discriminator.dropout=1.5"], "model.discriminator.dropout=1.5", "less than 1"),
    (["model.generator.activation={_target_: torch.nn.Nothing}"], "model.generator.activation", "torch.nn.Nothing"),
    (["train.batch_size=8.5"], "train.batch_size=8.5", "should be a whole number."),
    (["train.batch_size=true"], "train.batch_size=true", "whole number"),
    (["train.update=together"], "train.update=together", "'simultaneous'"),
    (["+train.speed=3"], "train.speed", "not a setting"),
    (["train.speed=3"], "train.speed", "epochs"),
    (["dataset=image_folder"], "dataset.path is not set", "dataset.path="),
    (["dataset=image_folder", "dataset.path=nowhere"], "dataset.path=nowhere does not exist", "folder or a zip"),
    (["dataset=image_folder", "dataset.path="], "dataset.path is empty", "folder or a zip"),
    (["loss.real_target=[0.9]"], "loss.real_target", "0.9"),
    (["loss.real_target=[1.0,0.9]"], "loss.real_target=[1.0, 0.9]", "lower end"),
    (["loss.real_target=2"], "loss.real_target=2", "less than or equal to 1"),
    (
        ["trick=[label_smoothing,soft_labels]"],
        "trick.label_smoothing.real_target would change nothing",
        "trick.soft_labels",
    ),
    (
        ["trick=[ema]", "train.ema_decay=0.9"],
        "trick.ema.decay would change nothing",
        "train.ema_decay is 0.9;",
    ),
    (
        ["experiment=conv_improved", "dataset=digits", "trick=[two_time_scale]"],
        "trick.two_time_scale.generator_lr would change nothing",
        "optim.generator.lr is",
    ),
    (["watch.gif_fps=0.001"], "watch.gif_fps=0.001", "greater than or equal to 0.01"),
    (["watch.gif_fps=51"], "watch.gif_fps=51", "less than or equal to 50"),
    (["trick=[more_discriminator]", "train.batch_size=16"], "would take 80 images", "the data set has 64"),
    (["watch.scores_images=10"], "watch.scores_images=10", "100"),
    (["watch.log_every=never"], "watch.log_every=never", "epoch"),
    (["seed=-1"], "seed=-1", "greater than or equal to 0"),
    (["seed=${nothing}"], "nothing", ""),
    (["train.epochs="], "train.epochs", "whole number"),
    (["compile=maybe"], "compile=maybe", "true or false"),
    (["noise=uniform"], "noise=uniform", "settings with names"),
    (["trick.ema.decay=2"], "trick.ema.decay=2", "less than or equal to 1"),
    (["trick=[label_smoothing]", "loss=hinge"], "trick.label_smoothing.real_target", "Hinge"),
]
if not torch.cuda.is_available():
    TYPED.append((["device=cuda"], "device=cuda", "cpu"))


def assert_one_sentence(done, *wanted):
    said = done.stderr.strip()
    assert done.returncode in (1, 2), said
    assert "\n" not in said and said.endswith("."), said
    assert "Traceback" not in said and all(word in said for word in wanted), said


@pytest.fixture
def somewhere(tmp_path, cache):
    return [f"hydra.run.dir={tmp_path / 'run'}", f"cache_dir={cache}"]


@pytest.mark.parametrize(
    ("arguments", "came", "allowed"), TYPED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_gets_one_sentence(program, somewhere, tmp_path, arguments, came, allowed):
    if any("hydra.run.dir" in argument for argument in arguments):
        somewhere = somewhere[1:]
    assert_one_sentence(program("train.py", *arguments, *somewhere), came, allowed)
    status = tmp_path / "run" / "status.json"
    if status.exists():
        found = json.loads(status.read_text())
        assert found["state"] == "refused" and came in found["error"]


def test_a_log_that_cannot_be_written_is_said_in_one_sentence(program, somewhere, tmp_path):
    (tmp_path / "run" / "train.log").mkdir(parents=True)
    assert_one_sentence(program("train.py", *somewhere), "train.log cannot be used: Is a directory.")


@pytest.mark.parametrize(
    ("arguments", "came", "allowed"), COMPOSED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_refused_in_one_sentence(small, arguments, came, allowed):
    try:
        cfg = composed(*(small if "dataset=image_folder" not in arguments else small[:1]), *arguments)
        build.build_run(cfg, check.check_config(cfg), {})
    except ConfigError as refusal:
        said = str(refusal)
    except (HydraException, OmegaConfBaseException) as error:
        said = messages.explain_error(error)
    assert came in said and allowed in said and "\n" not in said and said.endswith((".", "..."))


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["run=nowhere"], ["nowhere", "should be a run"]),
        ([], ["run is not set"]),
        (["run=tests"], ["tests holds no checkpoint"]),
        (["run=tests", "n=0"], ["n=0", "greater than 0"]),
        (["run=tests", "format=jpg"], ["format=jpg", "'grid'"]),
        (["run=tests", "m=1"], ["m is not a setting", "seed"]),
    ],
)
def test_sample_says_what_is_wrong_in_one_sentence(program, arguments, wanted):
    assert_one_sentence(program("sample.py", *arguments), *wanted)


@pytest.mark.parametrize("target", ["os.system", "gan.cli.messages.os.system", "subprocess.getoutput"])
def test_a_checkpoints_config_cannot_run_code(train_here, tmp_path, target):
    train_here(tmp_path, "train.max_steps=1")
    state = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)
    state["config"] = state["config"].replace("gan.models.mlp.Generator", target)
    torch.save(state, tmp_path / "checkpoints" / "last.pt")
    with pytest.raises(ConfigError, match="is not allowed"):
        build.load_trained(tmp_path, "last", True, torch.device("cpu"))


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04" + b"0" * 99])
def test_a_damaged_checkpoint_is_refused_in_one_sentence(program, tmp_path, content):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").write_bytes(content)
    assert_one_sentence(program("sample.py", f"run={tmp_path}"), "last.pt is damaged")


def test_a_checkpoint_cannot_run_code(program, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    (tmp_path / "checkpoints").mkdir()
    torch.save({"config": Malicious()}, tmp_path / "checkpoints" / "last.pt")
    assert_one_sentence(program("sample.py", f"run={tmp_path}"), "last.pt is damaged")
    assert not (tmp_path / "owned").exists()


def test_debugging_shows_the_traceback(program, somewhere):
    done = program("train.py", *somewhere, "train.batch_size=0", GAN_DEBUG="1")
    assert "Traceback" in done.stderr and done.returncode == 1


def test_a_bug_is_seen_and_recorded(program, somewhere, tmp_path, monkeypatch):
    """A data set whose loader breaks is nobody's mistake on the command line."""
    monkeypatch.setattr(digits, "draw_digits", lambda *_, **__: 1 / 0)
    done = program("train.py", *somewhere, "dataset.count=7")
    assert done.returncode == 1 and "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr
    found = json.loads((tmp_path / "run" / "status.json").read_text())
    assert found["state"] == "failed" and "division by zero" in found["error"]


def test_help_names_the_groups_and_examples(program):
    done = program("train.py", "--help")
    assert done.returncode == 0
    for group in ("model", "optim", "loss", "trick", "dataset"):
        assert f"{group}: {', '.join(options(group))}" in " ".join(done.stdout.split())
    assert "python train.py -m" in done.stdout
    assert "python sample.py run=" in program("sample.py", "--help").stdout


def test_help_does_not_wait_for_torch(process):
    done = process("-X", "importtime", "train.py", "--help")
    assert done.returncode == 0 and not re.search(r"\|\s+torch\b", done.stderr)


def test_the_config_can_be_printed(program):
    done = program("train.py", "--cfg", "job")
    assert done.returncode == 0 and "batch_size: 32" in done.stdout


def test_outputs_exists_in_a_clone_and_ignores_what_is_in_it():
    ignored = (ROOT / "outputs" / ".gitignore").read_text().split()
    assert ignored == ["*", "!.gitignore"]


def test_one_override_moves_both_players_where_only_the_generators_is_named():
    for name in options("optim"):
        cfg = composed(f"optim={name}", "optim.generator.lr=0.5")
        assert cfg.optim.discriminator.lr == 0.5
        assert composed(f"optim={name}", "optim.discriminator.lr=0.5").optim.generator.lr != 0.5


def test_a_folders_name_says_what_was_asked_and_no_two_runs_share_one():
    assert slug([]) == slug(["threads=1"]) == "default"
    assert slug(["model=mlp", "optim.generator.lr=1e-4"]) == "model-mlp_optim.generator.lr-1e-4"
    assert slug(["experiment=blog/mlp", "trick=[r1,ema]"]) == "experiment-blog-mlp_trick-r1-ema"
    long = ["experiment=paper/goodfellow2014_mnist", "dataset=digits", "train.max_steps=100", "optim.discriminator.lr="]
    asked = [
        ["optim.generator.lr=0.1"],
        ["optim.discriminator.lr=0.1"],
        ["loss.fake_target=1"],
        ["loss.fake_target=-1"],
        ["dataset.path=/data/faces"],
        ["dataset.path=data/faces"],
        [*long[:-1], long[-1] + "0.1"],
        [*long[:-1], long[-1] + "0.2"],
    ]
    assert len({slug(words) for words in asked}) == len(asked)
    assert all(len(slug(words)) <= 80 for words in asked)
