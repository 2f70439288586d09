"""Numbers that checks read from a run."""

import json

import pytest

from gan.report.measurements import MissingData, final_score, logged, tenth_means
from gan.report.runs import RunFolder
from tests.report.conftest import COMPLETE_PROTOCOL, write_claim_run, write_rows

EVALUATION = COMPLETE_PROTOCOL | {"generated": 10_000, "step": 100, "checkpoint": "last", "ema": True}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 20.0),
        ({"generated": 2000}, 20.0),
        ({"generated": 1999}, 30.0),
        ({"ema": False}, 30.0),
        ({"checkpoint": "best"}, 30.0),
        ({"step": 9}, 30.0),
        ({"split": "train"}, 30.0),
        ({"features": "inception-0"}, 30.0),
        ({"scores": {"fid_mnist": {"mean": None}}}, 30.0),
        ({"generated": "all"}, 30.0),
        ({"scores": [20.0]}, 30.0),
    ],
)
def test_the_final_score_is_that_of_the_most_images_against_test_images(tmp_path, change, expected):
    run = write_claim_run(tmp_path, scores=[(10, 30.0)])  # of 2,000 images
    evaluation = EVALUATION | {"scores": {"fid_mnist": {"mean": 20.0, "spread": None}}} | change
    (run.folder / "scores.json").write_text(json.dumps([evaluation]))
    assert final_score(RunFolder(run.folder), "fid").value == expected


def test_logged_numbers_must_be_there_and_finite(tmp_path):
    run = write_claim_run(tmp_path, rows=[(epoch, epoch, 1, 0.5, 0.5) for epoch in range(1, 5)])
    assert logged(run, "discriminator/loss", 2, 3) == [2, 3]
    for arguments, reason in ((("discriminator/loss", 5, 6), "nothing"), (("generator/lr",), "generator/lr")):
        with pytest.raises(MissingData, match=reason):
            logged(run, *arguments)
    write_rows(tmp_path / "metrics.jsonl", [{"step": 1, "epoch": 1, "discriminator/loss": None}])
    with pytest.raises(MissingData, match="discriminator/loss"):
        logged(RunFolder(tmp_path), "discriminator/loss")


def test_tenths_have_at_least_one_value():
    assert tenth_means([1.0, 2.0, 3.0]) == (1.0, 3.0)
    assert tenth_means([float(value) for value in range(20)]) == (0.5, 18.5)
