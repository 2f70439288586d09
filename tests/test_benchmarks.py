"""The benchmarks compare the same work, and count it right. Nothing here depends on a time."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from benchmarks import reading, report, speedrun, toy_sheet, tutorial
from benchmarks.floor import COUNTED, ProductCounter, optimizer_bytes, replay
from benchmarks.profiling import KINDS, REST, kind_of, profile_step
from gan.losses import NonSaturating
from gan.optim import sgd
from gan.step import Batch, step
from gan.training import loop
from gan.tricks.base import Tricks
from tests.report import made_up
from tests.test_step import ADAM, make_players

MM, ADDMM = torch.ops.aten.mm.default, torch.ops.aten.addmm.default
ORDERS = ["discriminator_first", "generator_first", "simultaneous"]


@pytest.mark.slow
def test_every_image_is_read_and_its_memory_counted():
    small, large = reading.read_small(12), reading.read_large(2, side=4000)
    assert (small.images, large.images) == (12, 2) and min(small.seconds, large.seconds) > 0
    assert large.peak > 4000 * 4000 * 2  # bytes of the pixels of one image


def test_products_are_counted_by_shape_and_can_be_replayed():
    layer, inputs = nn.Linear(5, 3), torch.randn(7, 5)
    with ProductCounter() as products:
        layer(inputs).sum().backward()
        layer(inputs)
    assert sorted(products.calls.values()) == [1, 2]  # the weight's gradient, and two forward passes
    outputs = {call[0]: replay(call)().shape for call in products.calls}
    assert outputs == {ADDMM: (7, 3), MM: (3, 5)}
    assert products.seconds(0.001) > 0


@pytest.mark.parametrize("order", ORDERS)
def test_a_step_computes_no_unneeded_product(make_run, order):
    run = make_run(
        "model.generator.hidden=[16]", "model.discriminator.hidden=[16]", f"train.update={order}", "trick=[]"
    )
    with ProductCounter() as products:
        loop.training_step(run)
    counts = {op: sum(count for call, count in products.calls.items() if call[0] == op) for op in (ADDMM, MM)}
    # Two layers each. Backward: the weights of G and of D, 2 and 2; through G's last layer to its first, 1; through D's
    # last layer, 1 in its own update, and through both, 2, in G's.
    assert counts[MM] == 8
    # Forward, each network twice; a simultaneous step has one pass of each.
    assert counts[ADDMM] == (4 if order == "simultaneous" else 8)


def test_optimizer_bytes_are_what_an_update_reads_and_writes():
    player = make_players().discriminator
    weights = 64 * 16 + 16 + 16 + 1
    assert (
        optimizer_bytes(player) == 4 * 7 * weights
    )  # Adam reads weight, gradient and two moments, and writes all but the gradient
    player.optimizer = sgd(player.parameters, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    assert optimizer_bytes(player) == 4 * 5 * weights


def test_the_profile_of_a_step_has_every_kind_of_operator(make_run):
    run = make_run("model=conv", "train.batch_size=8", "trick=[instance_noise]")
    fractions = profile_step(lambda: loop.training_step(run), 2).fractions
    assert list(fractions) == [*KINDS, REST]
    assert sum(fractions.values()) == pytest.approx(1)
    assert min(fractions.values()) > 0


def test_the_flops_of_a_step_are_those_of_its_products(make_run):
    run = make_run("model.generator.hidden=[16]", "model.discriminator.hidden=[16]", "train.batch_size=8", "trick=[]")
    pixels, noise = run.image.pixels, run.settings.noise.dim
    generator, discriminator = noise * 16 + 16 * pixels, pixels * 16 + 16
    # D's update: G forward, D on twice the batch, its weights' gradients, and through its last layer. G's: forward
    # through both, back through D, G's weights' gradients, and through its last layer.
    products = generator + 2 * (2 * discriminator + 16) + generator + 2 * discriminator + generator + 16 * pixels
    assert profile_step(lambda: loop.training_step(run), 1).flops == 2 * 8 * products


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("aten::addmm", "products"),
        ("aten::convolution_backward", "products"),
        ("Optimizer.step#Adam.step", "optimizers"),
        ("aten::native_batch_norm", "normalization"),
        ("aten::max_pool2d_with_indices", "activations, pooling"),
        ("aten::max", "activations, pooling"),
        ("aten::maximum", REST),
        ("aten::random_", "random numbers"),
        ("aten::copy_", "copies"),
        ("aten::sum", REST),
    ],
)
def test_an_operator_has_one_kind(operator, kind):
    assert kind_of(operator) == kind


@pytest.mark.parametrize("operator", sorted(map(str, COUNTED)))
def test_what_the_floor_counts_are_products_in_the_profile(operator):
    assert kind_of("::".join(operator.split(".")[:2])) == "products"


@pytest.mark.parametrize(
    ("order", "reuse"), [*((order, False) for order in ORDERS), ("discriminator_first", True)]
)  # those of the published set-ups
def test_the_tutorial_loop_does_the_same_as_ours(monkeypatch, order, reuse):
    players = make_players()
    networks = [copy.deepcopy(player.network) for player in players]
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    noises = list(torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1)))
    order_of_use = {"generator_first": [noises[1], noises[0]], "simultaneous": [noises[1]]}
    unused_noises = iter(order_of_use.get(order, noises))
    optimizers = [torch.optim.Adam(network.parameters(), lr=ADAM["lr"], betas=ADAM["betas"]) for network in networks]
    steps = tutorial.tutorial_loop(
        networks,
        optimizers,
        tutorial.ImageByImage(images, None, (-1.0, 1.0)),
        batch_size=6,
        noise_dim=4,
        update=order,
        reuse_fakes=reuse,
        device=torch.device("cpu"),
    )
    monkeypatch.setattr(tutorial.torch, "randn", lambda *shape, device: next(unused_noises))
    losses = next(steps)
    monkeypatch.undo()

    loss = NonSaturating(terms="sum", real_target=1.0, fake_target=0.0)
    ours = step(players, loss, Tricks([]), order, reuse, [Batch(images / 127.5 - 1, noise) for noise in noises])
    assert losses["d"] == pytest.approx(ours["discriminator/loss"].item(), abs=1e-5)
    assert losses["g"] == pytest.approx(ours["generator/loss"].item(), abs=1e-5)
    for player, network in zip(players, networks, strict=True):
        for weight, expected in zip(player.parameters, network.parameters(), strict=True):
            assert torch.allclose(weight, expected, atol=1e-5)


def test_the_cost_of_a_report_is_that_of_its_own_process_and_page(tmp_path):
    made_up.write_many(tmp_path / "runs", 2)
    cost = report.build_report(tmp_path / "runs", tmp_path)
    assert cost.page_bytes == len((tmp_path / "report.html").read_bytes())
    assert 2e7 < cost.memory_bytes < 1e9 and 0.05 < cost.seconds < 60 and 0.05 < cost.processor_seconds < 60


def test_a_report_that_fails_has_no_cost(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        report.build_report(tmp_path / "missing", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(report.BROWSER is None, reason="needs chromium or google-chrome")
def test_a_page_is_loaded_after_what_takes_time_in_it(tmp_path):
    times = []
    for milliseconds in (0, 1500):
        script = f"const end = performance.now() + {milliseconds}; while (performance.now() < end);"
        (tmp_path / "page.html").write_text(f"<title>a page</title><p>text</p><script>{script}</script>")
        times.append(report.open_report(tmp_path / "page.html"))
    assert times[1][1] > times[0][1] + 1
    assert all(0 < painted < 60 and loaded <= ready for painted, loaded, ready in times)


def test_the_tutorials_networks_are_those_of_dcgan():
    """At 64x64, with one channel in place of three: 3,576,704 and 2,765,568 parameters without 2 * 64 * 4 * 4."""
    counts = [sum(weight.numel() for weight in network.parameters()) for network in tutorial.build_dcgan(64)]
    assert counts == [3_576_704 - 2048, 2_765_568 - 2048]


def test_the_speedrun_takes_the_first_checkpoint_that_is_good_enough():
    result = speedrun.Result(0, [(3.0, 40.0), (6.0, 5.0), (9.0, 5.5), (12.0, 1.5)], 2**20)
    assert [result.seconds_to(fid) for fid in (5.0, 4.9, 2.0, 1.0)] == [6.0, 12.0, 12.0, None]
    slow = speedrun.Result(1, [(3.0, 40.0), (8.0, 4.0)], 2**20)
    assert speedrun.describe(slow) == ["1", "8.0", "more than 8", "4.00", "8", "1"]
    assert speedrun.describe_mean([result, slow], 5.0) == "7.0 (6.0 to 8.0)"
    assert speedrun.describe_mean([result, slow], 2.0) == "1 of 2 seeds"


WRITES_THREE = """
import pathlib, sys, time
last, kept = map(pathlib.Path, sys.argv[1:])
for number in range(3):
    last.with_suffix(".part").write_text(str(number))
    last.with_suffix(".part").replace(last)
    while not (kept / f"{number}.pt").exists():
        time.sleep(0.01)
"""


def test_the_speedrun_keeps_each_version_of_a_checkpoint_and_scores_it_where_it_was(tmp_path):
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    last.parent.mkdir(parents=True)
    snapshots, memory = speedrun.follow(["-c", WRITES_THREE, str(last), str(tmp_path)], last, None)
    assert [each.path.read_text() for each in snapshots] == ["0", "1", "2"] and memory > 0
    assert sorted(each.seconds for each in snapshots) == [each.seconds for each in snapshots]
    fids = speedrun.score_snapshots(snapshots, last, lambda path: float(path.read_text()) if path == last else -1)
    assert [fid for _, fid in fids] == [0, 1, 2]


def test_a_program_that_fails_has_no_time(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        speedrun.follow(["-c", "raise SystemExit(3)"], tmp_path / "run" / "last.pt", None)


def test_a_program_is_stopped_at_its_limit(tmp_path):
    snapshots, _ = speedrun.follow(["-c", "import time; time.sleep(600)"], tmp_path / "run" / "last.pt", 1e-6)
    assert snapshots == []


@pytest.mark.slow
def test_the_speedrun_scores_both_kinds_of_checkpoint(train_here, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(speedrun, "SCORED_IMAGES", 300)
    scorer = speedrun.Scorer(("dataset=digits", "dataset.count=2000", f"cache_dir={cache}"))
    assert scorer.fid(list(scorer.reference.train.images.split(256))) < 5
    train_here(tmp_path / "run", "dataset.image_size=28", "train.max_steps=1", "watch.checkpoint_every=1")
    generator, _ = tutorial.build_dcgan(28)
    torch.save({"side": 28, "generator": generator.state_dict()}, tmp_path / "loop.pt")
    scores = scorer.score_run(tmp_path / "run" / "checkpoints" / "last.pt"), scorer.score_loop(tmp_path / "loop.pt")
    assert min(scores) > 50


def write_point_run(folder, loss, trick, seed, state, **scores):
    """What the sheet reads of a run."""
    (folder / ".hydra").mkdir(parents=True)
    choices = {"hydra": {"runtime": {"choices": {"dataset": "ring8", "loss": loss}}}}
    (folder / ".hydra" / "hydra.yaml").write_text(json.dumps(choices))
    config = {"seed": seed, "trick": {trick: {}} if trick else {}}
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    (folder / "status.json").write_text(json.dumps({"state": state, "seconds": 9.87, "scores": scores}))


def test_the_sheet_of_points_has_means_over_seeds_and_marks_what_was_refused_or_diverged(tmp_path, monkeypatch, capsys):
    good = {"modes_found": 8.0, "high_quality": 0.9, "mode_kl": 0.01, "wasserstein": 0.25}
    write_point_run(tmp_path / "a", "hinge", "", 0, "finished", **good)
    worse = {"modes_found": 5.0, "high_quality": 0.5, "mode_kl": 0.03}
    write_point_run(tmp_path / "sweep" / "b", "hinge", "", 1, "finished", **good | worse)
    write_point_run(tmp_path / "sweep" / "c", "hinge", "r1", 0, "finished", **good)
    write_point_run(tmp_path / "sweep" / "d", "hinge", "r1", 1, "diverged", **good)
    write_point_run(tmp_path / "sweep" / "e", "wasserstein", "", 0, "refused")
    table = tmp_path / "runs.csv"
    monkeypatch.setattr(sys, "argv", ["toy_sheet", str(tmp_path), "--csv", str(table)])
    toy_sheet.main()
    assert capsys.readouterr().out.split("\n")[:4] == [
        "| `dataset=ring8` | none | r1 |",
        "|---|---|---|",
        "| `hinge` | 6.5 (5-8) / 70 % / 0.02 | 8 / 90 % / 0.01, 1 diverged |",
        "| `wasserstein` | refused | - |",
    ]
    head, *rows = table.read_text().splitlines()
    assert head == "dataset,loss,trick,seed,state,seconds,modes_found,high_quality,mode_kl,wasserstein"
    assert rows[0] == "ring8,hinge,none,0,finished,9.9,8.0,0.9,0.01,0.25" and len(rows) == 5
    assert rows[-1] == "ring8,wasserstein,none,0,refused,9.9,,,,"
