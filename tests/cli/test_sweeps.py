"""Sweeps: which jobs they have, where each one is, and what their end says."""

import csv
import shlex
import shutil

import pytest
import yaml
from filelock import FileLock
from PIL import Image

from gan.cli.job_settings import already_done, to_yaml
from gan.cli.sweep_results import SweepRun
from gan.cli.sweeps import Job, Sweep, swept_values
from gan.config.errors import ConfigError
from gan.system import status
from tests.conftest import CONF, ROOT, composed, read_status

STEPS = "train.max_steps=2"


def jobs_in(folder):
    """The folders of the runs in a sweep's folder."""
    return sorted(path.parent.name for path in folder.glob("*/status.json"))


def table_of(done, folder):
    """The words in each line of the table that a sweep prints."""
    lines = done.stdout[done.stdout.rindex(f"\n{folder}\n") :].splitlines()[3:]
    return [line.split() for line in lines if not line.startswith("  ")]


def resume_words(done):
    """The words of the line that goes on with a sweep."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  resume ")]
    return shlex.split(line.removeprefix("  resume "))


@pytest.mark.slow
def test_a_sweep_continues_after_a_job_that_diverges_or_has_a_wrong_setting(train, tmp_path):
    done = train(
        "-m",
        f"hydra.sweep.dir={tmp_path}",
        "optim=sgd",
        "optim.generator.lr=0.01,1e30,-1",
        "train.max_steps=20",
        "watch.log_every=5",
    )
    names = [f"optim.generator.lr-{rate}" for rate in ("0.01", "1e+30", "-1")]
    assert [read_status(tmp_path / name)["state"] for name in names] == ["finished", "diverged", "refused"]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [row[1] for row in table_of(done, tmp_path)] == ["finished", "diverged", "refused"]


@pytest.mark.slow
def test_a_sweep_that_is_extended_trains_only_what_is_new(train, tmp_path):
    """Also where one value was typed before, and where arguments come in another order."""
    sweep = ["-m", STEPS, f"hydra.sweep.dir={tmp_path}"]
    assert train(*sweep, "optim=adam").returncode == 0
    assert jobs_in(tmp_path) == ["model-mlp_optim-adam"]
    assert train(*sweep, "optim=adam,sgd", "loss=hinge,nonsaturating").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/checkpoints/last.pt")}
    assert len(before) == 4
    done = train(*sweep, "loss=hinge,nonsaturating", "optim=adam,sgd,adam_sgd")
    assert done.returncode == 0 and len(table_of(done, tmp_path)) == 6, done
    assert len(jobs_in(tmp_path)) == 6 and not {"0", "1", "2"} & {name[0] for name in jobs_in(tmp_path)}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


@pytest.mark.slow
def test_a_job_whose_option_was_edited_is_another_job(train, tmp_path):
    """It is trained in a folder of its own, the setting is named, and the earlier run is as it was."""
    option = tmp_path / "mine" / "optim" / "quick.yaml"
    option.parent.mkdir(parents=True)
    sweep = ["-m", f"--config-dir={tmp_path / 'mine'}", "optim=quick", STEPS, f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    for rate in (0.01, 0.02, 0.01):
        option.write_text((CONF / "optim" / "sgd_momentum.yaml").read_text("utf-8").replace("lr: 0.01", f"lr: {rate}"))
        done = train(*sweep)
        assert done.returncode == 0, done.stderr
        if rate == 0.02:
            assert "optim.discriminator.lr was 0.01 and is now 0.02" in done.stdout
            assert [row[0] for row in table_of(done, tmp_path / "sweep")] == ["model-mlp_optim-quick_2"]
    assert "optim-quick: skipped" in done.stdout
    assert jobs_in(tmp_path / "sweep") == ["model-mlp_optim-quick", "model-mlp_optim-quick_2"]
    rates = [
        yaml.safe_load((tmp_path / "sweep" / name / ".hydra" / "config.yaml").read_text())["optim"]["discriminator"][
            "lr"
        ]
        for name in jobs_in(tmp_path / "sweep")
    ]
    assert rates == [0.01, 0.02]


def test_a_longer_run_and_other_outputs_are_other_jobs_but_other_threads_are_not(tmp_path):
    write_job(tmp_path, composed("train.max_steps=2"), state="finished")
    assert already_done(composed("train.max_steps=2", "threads=1", "data_dir=x", "retry=true"), tmp_path, saved=True)
    for override in ("train.max_steps=4", "watch.scores_every=1", "seed=1", "device=cpu"):
        with pytest.raises(ConfigError, match=override.partition("=")[0]):
            already_done(composed("train.max_steps=2", override), tmp_path, saved=True)


def write_job(folder, cfg, **outcome):
    """A run folder with the settings `cfg`."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(to_yaml(cfg))
    status.update(folder, **outcome)


@pytest.mark.parametrize(("error", "is_done"), [("the images are all alike.", True), (None, False)])
def test_a_sweep_that_is_run_again_skips_a_job_that_stopped_at_a_failure(tmp_path, error, is_done):
    write_job(tmp_path, composed(), state="stopped", error=error)
    cfg = composed()
    assert already_done(cfg, tmp_path, saved=True) is is_done
    assert cfg.resume == (None if is_done else str(tmp_path))


@pytest.mark.slow
def test_two_jobs_never_share_a_folder(train, tmp_path):
    """Nor where they are the same job twice, and the second time the sweep finds both."""
    sweep = ["-m", "seed=1,1", STEPS, f"hydra.sweep.dir={tmp_path}"]
    for _ in range(2):
        done = train(*sweep)
        assert done.returncode == 0 and jobs_in(tmp_path) == ["seed-1", "seed-1_2"], done.stderr
    assert done.stdout.count("skipped") == 2


def choose(sweep, *names):
    """The name of the folder for each of several jobs, whose settings are their numbers."""
    for number, name in enumerate(names):
        candidates = (sweep.folder / f"{name}{suffix}" for suffix in ("", "_2", "_3"))
        folder = sweep.choose_folder(candidates, {"number": number})
        sweep.jobs.append(Job(folder, [], {"number": number}))
    return [job.folder.name for job in sweep.jobs]


@pytest.fixture
def sweep(tmp_path):
    sweep = Sweep()
    sweep.folder = tmp_path
    return sweep


def test_jobs_whose_names_differ_in_case_alone_have_folders_of_their_own(sweep):
    """Some file systems take them for one."""
    assert choose(sweep, "path-A", "path-a", "path-b") == ["path-A", "path-a_2", "path-b"]


def test_a_folder_is_found_by_its_settings_whatever_its_name(sweep, tmp_path):
    """A job that was renamed, one that another sweep took the name from, and a folder without a run."""
    for name, settings in (("7_old", {"number": 0}), ("b", {"number": 9}), ("b_2", {"number": 1}), ("c", None)):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        if settings:
            (tmp_path / name / ".hydra" / "config.yaml").write_text(yaml.safe_dump(settings))
    assert choose(sweep, "a", "b", "b", "c") == ["7_old", "b_2", "b_3", "c"]


def test_the_table_and_the_exit_code_are_about_this_sweep_alone(train, tmp_path):
    """A job of another sweep in that folder was refused days ago."""
    write_job(tmp_path / "seed-7", composed("seed=7"), state="refused", error="x.")
    done = train("-m", "seed=1", STEPS, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0 and [row[1] for row in table_of(done, tmp_path)] == ["finished"], done


@pytest.mark.slow
def test_the_table_has_jobs_wherever_they_are(train, tmp_path):
    subdir = "hydra.sweep.subdir='runs/${hydra:job.num}/here'"
    done = train("-m", "optim.generator.lr=1e-3,-1", STEPS, f"hydra.sweep.dir={tmp_path}", subdir)
    rows = [row[:2] for row in table_of(done, tmp_path)]
    assert done.returncode == 1 and rows == [["runs/0/here", "finished"], ["runs/1/here", "refused"]]


@pytest.mark.slow
def test_a_job_that_another_process_trains_is_skipped_and_the_last_line_trains_it_later(train, program, tmp_path):
    (tmp_path / "seed-1").mkdir()
    with FileLock(tmp_path / "seed-1" / ".lock"):
        done = train("-m", "seed=1,2", STEPS, f"hydra.sweep.dir={tmp_path}")
    rows = [row[:3] for row in table_of(done, tmp_path)[:2]]
    assert done.returncode == 1 and rows == [["seed-1", "in", "use"], ["seed-2", "finished", "2"]]
    assert "run the sweep again" in done.stdout and "hydra.run.dir" not in done.stdout + done.stderr
    python, *words = resume_words(done)
    assert python == "python" and program(*words).returncode == 0
    assert [read_status(tmp_path / f"seed-{seed}")["state"] for seed in (1, 2)] == ["finished", "finished"]


def test_a_setting_is_checked_against_each_job_and_not_against_the_defaults(train, tmp_path):
    folder = f"hydra.sweep.dir={tmp_path}"
    done = train("-m", "trick=[r1],[r1,instance_noise]", "trick.r1.gamma=5", STEPS, folder)
    assert done.returncode == 0 and jobs_in(tmp_path) == ["trick-r1", "trick-r1+instance_noise"], done.stderr
    for name in jobs_in(tmp_path):
        assert yaml.safe_load((tmp_path / name / ".hydra" / "config.yaml").read_text())["trick"]["r1"]["gamma"] == 5


def test_an_error_names_the_job_that_lacks_a_setting(train, tmp_path):
    done = train("-m", "optim=sgd,adam", "optim.discriminator.momentum=0.5", STEPS, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and not jobs_in(tmp_path)
    assert all(words in done.stderr for words in ("optim.discriminator.momentum", "optim=adam"))


@pytest.mark.slow
def test_a_setting_that_each_option_has_is_set_in_each_job(train, tmp_path):
    done = train("-m", "optim=sgd,adam_sgd", "optim.discriminator.momentum=0.5", STEPS, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0 and jobs_in(tmp_path) == ["optim-adam_sgd", "optim-sgd"], done.stderr
    for name in jobs_in(tmp_path):
        optim = yaml.safe_load((tmp_path / name / ".hydra" / "config.yaml").read_text())["optim"]
        assert optim["discriminator"]["momentum"] == 0.5


@pytest.mark.slow
def test_a_job_that_was_removed_is_trained_again(train, tmp_path):
    sweep = ["-m", "seed=1,2", STEPS, f"hydra.sweep.dir={tmp_path}"]
    assert train(*sweep).returncode == 0
    shutil.rmtree(tmp_path / "seed-1")
    done = train(*sweep)
    assert done.returncode == 0 and done.stdout.count("skipped") == 1
    assert [row[:2] for row in table_of(done, tmp_path)] == [["seed-1", "finished"], ["seed-2", "finished"]]


def assert_results(done, folder, names):
    """The last line says where the contact sheet and the table are, and what to type; the table has these runs."""
    last = done.stdout.splitlines()[-1]
    assert all(words in last for words in ("sweep.png", "sweep.csv", "python -m gan.report"))
    assert (ROOT / last.split(" in ")[1].partition(";")[0]).resolve() == folder and last.endswith(folder.name)
    with (folder / "sweep.csv").open(newline="") as file:
        assert [row["job"] for row in csv.DictReader(file)] == names
    with Image.open(folder / "sweep.png") as sheet:
        assert sheet.format == "PNG"


def test_a_sweep_ends_with_a_contact_sheet_and_a_table_also_where_a_job_failed(train, program, tmp_path):
    """What to type for the report works."""
    folder = tmp_path / "sweep"
    done = train("-m", "optim.generator.lr=1e-3,-1", STEPS, f"hydra.sweep.dir={folder}")
    assert done.returncode == 1
    assert_results(done, folder, ["optim.generator.lr-0.001", "optim.generator.lr--1"])
    with (folder / "sweep.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["state"], second["state"]) == ("finished", "refused")
    assert float(first["D loss"]) == read_status(folder / first["job"])["last"]["discriminator/loss"]
    assert second["D loss"] == ""
    module, path = shlex.split(done.stdout.splitlines()[-1].rpartition(" python -m ")[2])
    assert program(module, path).returncode == 0 and (folder / "report.html").exists()


@pytest.mark.slow
def test_a_sweep_that_is_run_again_renews_its_contact_sheet_with_the_earlier_runs(train, tmp_path):
    write_job(tmp_path / "seed-7", composed("seed=7"), state="refused", error="x.")
    done = train("-m", "seed=1,2", STEPS, f"hydra.sweep.dir={tmp_path}")
    assert_results(done, tmp_path, ["seed-1", "seed-2", "seed-7"])
    before = (tmp_path / "sweep.png").read_bytes()
    done = train("-m", "seed=2,3", STEPS, f"hydra.sweep.dir={tmp_path}")
    assert_results(done, tmp_path, ["seed-2", "seed-3", "seed-1", "seed-7"])
    assert (tmp_path / "sweep.png").read_bytes() != before


@pytest.mark.slow
def test_a_contact_sheet_that_cannot_be_written_costs_a_sentence_and_not_the_sweep(train, tmp_path):
    (tmp_path / "sweep.png").mkdir()
    done = train("-m", "seed=1", STEPS, f"hydra.sweep.dir={tmp_path}")
    *_, sentence, last = done.stdout.splitlines()
    assert done.returncode == 0 and "sweep.png" in sentence and "Traceback" not in done.stdout + done.stderr
    assert "sweep.csv" in last and "sweep.png" not in last and "gan.report" in last
    assert (tmp_path / "sweep.csv").exists()


@pytest.mark.parametrize(
    ("overrides", "swept", "label"),
    [
        (["model=mlp", "trick=[r1]", "seed=1", "hydra.sweep.subdir=x"], {"model", "trick"}, "model=mlp trick=[r1]"),
        (["seed=1"], set(), "folder"),
        ([1, None, {}], {"seed"}, "folder"),
        (None, {"seed"}, "folder"),
        ("seed=1", {"seed"}, "folder"),
    ],
)
def test_a_label_is_what_was_swept_as_it_was_typed(tmp_path, overrides, swept, label):
    """Or else the name of the folder, also where a run's files say something else."""
    assert SweepRun(tmp_path / "folder", swept_values(overrides, swept), status.INITIAL).label == label
