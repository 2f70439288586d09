"""Names of groups, and the order of settings."""

import pytest

from gan.report.groups import group_runs
from gan.report.runs import find_runs
from tests.report.conftest import write_run


def names_of(folder, *runs):
    for number, overrides in enumerate(runs):
        write_run(folder / f"run{number}", *overrides)
    return [group.name for group in group_runs(find_runs([folder]))]


def test_a_name_has_options_alone_and_numbers_with_the_end_of_their_names(tmp_path):
    names = names_of(
        tmp_path, ["model=mlp", "optim.generator.lr=0.00123456"], ["model=dcgan", "optim.generator.lr=0.2"]
    )
    assert names == ["mlp", "dcgan"]  # which tells them apart


def test_a_name_has_as_many_settings_as_it_takes(tmp_path):
    names = names_of(
        tmp_path, ["model=mlp", "train.batch_size=8"], ["model=mlp", "train.batch_size=16"], ["model=dcgan"]
    )
    assert names == ["mlp batch_size=8", "mlp batch_size=16", "dcgan batch_size=32"]


def test_names_that_end_alike_say_whose_they_are(tmp_path):
    rates = [
        ["optim.generator.lr=0.1", "optim.discriminator.lr=0.2"],
        ["optim.generator.lr=0.1", "optim.discriminator.lr=0.3"],
    ]
    names = names_of(tmp_path, *rates, ["optim.generator.lr=0.00098765", "optim.discriminator.lr=0.2"])
    assert names[0] == "generator.lr=0.0009877 discriminator.lr=0.2" and len(set(names)) == 3


def test_one_run_has_the_name_of_its_folder(tmp_path):
    assert names_of(tmp_path, ["model=mlp"]) == ["run0"]


def test_runs_that_no_setting_tells_apart_have_their_folders_in_their_names(tmp_path):
    write_run(tmp_path / "a", "model=mlp")
    write_run(tmp_path / "b", "model=mlp", state="refused", losses=(), frames=0)
    names = [group.name for group in group_runs(find_runs([tmp_path]))]
    assert len(set(names)) == 2 and any("b" in name for name in names)


@pytest.mark.parametrize("values", [["9", "10"], ["1e-4", "0.001"], ["2", "10", "100"]])
def test_settings_are_sorted_as_numbers(tmp_path, values):
    for value in reversed(values):
        write_run(tmp_path / f"x{value}", f"train.batch_size={value}")
    groups = group_runs(find_runs([tmp_path]))
    assert [float(group.settings["train.batch_size"]) for group in groups] == [float(value) for value in values]
