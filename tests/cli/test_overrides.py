"""The command line before Hydra reads it: help, names of folders, and what a resumed run takes over."""

import errno
import re
import sys

import pytest
import yaml

from gan.cli import overrides
from gan.cli.names import folder_name, job_name
from gan.cli.overrides import NO_EPOCHS, parse_arguments, parse_settings, shell_line, single_choice
from gan.config.errors import ConfigError
from gan.system import files
from tests.conftest import ROOT, options


def test_help_lists_the_groups_and_examples(program):
    done = program("train.py", "--help")
    assert done.returncode == 0
    for group in ("model", "optim", "loss", "trick", "dataset"):
        assert f"{group}: {', '.join(options(group))}" in " ".join(done.stdout.split())
    assert "python train.py -m" in done.stdout
    assert "python sample.py run=" in program("sample.py", "--help").stdout


def test_help_does_not_import_torch(process):
    done = process("-X", "importtime", "train.py", "--help")
    assert done.returncode == 0 and not re.search(r"\|\s+torch\b", done.stderr)


def test_the_configuration_can_be_printed(program):
    done = program("train.py", "--cfg", "job")
    assert done.returncode == 0 and "batch_size: 32" in done.stdout


@pytest.mark.parametrize(
    ("typed", "is_alone"),
    [
        (["train.max_steps=5"], True),
        (["++train={max_steps: 5}"], True),
        (["-m", "train.max_steps=5,10"], True),
        (["train.max_steps=5", "train.epochs=2"], False),
        (["train={max_steps: 5, epochs: 2}"], False),
        (["train.max_steps=null"], False),
        (["-m", "train.max_steps=5,null"], False),
        (["seed=5"], False),
    ],
)
def test_steps_that_are_typed_without_epochs_decide_alone(typed, is_alone):
    assert (NO_EPOCHS in parse_arguments(typed)) == is_alone


def test_a_folder_is_not_named_after_epochs_that_nobody_typed():
    assert folder_name(["train.max_steps=5", NO_EPOCHS]) == "train.max_steps-5"
    assert job_name(["train.max_steps=5", NO_EPOCHS], []) == "train.max_steps-5"


def test_the_printed_configuration_shows_that_typed_steps_decide_alone(program):
    assert "epochs: null" in program("train.py", "--cfg", "job", "train.max_steps=5").stdout
    assert "epochs: 3" in program("train.py", "--cfg", "job", "train.max_steps=5", "train.epochs=3").stdout
    in_experiment = program("train.py", "--cfg", "job", "experiment=trick/none").stdout
    assert "epochs: 100" in in_experiment and "max_steps: 3000" in in_experiment


def test_steps_that_are_typed_on_resume_replace_the_epochs_of_the_run(saved_run):
    folder = saved_run("train.epochs=3")
    overrides = parse_arguments([f"resume={folder}", "train.max_steps=50"])
    assert [text for text in overrides if "train.epochs" in text] == [NO_EPOCHS]
    folder = saved_run("train.max_steps=50", NO_EPOCHS)
    overrides = parse_arguments([f"resume={folder}", "train.epochs=3"])
    assert {"train.max_steps=50", "train.epochs=3"} <= {*overrides} and NO_EPOCHS not in overrides


def test_outputs_exists_in_a_clone_and_its_content_is_ignored():
    ignored = (ROOT / "outputs" / ".gitignore").read_text().split()
    assert ignored == ["*", "!.gitignore"]


def test_settings_within_a_value_are_parsed_too():
    assert parse_settings(["+a.b={c: {d: 1}}", "seed=2"]) == {"a.b": {"c": {"d": 1}}, "a.b.c": {"d": 1}, "a.b.c.d": 1, "seed": 2}  # fmt: skip


@pytest.fixture
def saved_run(tmp_path):
    """Write .hydra/overrides.yaml; returns the run folder."""

    def write(*overrides):
        (tmp_path / ".hydra").mkdir(exist_ok=True)
        (tmp_path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
        return tmp_path

    return write


def test_a_resumed_run_takes_over_its_overrides_and_what_is_typed_comes_last(saved_run):
    folder = saved_run("model=dcgan", "seed=1", "resume=elsewhere", "trust=true")
    overrides = parse_arguments([f"resume={folder}", "seed=2", "model.generator._target_=mypkg.G"])
    assert overrides == [
        "model=dcgan",
        "seed=2",
        "model.generator._target_=mypkg.G",
        "trust=['mypkg.G']",
        f"resume={folder}",
        f"hydra.run.dir={folder}",
        "hydra.mode=RUN",
    ]
    assert "trust=true" in parse_arguments([f"resume={folder}", "trust=true"])


@pytest.mark.parametrize(
    "override",
    [
        "hydra.callbacks.x={_target_: os.system, command: exit}",
        "+hydra={callbacks: {x: {_target_: os.system, command: exit}}}",
        "hydra/launcher=joblib",
        "+hydra/callbacks=x",
        "+optim@hydra.callbacks.x=sgd",
        "~hydra.run",
    ],
)
def test_a_run_folder_cannot_change_hydras_own_settings(saved_run, override):
    with pytest.raises(ConfigError, match=re.escape(override)):
        parse_arguments([f"resume={saved_run('seed=1', override)}"])


@pytest.mark.parametrize(
    "override",
    [
        "experiment=../../outputs/RUN/x",
        "experiment=[blog/mlp,../../outputs/RUN/x]",
        "experiment=./../../outputs/RUN/x",
        "experiment=glob(../../outputs/RUN/*)",
        "experiment=${oc.decode:../../outputs/RUN/x}",
        "experiment='${oc.env:NOWHERE,..}/../outputs/RUN/x'",
        "model=../../outputs/RUN/x",
        "trick=[../../outputs/RUN/x]",
        "+experiment/blog=../../../outputs/RUN/x",
        "model=mine",
        "trick=[ema]",
        "watch.film_fps=3",
    ],
)
def test_a_run_folder_names_only_options_and_settings_of_this_version(saved_run, override):
    with pytest.raises(ConfigError, match=re.escape(override)):
        parse_arguments([f"resume={saved_run('seed=1', override)}"])


def test_a_run_folder_may_name_an_option_of_the_users_own_where_its_folder_is_typed(saved_run):
    folder = saved_run("model=mine/small")
    assert "model=mine/small" in parse_arguments([f"resume={folder}", "--config-dir", "mine"])
    with pytest.raises(ConfigError, match=r"overrides\.yaml"):
        parse_arguments([f"resume={saved_run('model=../mine')}", "--config-dir", "mine"])


@pytest.mark.parametrize(
    "override",
    ["trick=[]", "trick=[r1,instance_noise]", "experiment=blog/mlp", "dataset.path=../data"],
)
def test_what_a_run_was_started_with_is_taken_over(saved_run, override):
    assert override in parse_arguments([f"resume={saved_run(override)}"])


def test_a_run_folder_cannot_trust_itself(saved_run):
    folder = saved_run("++trust=true", "model.generator._target_=os.system")
    overrides = parse_arguments([f"resume={folder}"])
    assert [override for override in overrides if override.startswith("trust")] == ["trust=false"]
    typed_again = parse_arguments([f"resume={folder}", "model.discriminator._target_=os.system"])
    assert [override for override in typed_again if override.startswith("trust")] == ["trust=['os.system']"]


@pytest.mark.parametrize(
    ("sources", "name", "typed", "missing"),
    [
        (["hydra", "main"], "train", [], None),
        (["main", "command-line"], "train", [], "--config-dir"),
        (["main", "command-line"], "train", ["--config-dir", "mine"], None),
        (["main", "command-line"], "mine/big", ["--config-dir=mine"], "--config-name mine/big"),
        (["main", "command-line"], "mine/big", ["-cd", "mine", "-cn", "mine/big"], None),
        (["main", "command-line"], "x\n\033[2J", ["--config-dir", "mine"], "--config-name NAME"),
    ],
)
def test_a_run_with_yaml_files_of_the_users_own_needs_their_place_on_the_command_line(saved_run, sources, name, typed, missing):  # fmt: skip
    """The run folder, which may come from anybody, cannot say where they are."""
    folder = saved_run("seed=1")
    sources = [{"provider": source, "path": "/evil"} for source in sources]
    hydra = {"hydra": {"runtime": {"config_sources": sources}, "job": {"config_name": name}}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(hydra))
    if missing is None:
        assert "seed=1" in parse_arguments([f"resume={folder}", *typed])
    else:
        with pytest.raises(ConfigError, match=f"add .*{missing}") as error:
            parse_arguments([f"resume={folder}", *typed])
        assert "evil" not in str(error.value) and "\033" not in str(error.value)


def test_in_a_sweep_a_setting_of_a_group_is_checked_against_each_job():
    arguments = ["-m", "trick=[r1],[r1,r2]", "trick.r1.gamma=1e-3", "seed=1", "model.generator.hidden=[8,'a b']"]
    assert parse_arguments(arguments) == [
        "-m",
        "trick=[r1],[r1,r2]",
        "trick.r1.gamma=choice(0.001)",
        "seed=1",
        "model.generator.hidden=choice([8,'a b'])",
    ]
    kept = ["optim.generator.lr=1,2", "~loss.target", "loss.x=", "hydra.sweep.dir=x", "model=mlp"]
    assert parse_arguments(["-m", *kept]) == ["-m", *kept] and parse_arguments(arguments[2:4]) == arguments[2:4]


def test_a_sweep_of_one_value_is_written_without_choice():
    assert single_choice("x=choice(5)") == "x=5" and single_choice("+x=choice([1,'a b'])") == "+x=[1,'a b']"
    assert single_choice("x=1,2") == "x=1,2" and single_choice("x=choice(1,2)") == "x=choice(1,2)"


def test_saved_overrides_that_cannot_be_read_are_an_error_with_its_cause(tmp_path, monkeypatch):
    def fail(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(files, "read_yaml", fail)
    with pytest.raises(PermissionError):
        parse_arguments([f"resume={tmp_path}"])


@pytest.mark.parametrize("typed", ["{root}/train.py", "../{name}/train.py", "{root}/gan/report/__main__.py"])
def test_a_printed_line_names_the_programs_as_they_can_be_reached(tmp_path, monkeypatch, typed):
    """As they were typed, or else from the current folder."""
    root = tmp_path / "my gan"
    (root / "here").mkdir(parents=True)
    monkeypatch.setattr(overrides, "CONF", root / "conf")
    monkeypatch.setattr(sys, "argv", [typed.format(root=root, name=root.name)])
    monkeypatch.chdir(root)
    assert shell_line("sample.py", "run=a b") == "python sample.py 'run=a b'"
    assert shell_line("gan.evaluate", "run=x") == "python -m gan.evaluate run=x"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    place = str(root) if typed == "{root}/train.py" else "../my gan"
    assert shell_line("sample.py", "n=5") == f"python '{place}/sample.py' n=5"
    assert shell_line("gan.evaluate", "run=x") == f"PYTHONPATH='{place}' python -m gan.evaluate run=x"
