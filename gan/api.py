"""The Python interface: train a run, open one, and sample from it."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan import programs
from gan.cli import arguments, jobs, messages, overrides, paths
from gan.config import CONF
from gan.config.errors import ConfigError
from gan.config.options import default_settings
from gan.system import files, status

if TYPE_CHECKING:  # torch is imported only once it is needed
    import torch

    from gan.projection import Projection
    from gan.training.build import TrainedRun
    from gan.training.loop import Callback


class Run:
    """A run folder with the networks of one of its checkpoints, or a generator alone, as `gan.load` opens it.

    Attributes:
        folder: of the run, or the file of a generator alone.
        step: of the checkpoint: updates of the generator.
        config: all settings, as nested dictionaries.
        generator: noise (n, noise_dim), and labels (n,) if it is conditional, to images (n, C, H, W) in
            `generator.pixel_range`. In eval mode, with the EMA of the weights if the run has one.
        discriminator: images (n, C, H, W) in that range to logits (n,), in eval mode; None of a generator alone.
        noise: `noise.sample(n, random_generator)` draws the noise.
    """

    def __init__(self, folder: Path, trained: "TrainedRun", device: "torch.device", which: dict[str, Any]) -> None:
        self.folder, self.device, self.step = folder, device, trained.step
        self.trained, self.which = trained, which  # the arguments of `load` that chose the networks
        self.config: dict[str, Any] = OmegaConf.to_container(trained.cfg, resolve=True)  # type: ignore[assignment]
        self.generator, self.discriminator, self.noise = trained.generator, trained.discriminator, trained.noise
        self.class_names: list[str] = list(trained.image.class_names)

    def __repr__(self) -> str:
        if paths.is_generator(self.folder):
            return f"gan.load({paths.name_run(self.folder)!r})  # step {self.step}"
        return f"gan.load({files.relative_path(self.folder)!r})  # {self.state}, step {self.step}"

    @property
    def status(self) -> dict[str, Any]:
        """What status.json says now: state, machine, data, scores and more; empty of a generator alone."""
        return {} if paths.is_generator(self.folder) else status.outcome(self.folder)

    @property
    def state(self) -> str:
        """How the run is now: running, finished, stopped, diverged, failed or interrupted; "" of a generator alone."""
        return str(self.status.get("state", ""))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl: step, epoch, seconds and what was logged; none of a generator alone."""
        return files.read_rows(self.folder / "metrics.jsonl")

    @property
    def scores(self) -> list[dict[str, Any]]:
        """The rows of scores.jsonl, with the protocol of each; empty if the run was not scored during training."""
        return files.read_rows(self.folder / "scores.jsonl")

    def sample(
        self,
        n: int = 64,
        *,
        seed: int = 0,
        label: int | str | None = None,
        truncation: float = 1.0,
        batch_size: int = 256,
    ) -> "torch.Tensor":
        """Generate images uint8 (n, C, H, W) on the CPU: those that `sample.py n=... seed=...` writes.

        Of a run on points these are float32 (n, d).

        Args:
            label: the class, by name or number, of a conditional run; None: all classes in turn.
            truncation: factor on the noise, in (0, 1]: below 1 for better images that differ less.

        Raises:
            ConfigError: for a value out of its range, and a class that there is not.
        """
        import torch

        from gan.config import check
        from gan.sample_files import find_class, generate_batches

        values = {"n": n, "seed": seed, "class": label, "truncation": truncation, "batch_size": batch_size}
        settings = check.check_sampling(self.settings_of("sample", values))
        settings = settings.model_copy(update={"class_": find_class(self.generator, self.class_names, label)})
        return torch.cat(list(generate_batches(self.generator, self.noise, n, settings, self.device)))

    def project(
        self, *images: "str | Path | torch.Tensor", label: int | str | None = None, seed: int = 0
    ) -> "Projection":
        """The noise whose images are nearest to `images`, as `sample.py like=...` finds it.

        `self.generator(projection.noise, projection.labels)` generates them.

        Args:
            images: files, or tensors uint8 (C, H, W) in the run's size; each is searched for on its own.
            label: the class, by name or number, of a conditional run; None: all classes are tried.

        Raises:
            ConfigError: for what is no image of the run's size, and a class that there is not.
        """
        import torch

        from gan import projection
        from gan.data.image_shape import require_images
        from gan.system.device import memory_errors

        image, given = (
            require_images(self.trained.image, "project"),
            [each for each in images if isinstance(each, torch.Tensor)],
        )
        shape = image.channels, image.size, image.size
        if not images or any(each.shape != shape or each.dtype != torch.uint8 for each in given):
            raise ConfigError(f"project: must be files, or tensors uint8 {shape}.")
        with memory_errors():
            targets = [
                each.cpu() if isinstance(each, torch.Tensor) else projection.read_targets([each], self.trained)[0]
                for each in images
            ]
            return projection.project(self.trained, torch.stack(targets), label, seed, self.device)

    def score(self, n: int = 10_000, *, seed: int = 0, parzen: bool = False) -> dict[str, float]:
        """FID and the other metrics of `n` generated images, as `python -m gan.evaluate` computes them for this run.

        They need the run's dataset. Features are those of a classifier of the dataset: not Inception's.

        Raises:
            ConfigError: where the dataset is not there, or has no classes, and where a generator in a file does not
                know the path of its dataset.
        """
        from gan import evaluate
        from gan.config import check
        from gan.system.device import memory_errors

        settings = check.check_evaluation(self.settings_of("evaluate", {"n": n, "seed": seed, "parzen": parzen}))
        evaluate.check_data(self.trained, self.folder)
        folders = paths.expand_home(self.config["data_dir"]), paths.expand_home(self.config["cache_dir"])
        with memory_errors():
            goal = evaluate.choose_goal(self.trained, settings, None, folders, self.device)
            scores = evaluate.score_run(self.trained, goal, settings, n, self.device)
        return {name: number.mean for name, number in scores.items()}

    def export(
        self, path: str | Path, *, format: str | None = None, output: str = "uint8", license: str = "unknown"
    ) -> Path:
        """Write the generator to a file for other programs, as `sample.py format=...` does. Returns its path.

        A model card is written beside it, and the file is run to see whether it has the same images.

        Args:
            format: `onnx`, `torchscript` or `safetensors`; None: by the ending of `path`, .onnx or .safetensors.
            output: `uint8` images from 0 to 255, or `float` ones in the generator's `pixel_range`.
            license: of the weights, for the model card.

        Raises:
            ConfigError: for another format, where a package is missing, or the network cannot be exported.
        """
        from gan.config import check
        from gan.export import export_generator
        from gan.model_card import write_card

        values = {"format": format, "output": output, "out": str(path), **self.which}
        settings = paths.choose_output(check.check_sampling(self.settings_of("sample", values)), self.folder)
        if settings.format not in paths.EXPORTS:
            raise ConfigError(f"format={settings.format}: must be {', '.join(paths.EXPORTS)}.")
        out = Path(str(settings.out))
        outcome = export_generator(self.trained, settings.format, settings.output, out)
        write_card(self.trained, self.folder, settings, outcome, license)
        return out

    def settings_of(self, program: str, values: dict[str, Any]) -> DictConfig:
        """The default settings of sample.py or gan.evaluate for this run, with these values."""
        defaults = {name: value for name, value in default_settings(program).items() if name != "hydra"}
        return OmegaConf.create(defaults | {"run": str(self.folder)} | values)


def load(
    folder: str | Path,
    checkpoint: str = "last",
    *,
    ema: bool | float = True,
    device: str = "auto",
    trust: bool = False,
) -> Run:
    """Open a run, also one of a stranger: nothing in it is executed.

    Args:
        folder: of the run; or a file of `format=safetensors`, or `zoo/mnist`, which have a generator alone.
        checkpoint: `last` or `best`, the one with the lowest FID.
        ema: whether `generator` has the EMA of the weights, if there is one; a number: that of this decay.
        device: `auto` (the first GPU if there is one), `cpu`, `cuda`, `cuda:1` or `mps`.
        trust: whether code outside this project that the run names is imported.

    Raises:
        ConfigError: where there is no run, or it cannot be read.
    """
    from gan.generator_file import load_run
    from gan.system.device import memory_errors, select_device

    if checkpoint not in ("last", "best"):
        raise ConfigError(f"checkpoint={checkpoint}: must be last or best.")
    path = paths.find_run(str(folder))
    chosen = select_device(device)
    with memory_errors():
        trained = load_run(path, checkpoint, ema, chosen, trust)
    return Run(path, trained, chosen, {"checkpoint": checkpoint, "ema": ema})


def train(*settings: str, folder: str | Path | None = None, callback: "Callback | None" = None) -> Run:
    """Train a run as `python train.py SETTINGS` does, and open it.

    `gan.train("model=dcgan", "dataset=mnist", "train.epochs=2")`. Ctrl-C, or a notebook's stop button, stops it after
    the current step, with all saved: `gan.train(f"resume={run.folder}")` goes on.

    Args:
        settings: as they are typed on the command line; `--config-dir=FOLDER` too, but no sweep.
        folder: of the run; default: a new one in outputs/.
        callback: called with a dictionary of step, epoch and metrics whenever they are logged. Returning True stops the
            run.

    Raises:
        ConfigError: for settings that are wrong, in one sentence.
    """
    typed = [*settings, *([overrides.quote_override("hydra.run.dir", str(folder))] if folder else [])]
    ended: list[Path | Exception] = []

    def work(cfg: DictConfig) -> None:
        try:
            jobs.record_job(lambda cfg, folder: programs.train_in(cfg, folder, callback), cfg, fail)
            ended.append(Path(HydraConfig.get().runtime.output_dir))
        except Failed as failed:
            ended.append(failed.error)

    with own_hydra(), one_sentence():
        read = overrides.parse_arguments(arguments.check_arguments(typed, "train"))
        args = overrides.get_args_parser().parse_intermixed_args(read)
        if args.multirun:
            raise ConfigError("-m: gan.train makes one run; call it in a loop, or type python train.py -m ...")
        search_path = create_config_search_path(str(CONF))
        if args.config_dir:
            search_path.prepend("command-line", f"file://{Path(args.config_dir).absolute()}")
        hydra = Hydra.create_main_hydra2("train", search_path)
        hydra.run(args.config_name or overrides.CONFIG_NAME, work, args.overrides)
    if isinstance(ended[0], Exception):
        raise ended[0]
    return load(ended[0], trust=True)  # the code that it names was typed here


class Failed(BaseException):
    """In place of the SystemExit with which a program ends: no handler of an error takes it for one."""

    def __init__(self, error: Exception, path: Path | str = "a file") -> None:
        super().__init__(error)
        is_systems = isinstance(error, (OSError, MemoryError))
        self.error = messages.os_error_message(error, path) if is_systems else error  # type: ignore[arg-type]


def fail(error: Exception, path: Path | str = "a file") -> NoReturn:
    """What `jobs.record_job` calls with an error."""
    raise Failed(error, path) from error


@contextlib.contextmanager
def own_hydra() -> Iterator[None]:
    """Let Hydra run once more in this process, and leave its state and the log's handlers as they were."""
    state, root = Singleton.get_state(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        for handler in set(root.handlers).difference(handlers):
            handler.close()
        root.handlers[:], root.level = handlers, level
        Singleton.set_state(state)


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Raise ConfigError in place of Hydra's and OmegaConf's errors."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(messages.explain_error(error)) from error
