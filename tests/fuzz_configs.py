"""Random stored configurations, as a stranger could prepare them: `python -m tests.fuzz_configs --cases 20000`.

The proof is an oracle that knows nothing of the checks: it watches which names are looked up, what Hydra calls, which
files are written, which programs start, and where a secret of the environment turns up.
"""

import argparse
import copy
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from hydra._internal.instantiate import _instantiate2
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan.cli import messages, overrides
from gan.config import check, comparison, targets
from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from gan.training import build, checkpoint
from tests.conftest import TINY, composed

SECRET = "secret-5f1c9a"
CPU = torch.device("cpu")
# What may be looked up and called, written down here once more and not taken from the code under test.
ALLOWED = re.compile(
    r"gan\.models\.\w+\.[A-Za-z]\w*|gan\.optim\.[A-Za-z]\w*|gan\.losses\.[A-Za-z]\w*|gan\.tricks\.\w+\.[A-Za-z]\w*"
    r"|gan\.data\.datasets\.[a-z]\w*|torch\.(nn|optim)\.[A-Z]\w*|torch\.nn\.modules\.\w+\.[A-Z]\w*"
    r"|torch\.optim\.\w+\.[A-Z]\w*|torch\.(nn\.Module|optim\.Optimizer)",
    re.ASCII,
)
FORBIDDEN_EVENTS = {
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "ctypes.dlopen", "urllib.Request", "webbrowser.open"),
    *("os.putenv", "os.unsetenv", "os.kill", "os.chmod", "os.chown", "os.link", "os.symlink", "shutil.rmtree"),
}
CHANGING_EVENTS = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "shutil.copyfile", "shutil.move"}

TARGETS: list[Any] = [
    *("os.system", "builtins.eval", "builtins.exec", "sympy.sympify", "subprocess.Popen", "subprocess.getoutput"),
    *("gan.losses.torch.load", "gan.data.datasets.os.system", "gan.cli.messages.os.system", "gan.models.layers.copy.copy"),
    *("gan.system.files.write_json", "gan.data.datasets.Path", "gan.optim.torch.load", "gan.tricks.base.Callable"),
    *("gan.models.mlp.torch.hub.load", "gan.models.mlp.nn.Linear", "gan.models.mlp.__builtins__", "gan.losses.__loader__"),
    *("hydra.utils.instantiate", "hydra.utils.get_method", "hydra.utils.get_class", "hydra._internal.utils._locate"),
    *("torch.load", "torch.hub.load", "torch.nn.modules.module.torch.load", "torch.nn.utils.skip_init", "torch.save"),
    *("torch.nn.Identity", "torch.nn.Sequential", "torch.nn.ReLU", "torch.nn.Module", "torch.optim.SGD", "torch.nn.os"),
    *("gan.models.mlp.Generator", "gan.losses.Hinge", "gan.optim.Decay", "gan.tricks.noise.InstanceNoise"),
    *("gan.data.datasets.digits", "gan.data.datasets.image_folder", "gan.losses.Loss", "gan.tricks.base.Trick"),
    *(".os.system", "..os.system", " os.system", "os.system ", "os.system\n", "os:system", "gan.models.mlp:Generator"),
    *("gаn.models.mlp.Generator", "gan.models.mlp.Generator\u200b", "gan.models.mlp.Ｇenerator", "GAN.models.mlp.Generator"),
    *("fuzz_canary.touch", "gan.models.fuzz_canary.touch", "torch.nn.fuzz_canary", "gan.models.mlp.fuzz_canary", "gan"),
    *("", ".", "gan.models.", "a" * 3000, "../../fuzz_canary", "/etc/passwd", "${oc.env:FUZZ_SECRET}", "???", None, 5, True),
    *(["os", "system"], {"_target_": "os.system"}, ["os.system"]),
]  # fmt: skip
INTERPOLATIONS = [
    *("${oc.env:FUZZ_SECRET}", "${oc.env:FUZZ_SECRET,x}", "${oc.decode:'${oc.env:FUZZ_SECRET}'}", "${oc.env:HOME}"),
    *("${oc.create:{_target_: os.system, command: id}}", "${oc.decode:'{_target_: os.system}'}", "x${oc.env:FUZZ_SECRET}y"),
    *("${oc.dict.keys:train}", "${oc.dict.values:train}", "${oc.select:seed}", "${oc.deprecated:seed}", "${now:%Y}"),
    *("${folder_name:[a]}", "${hydra:runtime.cwd}", "${hydra:job.name}", "${python_version:}", "${nothing:x}"),
    *("${seed}", "${train.batch_size}", "${train}", "${.x}", "${..seed}", "${model[generator]}", "${data_dir}", "${"),
    *("$\\{oc.env:FUZZ_SECRET\\}", "a$\\{oc.env:FUZZ_SECRET\\}b", "'${oc.env:FUZZ_SECRET}'"),
    *("\\${oc.env:FUZZ_SECRET}", "\\\\${oc.env:FUZZ_SECRET}", "${ oc.env : FUZZ_SECRET }", "${oc.env:${noise.kind}}"),
    *("$", "{oc.env:FUZZ_SECRET}", "${noise.kind}${noise.dim}", "${${seed}}", "${oc.${noise.kind}:FUZZ_SECRET}"),
]  # fmt: skip
SCALARS: list[Any] = [
    0,
    -1,
    1,
    7,
    0.5,
    "",
    "x",
    "é",
    "a b",
    None,
    True,
    [],
    {},
    [[]],
    "none",
    "relu",
    "nan",
    "\x1b[31m",
]
NAMES = [
    *("_target_", "_args_", "_partial_", "_convert_", "_recursive_", "_self_", "args", "kwargs", "command", "path", "lr"),
    *("activation", "hidden", "inplace", "x", "terms", "sigma", "with space", "ünï", "a.b", "0", "__class__", "generator"),
]  # fmt: skip
GROUPS = ["model", "optim", "loss", "trick", "dataset"]
HYDRA_LINES = [
    "hydra.run.dir=/tmp/x", "+hydra.callbacks.x={_target_: os.system}", "hydra/launcher=joblib", "~hydra.run",
    "hydra.job_logging.handlers.file.filename=/tmp/x", "+optim@hydra.callbacks.x=sgd", "hydra.searchpath=[file:///tmp]",
    "hydra.job.env_set={PATH: x}", "hydra.mode=MULTIRUN", "experiment=../../outputs/x", "model=glob(*)", "trust=true",
    "resume=elsewhere", "help=x", "+help=train", "model=mlp,dcgan", "trick=[../x]", "++trick@trick.x=r1", "model=", "=", "",
]  # fmt: skip


class Violation(BaseException):
    """Something happened that a stored configuration must not be able to do. No `except Exception` hides it."""


class Oracle:
    """Watches this process while `watching` is true; files may be written below `folder` only."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.watching, self.called = folder, False, Counter()  # type: ignore[var-annotated]
        sys.addaudithook(self.heed)

    def heed(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        writes = event in CHANGING_EVENTS or (event == "open" and is_writing(*arguments[1:]))
        paths = (
            arguments[:1] if event == "open" else arguments
        )  # the others have file descriptors and modes beside them
        if event in FORBIDDEN_EVENTS or (writes and not all(map(self.is_inside, paths))):
            self.watching = False
            raise Violation(f"{event} {arguments}")

    def is_inside(self, path: Any) -> bool:
        is_path = isinstance(path, (str, bytes, os.PathLike))
        return not is_path or Path(os.path.realpath(os.fsdecode(path))).is_relative_to(self.folder)

    def check_name(self, name: Any) -> None:
        if not (isinstance(name, str) and ALLOWED.fullmatch(name)):
            raise Violation(f"{name!r} was looked up")

    def check_call(self, target: Any) -> None:
        name = f"{target.__module__}.{target.__qualname__}"
        if not ALLOWED.fullmatch(name):
            raise Violation(f"{name} was called")
        self.called[name] += 1

    def patches(self) -> ExitStack:
        """A context in which names that are looked up, and calls of Hydra, pass by this oracle."""
        resolve_name, locate, call = targets.pkgutil.resolve_name, _instantiate2._locate, _instantiate2._call_target

        def watched_resolve(name: str) -> Any:
            self.check_name(name)
            return resolve_name(name)

        def watched_locate(name: Any) -> Any:
            self.check_name(name)
            return locate(name)

        def watched_call(target: Any, *arguments: Any) -> Any:
            self.check_call(target)
            is_dataset = target.__module__ == "gan.data.datasets"  # not called, since it may start a download
            return None if is_dataset else call(target, *arguments)

        stack = ExitStack()
        stack.enter_context(mock.patch.object(targets.pkgutil, "resolve_name", watched_resolve))
        stack.enter_context(mock.patch.object(_instantiate2, "_locate", watched_locate))
        stack.enter_context(mock.patch.object(_instantiate2, "_call_target", watched_call))
        return stack


def is_writing(mode: Any, flags: Any) -> bool:
    """Whether the arguments of the audit event `open` are those of a file that is written."""
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def random_value(chance: random.Random, depth: int = 0) -> Any:
    """A node, list, interpolation or scalar, as an attacker could write it."""
    kind = chance.random()
    if kind < 0.45:
        node = {"_target_": chance.choice(TARGETS)}
        for name in chance.sample(NAMES, chance.choice([0, 0, 1, 1, 2])):
            node[name] = random_value(chance, depth + 1) if depth < 3 else chance.choice(SCALARS)
        if chance.random() < 0.3:
            node["_args_"] = [chance.choice(SCALARS)]
        if chance.random() < 0.3:
            node[chance.choice(["_partial_", "_recursive_"])] = chance.choice([True, False, "x"])
        if chance.random() < 0.2:
            node["_convert_"] = chance.choice(["all", "none", "object", "partial", "x"])
        return node
    if kind < 0.6 and depth < 3:
        values = [random_value(chance, depth + 1) for _ in range(chance.choice([1, 2]))]
        return values if chance.random() < 0.6 else dict(zip(chance.sample(NAMES, len(values)), values, strict=True))
    return chance.choice(INTERPOLATIONS) if kind < 0.85 else chance.choice(SCALARS)


def random_layer(chance: random.Random) -> dict[str, Any]:
    """A node that is allowed, with or without something in it that is not."""
    layer = {"_target_": f"torch.nn.{chance.choice(['ReLU', 'Softplus', 'Identity', 'PReLU', 'Sequential'])}"}
    return layer | ({chance.choice(NAMES): random_value(chance, 1)} if chance.random() < 0.6 else {})


def containers(node: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every mapping and list in a configuration, with its path."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else []
    inner = [pair for name, child in children for pair in containers(child, f"{path}.{name}".lstrip("."))]
    return ([(path, node)] if isinstance(node, (dict, list)) else []) + inner


def mutate(config: dict[str, Any], chance: random.Random) -> None:
    """Change one to three places of a configuration, mostly in the groups that name code."""
    for _ in range(chance.choice([1, 1, 2, 3])):
        if chance.random() < 0.25:
            place = next((node for path, node in containers(config) if path == "model.generator"), config)
            place["activation"] = random_layer(chance)
            continue
        within = config.get(chance.choice(GROUPS)) if chance.random() < 0.8 else config
        found = containers(within)
        if not found:
            continue
        _, node = chance.choice(found)
        value = chance.choice(TARGETS) if chance.random() < 0.2 else random_value(chance)
        if isinstance(node, list):
            node.insert(chance.randrange(len(node) + 1), value)
        else:
            node[chance.choice([*node, *NAMES] if chance.random() < 0.7 else NAMES)] = copy.deepcopy(value)


def in_hydra(value: Any) -> str:
    """A value in Hydra's grammar of overrides, as well as it can be said there."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {in_hydra(child)}" for name, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(in_hydra, value)) + "]"
    if isinstance(value, str) and not value.startswith("$"):
        return overrides.quote(value) if re.search(r"[^\w.]", value) or not value else value
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if not isinstance(value, str) else value


class Fuzzer:
    """Cases in a run folder below `folder`, from a seed; `strict`: an error that is no sentence ends them."""

    def __init__(self, folder: Path, seed: int, strict: bool) -> None:
        self.strict = strict
        self.oracle, self.chance, self.outcomes = Oracle(folder), random.Random(seed), Counter()  # type: ignore[var-annotated]
        self.run = folder / "run"
        (self.run / ".hydra").mkdir(parents=True)
        cfg = composed(*TINY, "trick=[r1,instance_noise]", "optim=goodfellow2014")
        self.config = OmegaConf.to_container(cfg, resolve=True)
        self.current = OmegaConf.to_yaml(cfg, resolve=True)
        image = ImageShape(1, 8)
        generator, discriminator = build.build_networks(cfg, image)
        self.state = {
            "format": checkpoint.FORMAT,
            "step": 1,
            "image": [image.channels, image.size, image.class_count],
            "tricks": [],
            "ema": None,
            "generator": generator.state_dict(),
            "discriminator": discriminator.state_dict(),
        }
        self.paths = sorted(comparison.flatten(self.config))
        os.environ["FUZZ_SECRET"] = SECRET
        check.check_config(cfg)  # imports what every run needs

    def case(self) -> None:
        """One case. Raises Violation, or AssertionError where an error is no sentence."""
        work = chance_of(self.chance, self.checkpoint_case, self.overrides_case)
        shown: list[str] = []
        modules = set(sys.modules)
        try:
            self.oracle.watching = True
            with self.oracle.patches():
                work(shown)
            self.outcomes[f"{work.__name__}: accepted"] += 1
        except (ConfigError, HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
            if isinstance(error, TypeError) and not messages.failed_override(error):
                raise
            is_of_user = isinstance(error, ConfigError) or work == self.overrides_case
            assert is_of_user, f"{type(error).__name__}: {error}"
            shown.append(str(error))
            self.outcomes[f"{work.__name__}: refused"] += 1
        except Exception:
            if self.strict:
                raise
        finally:
            self.oracle.watching = False
        new = [name for name in set(sys.modules) - modules if not name.startswith(("torch.", "gan."))]
        if new:
            raise Violation(f"imported {new}")
        if any(SECRET in text for text in shown):
            raise Violation(f"the secret turned up: {[text for text in shown if SECRET in text]}")

    def checkpoint_case(self, shown: list[str]) -> None:
        """A mutated configuration in a checkpoint, as sample.py, gan.evaluate and resume= read it."""
        config = copy.deepcopy(self.config)
        mutate(config, self.chance)
        text = yaml.dump(config, Dumper=yaml.CSafeDumper)
        state = self.state | {"config": text}
        self.last = text
        saved = checkpoint.with_current_names(text)
        try:
            with checkpoint.compatible_version(self.run):
                checkpoint.check_same_settings(saved, self.current)
        except ConfigError as error:
            shown.append(str(error))
        with mock.patch.object(checkpoint, "read", lambda path: state):
            trained = build.load_trained(self.run, "last", True, CPU)
        build.instantiate_node(trained.cfg.dataset, data_dir=self.run, cache_dir=self.run, split="train")
        shown.append(repr(OmegaConf.to_container(trained.cfg, resolve=True)))

    def overrides_case(self, shown: list[str]) -> None:
        """Mutated overrides in a run folder, as resume= reads them."""
        lines: list[Any] = []
        for _ in range(self.chance.choice([1, 1, 2])):
            if self.chance.random() < 0.2:
                player = self.chance.choice(["generator", "discriminator"])
                lines.append(f"model.{player}.activation={in_hydra(random_layer(self.chance))}")
                continue
            if self.chance.random() < 0.2:
                lines.append(self.chance.choice([*HYDRA_LINES, 5, None, [], {"a": 1}]))
                continue
            path = self.chance.choice(self.paths)
            cut = self.chance.choice(
                [path, path, path.rpartition(".")[0] or path, f"{path}.{self.chance.choice(NAMES)}"]
            )
            kind = self.chance.random()
            value = self.chance.choice(TARGETS if kind < 0.2 else SCALARS) if kind < 0.4 else random_value(self.chance)
            lines.append(f"{self.chance.choice(['', '', '+', '++', '~'])}{cut}={in_hydra(value)}")
        self.last = repr(lines)
        (self.run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(lines))
        taken = overrides.parse_arguments([f"resume={self.run}"])
        shown += taken
        cfg = composed(*TINY, *(text for text in taken if not text.startswith("hydra.")))
        targets.drop_replaced_arguments(cfg, overrides.parse_settings(taken))
        check.check_config(cfg)
        shown.append(repr(OmegaConf.to_container(cfg, resolve=True)))
        build.build_tricks(cfg)
        networks = build.build_networks(cfg, ImageShape(1, 8))
        build.instantiate_node(cfg.loss)
        build.instantiate_node(cfg.dataset, data_dir=self.run, cache_dir=self.run, split="train")
        for name, network in zip(("generator", "discriminator"), networks, strict=True):
            build.instantiate_node(cfg.optim[name], list(network.parameters()))
        for node in cfg.optim.schedule.values():
            build.instantiate_node(node)


def chance_of(chance: random.Random, first: Any, second: Any) -> Any:
    return first if chance.random() < 0.6 else second


def fuzz(cases: int, seed: int, strict: bool = True) -> Fuzzer:
    """Run `cases` cases. Raises Violation with the case that did what it must not."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "modules"
        canary.mkdir()
        (canary / "fuzz_canary.py").write_text("raise SystemExit('the canary was imported')\n")
        with mock.patch.object(sys, "path", [*sys.path, str(canary)]):
            fuzzer = Fuzzer(Path(os.path.realpath(folder)), seed, strict)
            for number in range(cases):
                try:
                    fuzzer.case()
                except BaseException as error:
                    error.add_note(f"case {number} of seed {seed}:\n{getattr(fuzzer, 'last', '')}")
                    raise
    return fuzzer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_configs")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.perf_counter()
    done = fuzz(arguments.cases, arguments.seed)
    print(f"{arguments.cases} cases of seed {arguments.seed} in {time.perf_counter() - began:.0f} seconds")
    print(*(f"  {count:6d} {outcome}" for outcome, count in sorted(done.outcomes.items())), sep="\n")
    print("called:", ", ".join(f"{name} {count}" for name, count in done.oracle.called.most_common()))
