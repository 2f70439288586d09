"""Each claim comes out right for a made-up run that does what its author says, and for one that does the opposite."""

import inspect
import math
import re
from collections import Counter

import pytest
from PIL import Image

from gan.metrics.catalogue import METRICS
from gan.report.claim_files import load_claims
from gan.report.claim_results import evaluate_claim, find_check
from gan.report.runs import RunFolder
from tests.conftest import CONF, composed
from tests.report.conftest import write_claim_run

CLAIMS = {
    (name, number): claim
    for name, published in load_claims().items()
    for number, claim in enumerate(published.claims, 1)
}


def noise(epoch):
    """A curve's own noise, within 0.05."""
    return 0.05 * math.sin(7 * epoch)


def level(epoch):
    return 1.3 + noise(epoch), 0.9 + noise(epoch), 0.6 + noise(epoch), 0.4 + noise(epoch)


def settled(epoch):
    """Level, after a generator's loss that falls in the first epochs, as every one does."""
    return (0.2, 9.0 / epoch, 0.9, 0.1) if epoch < 10 else level(epoch)


def falling(epoch):
    return 1.3 - epoch / 200, *level(epoch)[1:]


def drifting(epoch):
    return *level(epoch)[:3], 0.2 + epoch / 1000


def converged(epoch):
    """D(x) stays above 0.5 and D(G(z)) below it in every row, and both are 0.5 to a reader."""
    return 1.386, 0.693, 0.501, 0.499


def won_from(start):
    """Balanced, until D wins at an epoch."""
    return lambda epoch: level(epoch) if epoch < start else (1e-6, 20.0, 1.0, 0.0)


def gave_up(epoch):
    """D outputs the best constant for targets of 0.95 and 0, and G's loss settles since nothing goes on."""
    return 1.38, 0.744 + 0.5 / epoch, 0.475, 0.475


def calming(epoch):
    return 1.2, 0.75 + 2 * noise(epoch) / epoch, 0.6, 0.4


def restless(epoch):
    return 1.2, 0.75 + noise(epoch) * epoch, 0.6, 0.4


def at_log_2(epoch):
    return 0.693 + noise(epoch) / 10, 0.7, 0.5, 0.5


def gradient(last, real):
    """G's gradient norm falls to `last` after 20 epochs, where D(x) is `real`."""
    return lambda epoch: (0.1, 3.0, real, 0.05, {"generator/gradient_norm": 1.0 if epoch < 20 else last})


def images(fid, pixel_precision, **others):
    columns = {"fid_mnist": fid, "pixel_precision": pixel_precision, "coverage_mnist": 1 / fid}
    return columns | others


BAD, GOOD, BETTER, BEST = images(300.0, 0.0), images(20.0, 0.7), images(4.0, 0.85), images(2.0, 0.9)
SPECKLED = images(290.0, 0.8)  # as BAD by the features
KINDS = images(90.0, 0.8, modes_in_100=8.7, pixel_modes_in_100=8.6)
ONE_KIND = images(90.0, 0.8, modes_in_100=1.0, pixel_modes_in_100=1.0)


def trained(early, late, curve=None, **status):
    """A run with scores after every fifth epoch: `early` for the first two thirds, then `late`."""
    return {"early": early, "late": late, "curve": curve, **status}


def found(path, step=None):
    """A run on the Dirac-GAN, with the verdict of its path and that of its eigenvalues."""
    return trained({}, {}, findings={"dirac/path": path, "dirac/step": step})


def points(modes_found, mode_kl, high_quality=0.9):
    return {"modes_found": modes_found, "mode_kl": mode_kl, "high_quality": high_quality}


AWAY = [(found("circles", "diverges"), []), (found("converges", "converges"), []), (found("converges", "circles"), [])]
DIVERGED = trained({}, {}, state="diverged", findings={"dirac/path": "diverges", "dirac/step": "diverges"})
THERE = [(found("converges", "converges"), []), (found("circles", "circles"), []), (found("stalls", "converges"), [])]
MOVING = [(found("circles"), []), (found("converges"), [])]
OUTWARD = [(found("diverges", "diverges"), []), (found("circles", "diverges"), []), (found("circles", "circles"), [])]
ALL, MOST, ONE = points(8, 0.01), points(7, 0.3), points(1, 2.05)
ALL_25, MOST_25 = points(25, 0.04), points(17, 0.7)

# For each claim a run for which it holds and one for which it does not, and the scores of the baselines of each.
EITHER_WAY = {
    ("blog/conv", 1): [(trained(BAD, BAD, at_log_2), []), (trained(BAD, BAD, level), [])],
    **{("blog/conv", n): [(trained(GOOD, BETTER), [BAD]), (trained(BAD, BAD), [BAD])] for n in (2, 3, 4, 5)},
    ("blog/dcgan_cifar10", 1): [
        (trained({"classifier_score_cifar10": 4.0}, {"classifier_score_cifar10": 4.0}), []),
        (trained({"classifier_score_cifar10": 2.0}, {"classifier_score_cifar10": 2.0}), []),
    ],
    ("blog/dcgan_cifar10", 2): [(trained(BAD, BAD, seconds=9e4), []), (trained(BAD, BAD, seconds=900.0), [])],
    ("blog/log_sigmoid", 1): [(trained(BAD, BAD, state="diverged"), []), (trained(GOOD, BEST), [])],
    ("blog/log_sigmoid", 2): [
        (trained(BAD, BAD, state="diverged", step=18_500, error="NaN"), []),
        (trained(BAD, BAD, level), []),
    ],
    ("blog/log_tanh", 1): [
        (trained(GOOD, images(150.0, 0.7, parzen=112.0)), []),
        (trained(BAD, images(150.0, 0.1, parzen=-470.0)), []),
    ],
    ("blog/log_tanh", 2): [(trained(GOOD, GOOD), [BAD]), (trained(BAD, BAD), [BAD])],
    ("blog/log_tanh", 3): [(trained(BAD, BAD, gradient(0.01, 0.99)), []), (trained(BAD, BAD, gradient(1.8, 0.6)), [])],
    ("blog/mlp", 1): [(trained(GOOD, GOOD, settled), []), (trained(GOOD, GOOD, falling), [])],
    ("blog/mlp", 2): [(trained(GOOD, GOOD, level), []), (trained(GOOD, GOOD, converged), [])],
    ("blog/mlp", 3): [(trained(GOOD, GOOD, settled), []), (trained(GOOD, GOOD, drifting), [])],
    ("blog/mlp", 4): [(trained(GOOD, GOOD), []), (trained(GOOD, BETTER), [])],
    ("blog/mlp", 5): [(trained(GOOD, BETTER), [GOOD]), (trained(GOOD, GOOD), [BETTER])],
    ("blog/paper_adam", 1): [(trained(BAD, BAD, level), []), (trained(BAD, BAD, won_from(25)), [])],
    ("blog/paper_adam", 2): [(trained(BAD, BAD), []), (trained(GOOD, BEST), [])],
    ("blog/paper_adam", 3): [(trained(BAD, BAD), []), (trained(BAD, GOOD), [])],
    ("blog/paper_adam", 4): [(trained(BAD, BAD, grids="new"), []), (trained(BAD, BAD, grids="same"), [])],
    ("blog/paper_batchnorm_softlabel", 1): [(trained(GOOD, GOOD), [BAD, BAD]), (trained(GOOD, GOOD), [BAD, GOOD])],
    ("blog/paper_batchnorm_softlabel", 2): [
        (trained(GOOD, GOOD, calming), []),
        (trained(GOOD, GOOD, restless), []),
        (trained(GOOD, GOOD, gave_up), []),
    ],
    **{
        ("blog/paper_batchnorm_softlabel", n): [(trained(BAD, KINDS), []), (trained(BAD, ONE_KIND), [])] for n in (3, 4)
    },
    ("blog/paper_batchnorm_softlabel", 5): [(trained(GOOD, BETTER), []), (trained(GOOD, GOOD), [])],
    ("blog/paper_batchnorm_softlabel", 6): [(trained(GOOD, BETTER), [GOOD]), (trained(GOOD, GOOD), [BETTER])],
    ("blog/paper_sgd", 1): [
        (trained(GOOD, BAD, won_from(50)), []),
        (trained(GOOD, BAD, won_from(2)), []),  # level, at 0 and 20: the check of old said that it held
    ],
    ("blog/paper_sgd", 2): [(trained(GOOD, BAD, won_from(50)), []), (trained(BAD, BAD, won_from(2)), [])],
    ("blog/paper_sgd", 3): [(trained(GOOD, BAD, won_from(50)), []), (trained(BAD, BAD, won_from(2)), [])],
    ("blog/paper_sgd", 4): [(trained(GOOD, BAD), []), (trained(BAD, BAD), [])],
    ("conv_improved", 1): [(trained(GOOD, BETTER), [BAD]), (trained(GOOD, GOOD), [GOOD])],
    ("modern", 1): [(trained(GOOD, {"modes": 1000}), []), (trained(GOOD, {"modes": 999}), [])],
    ("modern", 2): [(trained(GOOD, {"kl": 0.05}), []), (trained(GOOD, {"kl": 0.1}), [])],
    **dict.fromkeys([("toy/dirac", n) for n in (1, 3, 4)], AWAY),
    ("toy/dirac", 2): OUTWARD,
    **dict.fromkeys([("toy/dirac", n) for n in (5, 6)], MOVING),
    **dict.fromkeys([("toy/dirac", n) for n in (7, 8, 9, 10)], THERE),
    ("toy/grid25", 1): [(trained(MOST_25, points(24, 0.1)), []), (trained(MOST_25, ALL_25), [])],
    **{
        ("toy/grid25", n): [(trained(MOST_25, ALL_25), [MOST_25]), (trained(MOST_25, MOST_25), [MOST_25])]
        for n in (2, 3)
    },
    ("toy/ring8", 1): [(trained(ALL, MOST), []), (trained(MOST, ALL), [])],
    **{("toy/ring8", n): [(trained(MOST, ALL), [MOST]), (trained(ALL, MOST), [MOST])] for n in (2, 3)},
    ("toy/ring8", 4): [(trained(ALL, ONE), []), (trained(ONE, MOST), [])],
    ("toy/ring8", 5): [(trained(MOST, ALL), []), (trained(ALL, MOST), [])],
    ("toy/ring8", 6): [(trained(MOST, ALL), [MOST]), (trained(ALL, MOST), [MOST])],
    ("toy/ring8_unrolled", 1): [(trained(ALL, ALL), []), (trained(MOST, MOST), []), (trained(MOST, ALL), [])],
    ("toy/ring8_unrolled", 2): [(trained(ONE, ALL), []), (trained(ALL, points(8, 0.01, 0.02)), [])],
    ("toy/ring8_unrolled", 3): [(trained(MOST, MOST), []), (trained(ALL, ALL), []), (trained(ALL, MOST), [])],
    ("toy/ring8_unrolled", 4): [(trained(ONE, ONE), []), (trained(ALL, ONE), []), (trained(MOST, ALL), [])],
    ("paper/goodfellow2014_mnist", 1): [(trained(GOOD, {"parzen": 226.0}), []), (trained(GOOD, {"parzen": 188.0}), [])],
    ("paper/goodfellow2014_mnist", 2): [(trained(GOOD, {"parzen": 226.0}), []), (trained(GOOD, {"parzen": 188.0}), [])],
}


def epochs_of(length):
    """As many epochs as a made-up run of that length has: one of ten steps."""
    return length.amount if length.unit == "epoch" else length.amount // 10


def write_made_up_run(folder, experiment, overrides, epochs, run, generated) -> RunFolder:
    run = dict(run)
    early, late, curve, grids = run.pop("early"), run.pop("late"), run.pop("curve"), run.pop("grids", None)
    rows = [(epoch, *curve(epoch)) for epoch in range(1, epochs + 1)] if curve else []
    step = max(epochs // 20, 1)
    scores = [(epoch, early if epoch < 2 * epochs / 3 else late) for epoch in range(step, epochs, step)]
    made = write_claim_run(
        folder,
        f"experiment={experiment}",
        "seed=0",
        *overrides,
        rows=rows,
        scores=[*scores, (epochs, late)],
        steps=10 * epochs,
        generated=generated,
        **run,
    )
    if grids:
        (folder / "samples").mkdir()
        for number in range(12):
            image = Image.linear_gradient("L").resize((64, 64)).rotate(90 * number if grids == "new" else 0)
            image.save(folder / "samples" / f"step_{number:07d}.png")
    return made


@pytest.mark.parametrize("key", CLAIMS, ids=lambda key: f"{key[0]}-{key[1]}")
def test_a_claim_holds_for_a_run_as_its_author_says_and_not_for_the_opposite(tmp_path, key):
    experiment, claim = key[0], CLAIMS[key]
    published = load_claims()[experiment]
    epochs = epochs_of(published.length_of(claim))
    outcomes = []
    for number, (run, baselines) in enumerate(EITHER_WAY[key]):
        generated, folder = claim.arguments.get("images", 2000), tmp_path / str(number)
        runs = [write_made_up_run(folder / "ours", experiment, claim.overrides, epochs, run, generated)]
        for index, (baseline, scores) in enumerate(zip(claim.baselines, baselines, strict=True)):
            of = baseline.experiment, baseline.overrides, baseline.epochs or epochs
            runs.append(write_made_up_run(folder / str(index), *of, trained(scores, scores), generated))
        result = evaluate_claim(experiment, published, claim, runs)
        assert len(result.counted) == 1, result.others
        outcomes.append(result.counted[0].result.held)
    assert outcomes == [True] + [False] * (len(outcomes) - 1)


def test_every_claim_has_made_up_runs():
    assert EITHER_WAY.keys() == CLAIMS.keys()


@pytest.mark.parametrize(("name", "claim"), [(name, claim) for (name, _), claim in CLAIMS.items()])
def test_a_claim_names_a_set_up_and_a_check_with_its_arguments(name, claim):
    composed(f"experiment={name}", *claim.overrides, *load_claims()[name].watch)
    for baseline in claim.baselines:
        assert baseline.experiment in load_claims()
        composed(f"experiment={baseline.experiment}", *baseline.overrides)
    baselines = {"baselines": ["another"]} if claim.baselines else {}
    inspect.signature(find_check(claim.check)).bind("a run", **claim.arguments, **baselines)
    assert not [text for text in (claim.text, claim.note, claim.former) if text and "|" in text]  # in a table


def test_a_claim_names_numbers_that_runs_have():
    arguments = [claim.arguments for claim in CLAIMS.values()]
    metrics = {name for each in arguments for kind in ("readers", "by", "unless") for name in names_of(each.get(kind))}
    assert metrics and metrics <= {metric.name for metric in METRICS if metric.better}
    names = {name for each in arguments for name in [*names_of(each.get("names")), *names_of(each.get("name"))]}
    players = {f"{player}/loss" for player in ("discriminator", "generator")}
    assert {name for each in arguments for name in each.get("findings", {})} == {"dirac/path", "dirac/step"}
    assert names == players | {"discriminator/real", "discriminator/fake", "generator/gradient_norm"}


def names_of(argument):
    return [argument] if isinstance(argument, str) else argument if isinstance(argument, (dict, list)) else []


def test_claims_on_images_have_a_second_reader():
    alone = Counter()
    for (name, _), claim in CLAIMS.items():
        arguments = claim.arguments
        if isinstance(arguments.get("by"), dict) or "readers" in arguments:
            readers = {name for kind in ("readers", "by", "unless") for name in names_of(arguments.get(kind))}
            alone[name] += not any(reader.startswith("pixel_") for reader in readers)
    # classifiers of CIFAR-10, counts of modes, and the likelihood of 2014 are what these claims themselves are about;
    # of points the modes are known
    assert {name for name, count in alone.items() if count} == {
        "blog/dcgan_cifar10",
        "modern",
        "paper/goodfellow2014_mnist",
        "toy/grid25",
        "toy/ring8",
        "toy/ring8_unrolled",
    }


@pytest.mark.parametrize("key", CLAIMS, ids=lambda key: f"{key[0]}-{key[1]}")
def test_a_run_as_printed_is_scored_when_the_claim_wants_it(key):
    """A run is scored every so many epochs or steps, and not at its end where that is no multiple."""
    claim, arguments = CLAIMS[key], CLAIMS[key].arguments
    ends = [(key[0], load_claims()[key[0]].length_of(claim).amount)]
    ends += [(baseline.experiment, baseline.epochs or ends[0][1]) for baseline in claim.baselines]
    if not (isinstance(arguments.get("by"), dict) or "readers" in arguments) or "epochs" in arguments:
        ends = []
    for experiment, epochs in ends:
        (every,) = re.findall(r"scores_every=(\d+)", " ".join(load_claims()[experiment].watch))
        assert epochs % int(every) == 0


def test_every_published_set_up_has_its_claims_and_its_seeds():
    folder = CONF / "experiment"
    published = [*folder.glob("blog/*.yaml"), *folder.glob("paper/*.yaml")]
    claims = load_claims()
    assert {path.relative_to(folder).with_suffix("").as_posix() for path in published} <= set(claims)
    assert claims["blog/paper_sgd"].seeds == list(range(10))
    assert all(len(claims[f"blog/paper_{name}"].seeds) == 5 for name in ("adam", "batchnorm_softlabel"))


@pytest.mark.parametrize("speckles", [True, False])
def test_speckle_alone_does_not_decide(tmp_path, speckles):
    """Readable digits with speckles are worthless to the features: the run is named, and counts neither way."""
    published = load_claims()["blog/paper_adam"]
    run = trained(BAD, SPECKLED if speckles else BAD)
    made = write_made_up_run(tmp_path / "run", "blog/paper_adam", [], 100, run, 2000)
    result = evaluate_claim("blog/paper_adam", published, published.claims[1], [made])
    if speckles:
        (undecided,) = result.others
        assert str(result.verdict) == "not run" and "readers disagree" in undecided.result.evidence
    else:
        assert result.verdict[:2] == (1, 1) and not result.others
