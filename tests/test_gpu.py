"""What only a GPU can show: the CPU's numbers, CUDA graphs, no waiting, too little memory, and checkpoints that travel."""

import pytest
import torch
from torch.utils import _pytree as pytree

from gan.config import check
from gan.system import files
from gan.training import build, checkpoint, loop
from gan.training.cuda_graphs import WARM_UP
from tests.conftest import CONF, NARROW, TINY, composed, narrow, options, read_status
from tests.training.test_combinations import TOGETHER, option, with_tricks
from tests.training.test_cuda_graphs import train_steps

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA"),
    pytest.mark.slow,
]


DROPOUT = {
    "mlp": ["model.discriminator.dropout"],
    "maxout": ["model.discriminator.input_dropout", "model.discriminator.hidden_dropout"],
}


@pytest.fixture
def make_gpu_run(make_run):
    """`make_run` on the GPU; `device=cpu` among the overrides puts the run on the CPU."""
    return lambda *overrides: make_run("device=cuda", *overrides)


@pytest.fixture
def exact():
    """float32 products without TF32. Called after a run is built, which chooses TF32."""

    def choose_exact() -> None:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False

    yield choose_exact
    torch.backends.cudnn.allow_tf32 = True


class NoiseOfCpu:
    """Noise that the CPU draws: a GPU draws other numbers from the same seed."""

    def __init__(self, noise, device):
        self.noise, self.device = noise, device

    def sample(self, count, generator):
        return self.noise.sample(count, generator).to(self.device)


@pytest.mark.parametrize("update", ["discriminator_first", "generator_first", "simultaneous"])
@pytest.mark.parametrize("model", ["mlp", "dcgan", "conv", "maxout", "residual", "conv_logit_norm"])
def test_a_step_gives_the_cpus_numbers(make_run, exact, model, update):
    """Losses, gradient norms and predictions after one step and, with the weights that this gives, after another."""
    overrides = [f"model={model}", *narrow(model), f"train.update={update}"]
    overrides += [f"{name}=0" for name in DROPOUT.get(model, ())]  # it draws other numbers on a GPU
    rows = {}
    for device in ("cpu", "cuda"):
        run = make_run(*overrides, f"device={device}")
        exact()
        run.noise, run.noise_generators = NoiseOfCpu(run.noise, run.device), [torch.Generator(), torch.Generator()]
        rows[device], _ = train_steps(run, 2)
    for row, expected in zip(rows["cuda"], rows["cpu"], strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-5)


def check_that_cuda_graphs_change_nothing(make, is_captured=True):
    """Two runs give the same numbers to the bit, the one with graphs and the other without."""
    run, plain = make(), make()
    plain.graphs = None
    (rows, weights), (plain_rows, plain_weights) = train_steps(run), train_steps(plain)
    assert rows == plain_rows and all(map(torch.equal, weights, plain_weights))
    assert bool(run.graphs.captured) is is_captured


@pytest.mark.parametrize("trick", options("trick"))
def test_a_cuda_graph_of_a_step_with_any_trick_gives_the_same_numbers(make_gpu_run, trick):
    norm = [] if trick != "separate_batches" else ["model.discriminator.norm=batch"]
    overrides = [f"trick=[{trick}]", "dataset.image_size=8", *NARROW["mlp"], *norm]
    overrides += ["trick.replay.images=16"] if trick == "replay" else []
    check_that_cuda_graphs_change_nothing(lambda: make_gpu_run(*overrides), trick != "instance_noise")


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.update=generator_first", "train.discriminator_steps=2"],
        ["train.update=simultaneous", "loss=naive_log"],
        ["train.reuse_fakes=true", "loss=bce_probabilities"],
        ["precision=bf16", "model=dcgan", *NARROW["dcgan"]],
        ["model=mlp", *NARROW["mlp"], "trick=[r1,r2]", "loss=relativistic"],
        ["model=conv", *NARROW["conv"]],
        ["model=conv_logit_norm", *NARROW["conv"]],
        ["model=maxout", *NARROW["maxout"]],
        ["trick=[conditional,diffaugment]", "train.discriminator_steps=2"],
        ["trick=[r1]", "trick.r1.every=3"],
        ["optim=goodfellow2014", "model.discriminator.dropout=0.5"],
        ["train.weight_clip=0.01", "loss.label_flip_probability=0.5"],
    ],
    ids=" ".join,
)
def test_a_cuda_graph_of_a_step_with_these_settings_gives_the_same_numbers(make_gpu_run, overrides):
    model = [] if any(each.startswith("model=") for each in overrides) else NARROW["mlp"]
    check_that_cuda_graphs_change_nothing(lambda: make_gpu_run(*model, *overrides))


@pytest.mark.parametrize(("model", "loss", "optim"), TOGETHER)
def test_every_model_loss_and_optimizer_train_together_as_cuda_graphs(cache, model, loss, optim):
    cfg = with_tricks(model, cache, ["weight_clipping"] if loss == "wasserstein" else [])
    cfg.loss, cfg.optim, cfg.device = option("loss", loss), option("optim", optim), "cuda"
    run = build.build_run(cfg, check.check_config(cfg), {})
    train_steps(run, WARM_UP + 2)
    assert run.graphs.captured and not loop.find_non_finite(run)


PUBLISHED = sorted(f"{path.parent.name}/{path.stem}" for path in CONF.glob("experiment/[bp]*/*.yaml"))


@pytest.mark.parametrize("experiment", [*PUBLISHED, "conv_improved", "modern"])
def test_a_hundred_steps_never_wait_for_the_gpu(cache, experiment):
    """With and without graphs, after the first steps, which load kernels."""
    cfg = composed(f"experiment={experiment}", "dataset=digits", f"cache_dir={cache}", "device=cuda")
    settings = check.check_config(cfg)
    for with_graphs in (True, False):
        run = build.build_run(cfg, settings, {})
        run.graphs = run.graphs if with_graphs else None

        def steps(count, run=run):
            for _ in range(count):
                run.metrics.add(loop.training_step(run))
                run.step += 1
                if run.ema:
                    run.ema.update(run.step)

        steps(WARM_UP + 2)
        torch.cuda.set_sync_debug_mode("error")
        try:
            steps(100)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert not loop.find_non_finite(run)


def test_waiting_for_the_gpu_would_be_noticed(make_gpu_run):
    run = make_gpu_run(*NARROW["mlp"])
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchron"):
            run.players.generator.failed_at.item()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_residual_networks_give_the_same_numbers_up_to_rounding(make_gpu_run):
    """torch has no deterministic gradient of their resizing on a GPU."""
    overrides = ["model=residual", *NARROW["residual"], "trick=[r1,r2]", "loss=relativistic"]
    run, plain = make_gpu_run(*overrides), make_gpu_run(*overrides)
    plain.graphs = None
    (rows, _), (plain_rows, _) = train_steps(run), train_steps(plain)
    assert run.graphs.captured
    for row, plain_row in zip(rows, plain_rows, strict=True):
        assert row == pytest.approx(plain_row, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", ["mlp", "dcgan", "conv"])
def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(make_gpu_run, model, precision):
    """Through the state of a checkpoint, which moves to the CPU and back."""
    chosen = [f"model={model}", *NARROW[model], f"precision={precision}"]
    if model == "mlp":
        chosen += ["optim=goodfellow2014"]
    else:
        chosen += ["trick=[replay,adaptive_augment]", "trick.replay.images=16"]
    unbroken, resumed = make_gpu_run(*chosen), make_gpu_run(*chosen)
    train_steps(unbroken, 12)
    resumed.load_state_dict(pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.cpu(), unbroken.state_dict()))
    (rows, weights), (resumed_rows, resumed_weights) = train_steps(unbroken, 18), train_steps(resumed, 18)
    assert rows == resumed_rows and all(map(torch.equal, weights, resumed_weights))
    assert unbroken.graphs.captured and resumed.graphs.captured


@pytest.mark.parametrize(("first", "then"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_goes_on_on_another_device(train_here, tmp_path, first, then):
    chosen = [*narrow("mlp"), "optim=goodfellow2014"]
    train_here(tmp_path, *chosen, f"device={first}", "train.max_steps=10")
    train_here(tmp_path, *chosen, f"device={then}", "train.max_steps=20", resume=True)
    status = read_status(tmp_path)
    assert status["state"] == "finished" and status["step"] == 20
    state = checkpoint.load(tmp_path)
    assert all(value.device.type == "cpu" for value in state["generator"].values())


def test_channels_last_convolutions_run_on_the_gpu(make_gpu_run):
    run = make_gpu_run("model=dcgan", *NARROW["dcgan"], "precision=bf16")
    seen = []
    layer = next(layer for layer in run.players.discriminator.working.modules() if isinstance(layer, torch.nn.Conv2d))
    layer.register_forward_hook(lambda _, inputs, output: seen.append(output))
    run.graphs = None
    loop.training_step(run)
    assert seen[0].dtype == torch.bfloat16 and seen[0].is_contiguous(memory_format=torch.channels_last)


def test_the_commands_work_on_a_gpu(process, cache, tmp_path):
    """A run, samples and scores of it on either device, and one sentence for a GPU that is not there."""
    tiny = [override for override in TINY if override != "device=cpu"]
    run = tmp_path / "run"
    done = process("train.py", *tiny, f"cache_dir={cache}", "train.max_steps=20", f"hydra.run.dir={run}")
    assert done.returncode == 0 and torch.cuda.get_device_name() in done.stdout, done.stdout + done.stderr
    assert torch.cuda.get_device_name() in read_status(run)["machine"]
    for device in ("cuda", "cpu"):
        done = process("sample.py", f"run={run}", "n=4", f"device={device}", f"out={tmp_path / device}.png")
        assert done.returncode == 0 and (tmp_path / f"{device}.png").exists(), done.stderr
    missing = f"cuda:{torch.cuda.device_count()}"
    done = process("train.py", *tiny, f"device={missing}", f"hydra.run.dir={tmp_path / 'missing'}")
    assert done.returncode == 1 and done.stderr.strip().count("\n") == 0 and missing in done.stderr


def test_scores_on_a_gpu_are_those_on_a_cpu(process, cache, tmp_path):
    run = tmp_path / "run"
    tiny = [override for override in TINY if override != "device=cpu"]
    process("train.py", *tiny, f"cache_dir={cache}", "train.max_steps=20", f"hydra.run.dir={run}")
    fids = []
    for device in ("cuda", "cpu"):
        done = process("-m", "gan.evaluate", f"run={run}", "n=1000", f"cache_dir={cache}", f"device={device}")
        assert done.returncode == 0, done.stderr
        fids.append(read_status(run)["scores"]["fid_digits"])
    assert fids[0] == pytest.approx(fids[1], rel=1e-2)


def test_too_little_memory_is_one_sentence(process, cache, tmp_path):
    script = "import runpy, torch; torch.cuda.set_per_process_memory_fraction(0.005); runpy.run_path('train.py', None, '__main__')"
    large = ["model=dcgan_wide", "train.batch_size=4096", "dataset.count=5000", "dataset.image_size=64"]
    folder = tmp_path / "run"
    done = process("-c", script, "device=cuda", *large, f"cache_dir={cache}", f"hydra.run.dir={folder}")
    assert done.returncode == 1 and "not enough memory" in done.stderr, done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_metrics_are_logged_on_a_gpu_as_without_graphs(train_here, tmp_path):
    for name in ("graphs", "plain"):
        chosen = [f"cuda_graphs={name == 'graphs'}", "device=cuda", "watch.log_every=7"]
        train_here(tmp_path / name, *narrow("mlp"), *chosen, "train.max_steps=30")
    rows = [files.read_rows(tmp_path / name / "metrics.jsonl") for name in ("graphs", "plain")]
    for row in (*rows[0], *rows[1]):
        row.pop("seconds")
    assert rows[0] == rows[1] and len(rows[0]) == 5
