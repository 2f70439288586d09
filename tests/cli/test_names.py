"""Names of run folders."""

import itertools
import re

import pytest

from gan.cli.names import MAX_JOB_LENGTH, folder_name, job_name, sort_key


def test_a_folders_name_lists_the_overrides_and_no_two_runs_share_one():
    assert folder_name([]) == folder_name(["threads=1"]) == folder_name(["trust=true"]) == "default"
    assert folder_name(["model=mlp", "optim.generator.lr=1e-4"]) == "model-mlp_optim.generator.lr-1e-4"
    assert folder_name(["experiment=blog/mlp", "trick=[r1,r2]"]) == "experiment-blog-mlp_trick-r1-r2"
    long = ["experiment=paper/goodfellow2014_mnist", "dataset=digits", "train.max_steps=100", "optim.discriminator.lr="]
    runs = [
        ["optim.generator.lr=0.1"],
        ["optim.discriminator.lr=0.1"],
        ["loss.fake_target=1"],
        ["loss.fake_target=-1"],
        ["dataset.path=/data/faces"],
        ["dataset.path=data/faces"],
        [*long[:-1], long[-1] + "0.1"],
        [*long[:-1], long[-1] + "0.2"],
    ]
    assert len({folder_name(overrides) for overrides in runs}) == len(runs)
    assert all(len(folder_name(overrides)) <= 80 for overrides in runs)


@pytest.mark.parametrize(
    ("overrides", "swept", "name"),
    [
        (["model=mlp", "optim=adam", "seed=3", "threads=1"], {"model", "optim"}, "model-mlp_optim-adam"),
        (["optim=sgd", "train.max_steps=20"], set(), "optim-sgd"),
        (["seed=1", "train.max_steps=20", "threads=1"], set(), "seed-1_train.max_steps-20"),
        (["threads=1"], set(), "default"),
        (["threads=1"], {"threads"}, "threads-1"),
        (["trick=[r1,instance_noise]"], {"trick"}, "trick-r1+instance_noise"),
        (["trick=[]"], {"trick"}, "trick-none"),
        (["+x=null", "y=true", "z='a b'"], {"x", "y", "z"}, "x-null_y-true_z-a-b"),
        (["optim.generator.betas=[0.5,0.9]", "loss.fake_target=-1"], {"optim.generator.betas", "loss.fake_target"},
         "optim.generator.betas-0.5+0.9_loss.fake_target--1"),
        (["experiment=blog/mlp"], {"experiment"}, "experiment-blog-mlp"),
    ],
)  # fmt: skip
def test_the_folder_of_a_job_is_named_after_what_was_swept(overrides, swept, name):
    assert job_name(overrides, swept) == name


@pytest.mark.parametrize("value", ["a,b", "a=b", "[a]", "{a: b}", "a (1)", "läuf", "a#b", "a/../b"])
def test_the_folder_of_a_job_has_no_special_characters(value):
    assert re.fullmatch(r"x-[\w.+-]+", job_name([f"x='{value}'"], {"x"}), re.ASCII)


def test_values_are_cut_only_in_a_name_of_more_than_120_characters():
    path = "x" * (MAX_JOB_LENGTH - len("dataset.path-"))
    assert job_name([f"dataset.path={path}"], {"dataset.path"}) == f"dataset.path-{path}"
    long = job_name([f"dataset.path={path}y", "seed=1"], {"dataset.path", "seed"}, "_2")
    assert len(long) == MAX_JOB_LENGTH and long.startswith("dataset.path-xxx") and long.endswith("_seed-1_2")
    many = [f"optim.discriminator.setting{number}=0.123456789" for number in range(70)]
    assert len(job_name(many, {many_name.partition("=")[0] for many_name in many})) <= MAX_JOB_LENGTH


@pytest.mark.parametrize(
    "ordered",
    [
        ["-1", "1e-05", "1e-3", "0.01", "2", "9", "10", "1e3"],
        ["1", "[0.0,0.9]", "[0.5,0.9]", "[0.5,0.999]", "[9]", "[10]", "mlp"],
        ["seed-2", "seed-9", "seed-10", "seed-10_2"],
        ["9", "dcgan", "mlp", "nan"],
    ],
)
def test_numbers_are_sorted_by_value_alone_and_in_names(ordered):
    keys = list(map(sort_key, ordered))
    assert all(one < other for one, other in itertools.pairwise(keys))
