"""CUDA graphs, on a CPU: operators are recorded where a GPU would record its kernels, and repeated in their place."""

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from gan.config import check
from gan.config.errors import ConfigError
from gan.training import build, loop
from gan.training.cuda_graphs import MAX_GRAPHS, WARM_UP, Captured, CudaGraphs
from tests.conftest import NARROW, options
from tests.training.test_combinations import TOGETHER, option, with_tricks


class Recorder(TorchDispatchMode):
    """Records all operators with the tensors that they read and write; `replay` repeats them on the same memory."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert function is not torch.ops.aten._local_scalar_dense.default, "a value is read during a capture"
        outputs = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, outputs))
        return outputs

    @torch.no_grad()
    def replay(self):
        for function, args, kwargs, outputs in self.calls:
            if function.is_view:
                continue  # of memory that is written again
            again = pytree.tree_leaves(function(*args, **kwargs))
            for output, value in zip(pytree.tree_leaves(outputs), again, strict=True):
                if isinstance(output, torch.Tensor) and output is not value:
                    output.copy_(value)


class RecordedGraphs(CudaGraphs):
    """CudaGraphs whose captures are recorded operators. Unlike on a GPU, a capture also runs what it records."""

    def __init__(self):
        self.calls, self.captured, self.replayed = {}, {}, 0

    def warm_up(self, function, inputs):
        return function(*inputs)

    def capture(self, function, inputs):
        inputs, recorder = [tensor.clone() for tensor in inputs], Recorder()
        with recorder:
            results = function(*inputs)
        is_first = True

        def replay():
            nonlocal is_first
            self.replayed += 1
            if not is_first:
                recorder.replay()
            is_first = False

        return Captured(inputs, replay, results)


STEPS = WARM_UP + 4


def train_steps(run, steps=STEPS):
    """The metrics of each step, and the weights after the last."""
    rows = []
    for _ in range(steps):
        rows.append({name: value.item() for name, value in loop.training_step(run).items()})
        run.step += 1
        if run.ema:
            run.ema.update(run.step)
    return rows, [tensor for player in run.players for tensor in player.network.state_dict().values()]


def check_that_graphs_change_nothing(make, replayed=STEPS - WARM_UP):
    """Two runs that `make` builds give the same numbers, with and without graphs."""
    run = make()
    run.graphs = RecordedGraphs()
    rows, weights = train_steps(run)
    plain_rows, plain_weights = train_steps(make())
    assert rows == plain_rows and all(map(torch.equal, weights, plain_weights))
    assert run.graphs.replayed == replayed
    assert len({row["generator/loss"] for row in rows}) > 1


@pytest.mark.parametrize("trick", options("trick"))
def test_a_graph_of_a_step_with_any_trick_gives_the_same_numbers(make_run, trick):
    norm = [] if trick != "separate_batches" else ["model.discriminator.norm=batch"]
    overrides = [f"trick=[{trick}]", "dataset.image_size=8", *NARROW["mlp"], *norm]
    replayed = STEPS - WARM_UP
    if trick == "instance_noise":  # its noise fades: each step is another
        replayed = 0
    if trick == "replay":
        overrides.append("trick.replay.images=16")  # filled after two steps
        replayed -= 2
    check_that_graphs_change_nothing(lambda: make_run(*overrides), replayed)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.update=generator_first", "train.discriminator_steps=2"],
        ["train.update=simultaneous", "loss=naive_log"],
        ["train.reuse_fakes=true", "loss=bce_probabilities"],
        ["precision=bf16", "model.discriminator.norm=batch"],
        ["trick=[conditional,diffaugment]", "train.discriminator_steps=2"],
        ["loss=relativistic", "trick=[r1,r2]", "noise.kind=sphere"],
        ["train.weight_clip=0.01", "loss.label_flip_probability=0.5"],
    ],
    ids=" ".join,
)
def test_a_graph_of_a_step_with_these_settings_gives_the_same_numbers(make_run, overrides):
    check_that_graphs_change_nothing(lambda: make_run(*NARROW["mlp"], *overrides))


@pytest.mark.parametrize(("model", "loss", "optim"), TOGETHER)
@pytest.mark.slow
def test_a_graph_of_a_step_of_any_model_loss_and_optimizer_gives_the_same_numbers(cache, model, loss, optim):
    cfg = with_tricks(model, cache, ["weight_clipping"] if loss == "wasserstein" else [])
    cfg.loss, cfg.optim = option("loss", loss), option("optim", optim)
    settings = check.check_config(cfg)
    is_replayed = optim != "goodfellow2014"  # whose learning rate is a tensor on a GPU, and here another constant
    check_that_graphs_change_nothing(
        lambda: build.build_run(cfg, settings, {}), (STEPS - WARM_UP) if is_replayed else 0
    )


def test_what_changes_in_some_steps_has_a_graph_of_its_own(make_run):
    """Lazy regularization, in every third step: two graphs, each after steps of its own kind."""
    overrides = [*NARROW["mlp"], "trick=[r1]", "trick.r1.every=3"]
    check_that_graphs_change_nothing(lambda: make_run(*overrides), STEPS - 3 - WARM_UP)
    run = make_run(*overrides)
    run.graphs = RecordedGraphs()
    train_steps(run, 12)
    assert len(run.graphs.captured) == 2 and run.graphs.replayed == 12 - 2 * WARM_UP


def test_old_graphs_make_room_for_new_ones():
    graphs, inputs = RecordedGraphs(), [torch.ones(1)]
    for key in [*range(MAX_GRAPHS + 2), 0]:
        for call in range(WARM_UP + 1):
            inputs = [torch.full((1,), float(call))]
            assert graphs(lambda x: {"twice": 2 * x}, key, inputs)["twice"] == 2 * call
    assert list(graphs.captured) == [3, 4, 5, 0] and MAX_GRAPHS == 4
    assert graphs(lambda x: {"twice": 2 * x}, 0, [torch.full((1,), 9.0)])["twice"] == 18


def test_the_recording_notices_state_that_a_key_leaves_out(make_run, monkeypatch):
    """The check above can fail: without their keys, these tricks would give other numbers."""
    monkeypatch.setattr("gan.tricks.gradient_penalty.R1.graph_key", lambda self: ())
    with pytest.raises(AssertionError):
        check_that_graphs_change_nothing(lambda: make_run(*NARROW["mlp"], "trick=[r1]", "trick.r1.every=3"))
    monkeypatch.setattr("gan.tricks.noise.InstanceNoise.graph_key", lambda self: ())
    with pytest.raises(AssertionError):
        check_that_graphs_change_nothing(lambda: make_run(*NARROW["mlp"], "trick=[instance_noise]"))


def test_graphs_need_a_gpu(make_run):
    assert make_run().graphs is None
    with pytest.raises(ConfigError, match=r"cuda_graphs=true.*GPU"):
        make_run("cuda_graphs=true")
