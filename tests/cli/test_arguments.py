"""What is typed wrongly is answered with the words to type, and a shell reads these as they are meant."""

import re
import subprocess

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from gan.cli.arguments import check_arguments
from tests.conftest import ROOT, TINY, composed, read_status

# What is typed, and what is to be typed instead: the most likely first.
SETTINGS = [
    (["lr=1e-3"], ["optim.generator.lr=1e-3", "optim.discriminator.lr=1e-3"]),
    (["batch_size=64"], ["train.batch_size=64"]),
    (["trick.r1.gamma=5"], ["'trick=[r1]' trick.r1.gamma=5"]),
    (["trick=[instance_noise]", "trick.r1.gamma=5"], ["'trick=[instance_noise,r1]' trick.r1.gamma=5"]),
    (["+trick.r1.gamma=5"], ["'trick=[r1]' trick.r1.gamma=5"]),
    (["trick.r1=true"], ["'trick=[r1]'"]),
    (["dataset=digits", "dataset.path=X"], ["dataset=image_folder dataset.path=X"]),
    (["n_epochs=3"], ["train.epochs=3"]),
    (["latent_dim=3"], ["noise.dim=3"]),
    (["optimizer=sgd"], ["optim=sgd"]),
    (["+batch_size=64"], ["train.batch_size=64"]),
    (["++train.batchsize=64"], ["train.batch_size=64"]),
    (["hydra.run.dri=outputs/x"], ["hydra.run.dir=outputs/x"]),
]
OPTIONS = [
    (["model=dcgn"], ["model=dcgan"]),
    (["model=sgd"], ["optim=sgd"]),
    (["experiment=mlp"], ["experiment=blog/mlp"]),
    (["trick=[r1,instancenoise]"], ["'trick=[r1,instance_noise]'"]),
    (["trick=none"], ["'trick=[]'"]),
    (["trick=r1", "trick=r2"], ["'trick=[r1,r2]'"]),
    (["model=mlp/"], ["model=mlp"]),
    (["dataset=celeba"], ["dataset=image_folder"]),
    (["hydra/launcher=jolib"], ["hydra/launcher=joblib"]),
]
# What is typed, and the words of the whole line that is to be typed instead.
LINES = [
    (["dataset.path=my pics (1)"], ["dataset.path='my pics (1)'"]),
    (["seed=3", "dataset.path=Übung"], ["seed=3", "dataset.path='Übung'"]),
    (["dataset.path=a=b"], ["dataset.path='a=b'"]),
    (["dataset.path=it's"], ["dataset.path='it\\'s'"]),
    (["dataset.path=$a`b"], ["dataset.path='$a`b'"]),
    (["dataset.path=my", "pics"], ["dataset.path=my pics"]),
    (["-m", "trick=[r1,", "instance_noise]", "seed=1,2"], ["-m", "trick=[r1, instance_noise]", "seed=1,2"]),
    (["trick=[r1"], ["trick=[r1]"]),
    (["trick=r1,r2]"], ["trick=[r1,r2]"]),
    (["seed==3"], ["seed=3"]),
    (["seed=3,"], ["seed=3"]),
    (["model=(mlp)"], ["model=mlp"]),
    (["--seed"], ["seed=VALUE"]),
    (["model", "=", "mlp", "seed=1"], ["model=mlp", "seed=1"]),
    (["model=", "mlp"], ["model=mlp"]),
    (["model", "mlp"], ["model=mlp"]),
    (["mlp"], ["model=mlp"]),
    (["r1"], ["trick=[r1]"]),
    (["--model", "mlp", "seed=1"], ["model=mlp", "seed=1"]),
    (["--lr", "0.1"], ["optim.generator.lr=0.1"]),
    (["--batch-size=8"], ["train.batch_size=8"]),
    (["-model=mlp"], ["model=mlp"]),
    (["--compile", "-m", "seed=1,2"], ["compile=true", "-m", "seed=1,2"]),
]


def read_by_shell(line):
    """The words of a line, as a shell gives them to a program."""
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def advice(done):
    """What a program says to type instead."""
    assert done.is_clean_exit() and done.returncode == 1, done
    return re.search(r"; type (.*?) instead", done.stderr)[1]


@pytest.mark.parametrize(("typed", "suggested"), SETTINGS + OPTIONS, ids=str)
def test_what_does_not_exist_is_answered_with_the_nearest_that_does(program, tmp_path, typed, suggested):
    own = [] if "hydra" in typed[0] else [f"hydra.run.dir={tmp_path}"]
    assert advice(program("train.py", "model=mlp", *typed, *own)).split(" or ") == suggested
    for each in suggested:
        words = read_by_shell(each)
        if "hydra" not in each:
            composed("model=mlp", *words)  # raises an error where one does not exist


@pytest.mark.parametrize(("typed", "words"), LINES, ids=str)
def test_what_hydra_cannot_read_is_answered_with_the_whole_line(program, typed, words):
    python, name, *rest = read_by_shell(advice(program("train.py", *typed)))
    assert (python, name, rest) == ("python", "train.py", words)
    OverridesParser.create().parse_overrides([word for word in rest if word != "-m"])


def test_a_quoted_path_is_read_as_it_was_typed(program):
    *_, word = read_by_shell(advice(program("train.py", "dataset.path=it's (1) ü=$x")))
    assert OverridesParser.create().parse_override(word).value() == "it's (1) ü=$x"


def test_the_home_folder_is_written_out(program, monkeypatch):
    """A shell does not do so after `dataset.path=`."""
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("dataset.path", "resume", "data_dir"):
        assert read_by_shell(advice(program("train.py", f"{name}=~/a b")))[2] == f"{name}=/home/me/a b"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["trick=r1,r2"], ["'trick=[r1,r2]'", "-m trick=r1,r2"]),
        (["optim.generator.betas=0.5,0.9"], ["'optim.generator.betas=[0.5,0.9]'", "-m optim.generator.betas=0.5,0.9"]),
        (["dataset=image_folder", "dataset.path=a,b"], ["\"dataset.path='a,b'\"", "-m dataset.path=a,b"]),
        (["hydra.sweeper.params.seed=1,2"], ["-m seed=1,2"]),
        (["train.max_steps=None"], ["train.max_steps=null"]),
        (["watch.samples_every=none"], ["watch.samples_every=null"]),
        (["dataset.limit="], ["dataset.limit=null"]),
        (["~train.max_steps"], ["train.max_steps=null"]),
        (["~train.ema_decay"], ["train.ema_decay=null"]),
        (["~train.batch_size"], ["train.batch_size=VALUE"]),
        (["~nothing"], ["~nothing: no such setting"]),
        (["=3"], ["=3", "name=value"]),
        (["trick=[[r1]]"], ["trick=[[r1]]", "--help"]),
        (["-cn", "sample"], ["--config-name sample", "train"]),
        (["--config-name", "nothing.yaml"], ["--config-name nothing", "--config-dir"]),
        (["hydra.run.dir="], ["hydra.run.dir=:", "outputs/NAME"]),
        (["hydra.run.dir=./"], ["hydra.run.dir=./:", "outputs/NAME"]),
        (["hydra.run.dir=null"], ["hydra.run.dir=:", "outputs/NAME"]),
        (["hydra.run.dir=.."], ["hydra.run.dir=..:", "outputs/NAME"]),
        (["-m", "seed=1,2", "hydra.sweep.dir="], ["hydra.sweep.dir=:", "outputs/NAME"]),
        (["-m", "seed=1,2", "hydra.sweep.subdir="], ["hydra.sweep.subdir=:"]),
        (["hydra.job.chdir=true"], ["hydra.job.chdir=true", "false"]),
        (["-p", "train"], ["--package train", "--cfg job"]),
        (["--experimental-rerun", "x.pickle"], ["--experimental-rerun", "resume=RUN"]),
        (["--info", "nothing"], ["--info", "defaults-tree"]),
        (["--resolve"], ["--resolve", "--cfg"]),
        (["hydra.mode=SWEEP"], ["hydra.mode=SWEEP", "MULTIRUN"]),
        (["-m", "lr=1,2"], ["optim.generator.lr=1,2"]),
        (["-m", "model=mlp,dcgn"], ["model=mlp,dcgan"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_gets_one_sentence_and_leaves_the_current_folder_as_it_is(program, tmp_path, typed, words):
    own = {"-m": "hydra.sweep.dir"}.get(typed[0], "hydra.run.dir")
    typed = typed if any(own in word for word in typed) else [*typed, f"{own}={tmp_path / 'new'}"]
    done = program("train.py", *typed, folder=tmp_path)
    assert done.is_clean_exit() and done.returncode == 1, done
    assert all(word in done.stderr for word in words), done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"new"}


@pytest.mark.parametrize(
    ("name", "typed", "words"),
    [
        ("sample.py", ["run=x", "fromat=png"], ["format=png"]),
        ("sample.py", ["run=x", "num_images=9"], ["n=9"]),
        ("sample.py", ["run=x", "+sed=9"], ["seed=9"]),
        ("sample.py", ["run=x", "--n", "9"], ["python sample.py run=x n=9"]),
        ("sample.py", ["outputs/x"], ["python sample.py run=outputs/x"]),
        ("sample.py", ["run=x", "n=None"], ["n=None"]),
        ("sample.py", ["run=x", "~n"], ["n=VALUE"]),
        ("sample.py", ["run=x", "n", "=", "9"], ["python sample.py run=x n=9"]),
        ("sample.py", ["run=no such (1)"], ["no such (1)"]),
        ("sample.py", ["-cn", "train", "run=x"], ["--config-name train", "sample"]),
        ("gan.evaluate", ["run=x", "feature=inception"], ["features=inception"]),
        ("gan.evaluate", ["run=x", "n=None"], ["n=null"]),
        ("gan.evaluate", ["--write-stats", "x.npz"], ["run=RUN", "images=FOLDER"]),
        ("gan.evaluate", ["reference=mnist", "--write-stats"], ["reference=mnist", "write_stats=VALUE"]),
        ("gan.evaluate", ["reference=mnist", "--stats=x.npz"], ["reference=mnist stats=x.npz"]),
        ("gan.evaluate", ["images=a", "refrence=b"], ["reference=b"]),
        ("gan.evaluate", ["images=no such (1)", "images=b", "reference=c d", "n=100"], ["no such (1) does not exist"]),
        ("gan.evaluate", ["run=x", "~n"], ["n=null"]),
        ("gan.evaluate", ["x", "y"], ["python -m gan.evaluate run=x run=y"]),
        ("gan.evaluate", ["-cn", "train", "run=x"], ["--config-name train", "evaluate"]),
        ("gan.evaluate", ["run=no such (1)", "run=b"], ["no such (1)"]),
        ("gan.evaluate", ["run=x", "hydra.job.chdir=true"], ["hydra.job.chdir=true"]),
    ],
    ids=str,
)  # fmt: skip
def test_the_other_programs_answer_in_the_same_way(program, name, typed, words):
    done = program(name, *typed)
    assert done.is_clean_exit() and done.returncode == 1, done
    assert all(word in done.stderr for word in words), done.stderr


@pytest.fixture
def own_folder(tmp_path):
    """A folder of the user's own options and configurations."""
    for name, text in {
        "optim/quick.yaml": (ROOT / "conf" / "optim" / "sgd.yaml").read_text("utf-8"),
        "optim/old/quicker.yaml": (ROOT / "conf" / "optim" / "sgd.yaml").read_text("utf-8"),
        "long.yaml": "defaults: [train, _self_, {override model: mlp}]\nseed: 7\n",
        "bare.yaml": "seed: 7\n",
        "moved.yaml": "defaults: [train, _self_]\nhydra: {job: {chdir: true}}\n",
    }.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "mine"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["optim=quik"], ["type optim=quick instead", "adam, adam_dcgan", "quick, sgd"]),
        (["optim=quicker"], ["type optim=old/quicker instead"]),
        (["-cn", "lng"], ["--config-name lng", "long"]),
        (["-cn", "bare"], ["--config-name bare", "defaults: [train, _self_]"]),
        (["-cn", "moved"], ["hydra.job.chdir=true"]),
        (["-m", "optim=glob(nothing*)"], ["optim=glob(nothing*)"]),
    ],
    ids=str,
)
def test_messages_know_the_users_own_options(program, tmp_path, own_folder, typed, words):
    places = [f"hydra.run.dir={tmp_path / 'run'}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = program("train.py", "--config-dir", str(own_folder), *typed, *places)
    assert done.is_clean_exit() and done.returncode == 1, done
    assert all(word in done.stderr for word in words), done.stderr


def test_messages_know_options_in_hydras_search_path(program, own_folder):
    done = program("train.py", f"hydra.searchpath=[file://{own_folder}]", "optim=quik")
    assert advice(done) == "optim=quick"


def test_the_values_of_a_sweep_in_hydras_own_setting_are_those_of_the_settings():
    arguments = ["-m", "hydra.sweeper.params.seed=1,2", "+hydra.sweeper.params={model: 'mlp,dcgan', optim: sgd}"]
    assert check_arguments(arguments, "train") == ["-m", "seed=1,2", "model=mlp,dcgan", "optim=sgd"]


def test_a_configuration_of_ones_own_trains(train, own_folder, tmp_path):
    flags = [f"--config-dir={own_folder}", "--config-name=long"]
    done = train(*flags, f"hydra.run.dir={tmp_path / 'run'}", "train.max_steps=1")
    assert done.returncode == 0, done
    assert yaml.safe_load((tmp_path / "run" / ".hydra" / "config.yaml").read_text())["seed"] == 7


def test_a_glob_finds_the_users_own_options(train, own_folder, tmp_path):
    flags = ["-m", f"--config-dir={own_folder}"]
    done = train(*flags, "optim=glob(*quick)", f"hydra.sweep.dir={tmp_path / 's'}", "train.max_steps=1")
    assert done.returncode == 0, done
    assert read_status(tmp_path / "s" / "model-mlp_optim-quick")["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("params", ["hydra.sweeper.params.seed=1,2", "+hydra.sweeper.params={seed: '1,2'}"])
def test_the_values_of_a_sweep_can_be_given_as_hydra_documents_it(train, tmp_path, params):
    done = train("-m", "model=mlp", params, f"hydra.sweep.dir={tmp_path}", "train.max_steps=1")
    assert done.returncode == 0, done
    assert {path.parent.name for path in tmp_path.glob("*/status.json")} == {"seed-1", "seed-2"}


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["hydra.mode=MULTIRUN"], ["-m", "--multirun"]])
def test_a_sweep_can_be_asked_for_in_each_of_hydras_ways(train, tmp_path, flags):
    done = train(*flags, "model=mlp", "seed=1,2", f"hydra.sweep.dir={tmp_path}", "train.max_steps=1")
    assert done.returncode == 0 and len(list(tmp_path.glob("*/status.json"))) == 2, done


@pytest.mark.parametrize(
    "settings", ["hydra.verbose=true", "hydra/launcher=joblib", "hydra.output_subdir=x", "hydra.job.chdir=false"]
)
def test_settings_of_hydra_that_a_run_may_have(train, tmp_path, settings):
    done = train("model=mlp", settings, f"hydra.run.dir={tmp_path}", "train.max_steps=1")
    assert done.returncode == 0 and read_status(tmp_path)["state"] == "finished", done


@pytest.mark.parametrize(
    "flags", [["--info", "defaults"], ["--cfg", "job", "--resolve"], ["--cfg", "job", "-p", "train"]]
)
def test_what_hydra_can_print(program, flags):
    done = program("train.py", *flags)
    assert done.returncode == 0 and done.stdout and not done.stderr


def test_the_lines_that_a_run_prints_work_in_the_folder_where_it_was_typed(program, cache, tmp_path):
    done = program("train.py", "model=mlp", *TINY, f"cache_dir={cache}", "train.max_steps=1", folder=tmp_path)
    (line,) = [line for line in done.stdout.splitlines() if "sample.py" in line]
    python, name, *words = read_by_shell(line[line.index("python") :])
    assert (python, name) == ("python", str(ROOT / "sample.py"))
    sampled = program("sample.py", *words, folder=tmp_path)
    assert sampled.returncode == 0, sampled
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}


def test_imports_of_the_command_line_need_no_torch(process):
    done = process("-X", "importtime", "train.py", "lr=1e-3")
    assert done.returncode == 1 and "optim.generator.lr=1e-3" in done.stderr
    assert not re.search(r"\|\s+torch\b", done.stderr)
