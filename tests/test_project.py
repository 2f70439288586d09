"""README, the other pages and CI agree with the code."""

import ast
import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

import gan
from gan.cli import job_settings
from gan.cli.overrides import parse_arguments
from gan.config import check
from gan.data.image_shape import ImageShape
from tests.conftest import ROOT, composed

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
CI = ROOT / ".ci"
SLURM = ("sbatch", "munge")  # programs
TEST_LINE = "echo README {} >> calls  # -m pytest"


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """The language and the text of each fenced block."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def documented_commands(program: str) -> list[str]:
    """What stands after the name of a program, in the bash blocks of all pages."""
    blocks = [
        block for page in PAGES for language, block in fenced_blocks(page.read_text("utf-8")) if language == "bash"
    ]
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = [re.search(rf"(?:^|&& |PYTHONPATH=\S+ )\S*python {re.escape(program)} ?(.*)", line) for line in lines]
    return sorted({command[1] for command in commands if command})


def test_readme_has_at_most_180_lines_and_other_pages_150():
    lines = {page.name: len(page.read_text("utf-8").splitlines()) for page in PAGES}
    assert lines.pop("README.md") <= 180
    assert not {name: count for name, count in lines.items() if count > 150}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fenced_block_names_its_language_and_is_closed(page):
    text = page.read_text("utf-8")
    assert all(language for language, _ in fenced_blocks(text))
    assert text.count("```") == 2 * len(fenced_blocks(text))


def test_every_page_of_docs_is_linked_from_readme():
    links = re.findall(r"\]\(([^)#]+)", README.read_text("utf-8"))
    assert {f"docs/{path.name}" for path in ROOT.glob("docs/*.md")} <= {*links}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_section_exists(page):
    for link, section in re.findall(r"\]\(([^):#]*)#([\w-]+)\)", page.read_text("utf-8")):
        text = (page.parent / link if link else page).read_text("utf-8")
        titles = re.findall(
            r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
        )
        assert section in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


TRAINING_COMMANDS = [
    command.replace("$name", "modern").replace("$when", "before")
    for command in documented_commands("train.py")
    if "resume=" not in command and "mypkg" not in command  # a folder or a module of the user's
]


@pytest.mark.parametrize("command", TRAINING_COMMANDS)
def test_every_documented_training_command_is_valid(command):
    arguments = [word for word in parse_arguments(shlex.split(command)) if word != "-m"]
    overrides = OverridesParser.create().parse_overrides(arguments)
    first = [  # of a sweep, its first run
        f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
        if override.is_sweep_override()
        else argument
        for argument, override in zip(arguments, overrides, strict=True)
    ]
    cfg = composed(*first)
    job_settings.drop_replaced(cfg, first)
    check.check_config(cfg)


def test_training_commands_are_found_in_the_pages():
    assert len(TRAINING_COMMANDS) > 10


def test_every_config_option_is_in_the_pages():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    for group in ("model", "optim", "loss", "dataset", "trick"):
        for path in (ROOT / "conf" / group).glob("*.yaml"):
            assert re.search(rf"[`\[(,]{path.stem}[`\],)]", text), f"{group}={path.stem}"


@pytest.mark.parametrize("number", [0, 1], ids=["plain modules", "on the base classes"])
def test_the_networks_in_the_documentation_fit_the_data(number):
    blocks = fenced_blocks((ROOT / "docs" / "development.md").read_text("utf-8"))
    block = [text for language, text in blocks if language == "python"][number]
    module: dict[str, Any] = {}
    exec(block, module)
    images = module["G"](ImageShape(3, 12), 5, hidden=[8])(torch.randn(4, 5))
    assert images.shape == (4, 3, 12, 12)
    assert images.abs().max() <= 1
    assert module["D"](ImageShape(3, 12), hidden=[8])(images).numel() == 4


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == gan.__version__
    assert f"## [{gan.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"version = {{{gan.__version__}}}" in README.read_text("utf-8")


def test_the_citation_file_has_what_its_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == "MIT"
    assert all("name" in author for author in citation["authors"])


def imported_packages(*patterns: str) -> set[str]:
    """The packages that these files import and that neither Python nor this project has."""
    nodes = [
        node
        for pattern in patterns
        for path in ROOT.glob(pattern)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
    ]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return (
        {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"gan", "tests", "benchmarks", "sample"}
    )


@pytest.mark.parametrize(
    ("requirements", "patterns"),
    [
        (["requirements.txt"], ["train.py", "sample.py", "gan/**/*.py"]),
        (
            [f"requirements{part}.txt" for part in ("", "-sweeps", "-export", "-dev")],
            ["tests/**/*.py", "benchmarks/**/*.py"],
        ),
    ],
)
def test_every_package_that_is_imported_is_required_by_its_name(requirements, patterns):
    lines = [line for name in requirements for line in (ROOT / name).read_text("utf-8").splitlines()]
    required = {re.split(r"[<>= ]", line)[0].lower() for line in lines}
    providers = {
        package: {name.lower().replace("_", "-") for name in names}
        for package, names in importlib.metadata.packages_distributions().items()
    }
    packages = imported_packages(*patterns) - {"pydantic_core"}  # a part of pydantic
    assert len(packages) > 5
    assert not [name for name in packages if not required & providers[name]]


def test_github_runs_ci_on_every_supported_version_of_python():
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]["ci"]
    assert job["strategy"]["matrix"]["python-version"] == ["3.11", "3.12", "3.13"]
    assert job["steps"][-1]["run"] == ".ci/run"


def readme_command(path):
    """The outcome of CI's search for the test command in a README."""
    return subprocess.run([sys.executable, CI / "readme_command.py", path], capture_output=True, text=True, timeout=60)


def test_ci_finds_the_test_command_of_readme():
    found = readme_command(README)
    assert found.returncode == 0
    assert found.stdout == (
        "python3 -m venv .venv && .venv/bin/pip install -r requirements-dev.txt && .venv/bin/python -m pytest\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Run `.venv/bin/python -m pytest`.\n",
        "    python -m pytest\n",
        "```bash\npython -m pytest -q\n```\n",
        "```text\npython -m pytest\n```\n",
        "```bash\npython -m pytest\n```\n\n```bash\npython3 -m pytest\n```\n",
    ],
    ids=["empty", "in a sentence", "indented", "another line", "another language", "twice"],
)
def test_ci_fails_without_exactly_one_test_command(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    found = readme_command(tmp_path / "README.md")
    assert found.returncode == 1
    assert found.stdout == "" and "README.md" in found.stderr


@pytest.fixture
def run_ci(tmp_path):
    """Run .ci/run on a stand-in for the project, where no program exists but those it needs.

    Returns its exit code and the programs it called, in order.
    """

    def call(
        test_line: str, failing: str | None = None, installed: Sequence[str] = ("chromium", *SLURM)
    ) -> tuple[int, list[str]]:
        (tmp_path / ".ci").mkdir()
        for path in CI.iterdir():
            (tmp_path / ".ci" / path.name).write_bytes(path.read_bytes())
        (tmp_path / "bin").mkdir()
        for name in ("bash", "sh", "dirname"):
            (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
        (tmp_path / "bin" / "python3").symlink_to(sys.executable)
        (tmp_path / ".venv" / "bin").mkdir(parents=True)
        programs = [f".venv/bin/{name}" for name in ("python", "ruff", "mypy")]
        for name in [*programs, "bin/apt-get", *(f"bin/{name}" for name in installed)]:
            program = tmp_path / name
            line = f"{program.name}${{*:+ $*}}"
            program.write_text(f'#!/bin/sh\necho {program.name} "$@" >> calls\ntest "{line}" != "{failing}"\n')
            program.chmod(0o755)
        (tmp_path / "README.md").write_text(f"```bash\n{test_line}\n```\n")
        only_these = {"PATH": str(tmp_path / "bin")}
        ended = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, env=only_these, capture_output=True, timeout=60)
        calls = tmp_path / "calls"
        return ended.returncode, calls.read_text().splitlines() if calls.exists() else []

    return call


STEPS = [
    "README tests",
    "python -m pytest -m slow",
    "ruff format --check .",
    "ruff check .",
    "mypy",
    "python -m benchmarks --quick",
]


def test_ci_runs_the_tests_the_slow_ones_the_checks_and_the_benchmarks(run_ci):
    assert run_ci(TEST_LINE.format("tests")) == (0, STEPS)


@pytest.mark.parametrize("browser", ["chromium", "google-chrome"])
def test_ci_takes_the_browser_and_the_slurm_that_are_there(run_ci, browser):
    assert run_ci(TEST_LINE.format("tests"), installed=[browser, *SLURM]) == (0, STEPS)


MISSING = [
    (["google-chrome"], "slurm-wlm munge"),
    (["chromium", "sbatch"], "slurm-wlm munge"),
    (SLURM, "chromium"),
    ([], "chromium slurm-wlm munge"),
]


@pytest.mark.parametrize(("installed", "packages"), MISSING)
@pytest.mark.parametrize("failing", [None, "update", "install"])
def test_ci_installs_what_is_missing_and_goes_on_without(run_ci, installed, packages, failing):
    lines = ["apt-get update", f"apt-get install -y --no-install-recommends {packages}"]
    failing_line = next((line for line in lines if failing and failing in line), None)
    code, calls = run_ci(TEST_LINE.format("tests"), failing_line, installed)
    assert code == 0
    assert calls[-len(STEPS) :] == STEPS and calls[: -len(STEPS)] == lines[: 1 if failing == "update" else 2]


@pytest.mark.parametrize("failing", STEPS[1:])
def test_ci_ends_with_the_first_step_that_fails(run_ci, failing):
    code, calls = run_ci(TEST_LINE.format("tests"), failing)
    assert code != 0
    assert calls == STEPS[: STEPS.index(failing) + 1]


@pytest.mark.parametrize("line", ["false  # -m pytest", "pytest"])
def test_ci_ends_where_readme_has_no_test_command_or_one_that_fails(run_ci, line):
    code, calls = run_ci(line)
    assert code != 0
    assert calls == []
