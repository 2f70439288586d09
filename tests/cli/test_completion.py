"""What the tab key completes: Hydra asks the program with the line in COMP_LINE."""

import pytest


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("'trick=[r1]' trick.r1.g", "trick.r1.gamma="),
        ("'trick=[r1]' experiment=blog/m", "experiment=blog/mlp"),
        ("experiment=blog/m", "experiment=blog/mlp"),
        ("dataset.path='a b' optim.generator.l", "optim.generator.lr="),
        ("trick=[r1,instance", "trick=[r1,instance_noise"),
        ("-m loss=hinge,nons", "loss=hinge,nonsaturating"),
        ("data_d", "data_dir="),
    ],
)
def test_the_tab_key_completes_words_after_quotes_and_options_in_folders(program, line, completed):
    done = program("train.py", "-sc", "query=bash", COMP_LINE=f"python train.py {line}")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [completed], "")


def test_the_tab_key_completes_the_users_own_options(program, tmp_path):
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim" / "quick.yaml").touch()
    line = f"python train.py --config-dir {tmp_path} optim=q"
    assert program("train.py", "-sc", "query=bash", COMP_LINE=line).stdout.split() == ["optim=quick"]


def test_the_tab_key_can_be_installed(program):
    assert "complete" in program("train.py", "--shell-completion", "install=bash").stdout
