"""Imports between the modules of gan/ run one way, and Hydra is known to few of them."""

import ast

import pytest

from tests.conftest import ROOT, TINY

# From the ground up: a module may import from its own folder, and from those in an earlier row.
LAYERS = [
    {"config"},
    {"system"},
    {"losses", "numerics", "optim", "noise"},
    {"player", "data"},
    {"models"},
    {"sampling", "tricks"},
    {"code_grid", "interpolation"},
    {"metrics", "sample_files"},
    {"cli"},
    {"step", "report"},
    {"training"},
    {"evaluation", "generator_file"},
    {"evaluate", "data.__main__"},
    {"export", "model_card", "projection"},
    {"explorer"},
    {"programs"},
    {"api", "__main__"},
    {"zoo"},
]
MODULES = {
    ".".join(path.relative_to(ROOT / "gan").with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "gan").rglob("*.py")
    if path != ROOT / "gan" / "__init__.py"
}


def layer_of(module: str) -> int:
    """The row of LAYERS that has a module such as `cli.jobs`."""
    name = module if any(module in row for row in LAYERS) else module.split(".")[0]
    return next(number for number, row in enumerate(LAYERS) if name in row)


def imported(path):
    """The modules of gan/ that the file at `path` imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "gan":
            for alias in node.names:
                parts = [*node.module.split("."), alias.name][1:]
                here = ROOT.joinpath("gan", *parts)
                if parts != ["__version__"]:
                    yield ".".join(parts if here.with_suffix(".py").exists() else parts[:-1])


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    for other in imported(MODULES[name]):
        same_folder = other.split(".")[0] == name.split(".")[0]
        assert same_folder or layer_of(other) < layer_of(name), other


SLOW_TO_IMPORT = ["matplotlib", "scipy", "torchvision", "torch._dynamo"]  # a tenth of a second or more each
LISTED = """
import sys
from gan import programs
program, *sys.argv = sys.argv[1:]
getattr(programs, program)()
print("imported:", *({modules} & set(sys.modules)))
"""


@pytest.mark.slow
def test_programs_import_late_what_takes_long_to_import(process, cache, tmp_path):
    """torch's optimizers import torch._dynamo, and the figures of a run need matplotlib; samples need neither."""

    def imported(program, *arguments):
        done = process("-c", LISTED.format(modules=set(SLOW_TO_IMPORT)), program, f"{program}.py", *arguments)
        assert done.returncode == 0, done.stderr
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("imported:"))
        return set(line.split()[1:])

    run = tmp_path / "run"
    settings = [*TINY, f"cache_dir={cache}", "train.max_steps=1", f"hydra.run.dir={run}"]
    assert imported("train", *settings) == {"matplotlib", "torch._dynamo"}
    assert imported("sample", f"run={run}", "n=4", f"out={tmp_path / 'samples.png'}") == set()


def test_few_modules_know_hydra():
    names = {path.stem for path in (ROOT / "gan").rglob("*.py") if "hydra" in path.read_text().replace("`hydra", "")}
    cli = {"arguments", "overrides", "names", "messages", "job_settings", "jobs", "logs", "sweeps", "paths"}
    report = {"runs", "claim_results", "composition", "run_details"}
    assert names <= cli | report | {
        "check",
        "options",
        "suggestions",
        "build",
        "evaluate",
        "__main__",
        "programs",
        "api",
    }


@pytest.mark.parametrize("module", sorted((ROOT / "gan" / "models").glob("*.py")), ids=lambda path: path.stem)
def test_everything_public_in_a_model_has_a_docstring(module):
    tree = ast.parse(module.read_text())
    public = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")
    ]
    missing = [node.name for node in public if node.name != "forward" and not ast.get_docstring(node)]
    assert not missing
