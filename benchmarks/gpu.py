"""What docs/benchmarks.md says about a GPU: speed, floor and profile of the published set-ups.

    python -m benchmarks.gpu FOLDER                     # everything, in a few minutes
    python -m benchmarks.gpu FOLDER --setups mlp --parts speed

Writes JSON files and a trace of the profiler into FOLDER, and prints Markdown. With `--device cpu` and
`--seconds 0.01` it runs to its end anywhere, without numbers that mean anything.
"""

import argparse
import gzip
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import timing, workers
from benchmarks.steps import color_images
from benchmarks.workers import Variant
from gan.system.device import describe_device, select_device

SETUPS = {
    "mlp": ["experiment=blog/mlp"],
    "conv": ["experiment=blog/conv"],
    "dcgan_cifar10": ["experiment=blog/dcgan_cifar10", "dataset=image_folder", "dataset.image_size=64"],
    "modern": ["experiment=modern", "dataset.image_size=32"],
    "goodfellow2014": ["experiment=paper/goodfellow2014_mnist"],
}
VARIANTS = {
    "tutorial": [],
    "eager": ["cuda_graphs=false"],
    "graphs": [],
    "eager bf16": ["cuda_graphs=false", "precision=bf16"],
    "graphs bf16": ["precision=bf16"],
    "compiled graphs": ["compile=true"],
    "compiled graphs bf16": ["compile=true", "precision=bf16"],
    "floor": [],
    "floor bf16": ["precision=bf16"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--setups", nargs="+", choices=SETUPS, default=list(SETUPS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--parts", nargs="+", choices=["speed", "profile"], default=["speed", "profile"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=0.5, help="that each variant is measured, three times")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    device = select_device(args.device)
    print(f"{describe_device(device)}\n", flush=True)
    with color_images() as folder:
        for setup in args.setups:
            color = [f"dataset.path={folder}", f"cache_dir={folder.parent}"]
            images = color if setup == "dcgan_cifar10" else ["dataset=digits", "dataset.count=20000"]
            overrides = [*SETUPS[setup], *images, f"device={args.device}"]
            if "speed" in args.parts:
                time_variants(setup, overrides, args.variants, args.seconds, args.folder)
            if "profile" in args.parts:
                profile_setup(setup, overrides, args.seconds, args.folder, device)


def time_variants(setup: str, overrides: list[str], variants: list[str], seconds: float, folder: Path) -> None:
    """Print microseconds per step of each variant, and its speed relative to the tutorial's loop."""
    builders = {"tutorial": workers.build_tutorial, "floor": workers.build_floor}
    times: dict[str, list[float]] = {}
    for name in variants:
        if name.startswith("compiled") and "cpu" in overrides[-1]:
            continue
        kind = name.split()[0]
        started = time.perf_counter()
        build = builders.get(kind, workers.build_ours)
        try:
            resized_from = 32 if setup == "dcgan_cifar10" else None
            measure = build(Variant("ours", (*overrides, *VARIANTS[name]), resized_from), seconds)
            times[name] = [measure() for _ in range(3)]
        except Exception as error:  # one variant that fails must not cost the others
            print(f"{setup} {name}: {type(error).__name__}: {error}", flush=True)
            continue
        median = statistics.median(times[name])
        ratio = (
            f", {statistics.median(times['tutorial']) / median:.1f} times the tutorial" if "tutorial" in times else ""
        )
        spread = f"{1e6 * min(times[name]):.0f} to {1e6 * max(times[name]):.0f}"
        spent = time.perf_counter() - started
        print(f"{setup} {name}: {1e6 * median:.0f} us ({spread}){ratio}; measured in {spent:.0f} s", flush=True)
        (folder / f"speed_{setup}.json").write_text(json.dumps(times))
        torch.cuda.empty_cache()


def profile_setup(setup: str, overrides: list[str], seconds: float, folder: Path, device: torch.device) -> None:
    """Print what share of a step the GPU works; write in which kernels, and for `mlp` the profiler's trace."""
    for name in ("eager", "graphs"):
        run = workers.build_run(Variant("ours", (*overrides, *VARIANTS[name])))
        step_seconds = timing.median_seconds(lambda run=run: workers.make_step(run), seconds)
        steps = 20
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        with profile(activities=activities, record_shapes=name == "eager") as profiler:
            for _ in range(steps):
                workers.make_step(run)
            timing.synchronize()
        kernels: dict[str, list[float]] = {}
        for event in profiler.events():
            if event.device_type == torch.autograd.DeviceType.CUDA and event.device_time > 0:
                kernels.setdefault(event.name, []).append(event.device_time)
        busy = sum(sum(times) for times in kernels.values()) / steps
        count = sum(len(times) for times in kernels.values()) / steps
        print(
            f"{setup} {name}: {1e6 * step_seconds:.0f} us per step, {count:.0f} kernels of {busy:.0f} us together: "
            f"the GPU works {busy / step_seconds / 1e6:.0%} of the time",
            flush=True,
        )
        rows: list[Any] = sorted(kernels.items(), key=lambda item: -sum(item[1]))
        table = [[name[:150], len(times) / steps, sum(times) / steps] for name, times in rows]
        record = {"step_us": 1e6 * step_seconds, "busy_us": busy, "kernels": count, "table": table}
        (folder / f"profile_{setup}_{name}.json").write_text(json.dumps(record, indent=1))
        if name == "eager":
            by_operator = profiler.key_averages(group_by_input_shape=True).table("self_device_time_total", row_limit=45)
            (folder / f"operators_{setup}.txt").write_text(by_operator)
        if setup == "mlp":
            path = folder / f"trace_{setup}_{name}.json"
            profiler.export_chrome_trace(str(path))
            with gzip.open(f"{path}.gz", "wb") as file:
                file.write(path.read_bytes())
            path.unlink()


if __name__ == "__main__":
    main()
