"""Run folders of the tests of training."""

from PIL import Image

from gan.system import files
from gan.training import checkpoint
from tests.conftest import read_status

HYDRA_FILES = [".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml", "train.log"]
FILES = [
    "status.json",
    "metrics.jsonl",
    "samples.gif",
    "figures/losses.png",
    "figures/predictions.png",
    "checkpoints/last.pt",
]


def read_metrics(folder):
    """The rows of metrics.jsonl."""
    return files.read_rows(folder / "metrics.jsonl")


def assert_complete(folder, hydra=True):
    """Check that a run folder has all files, that they can be read, and that none is half written.

    Args:
        hydra: whether the run was started by train.py, with Hydra's files.
    """
    for name in FILES + (HYDRA_FILES if hydra else []):
        assert (folder / name).stat().st_size > 0 or name.endswith((".jsonl", "overrides.yaml", ".log")), name
    assert list(folder.glob("events.out.tfevents.*"))
    for path in [*folder.glob("samples/*.png"), *folder.glob("figures/*.png"), folder / "samples.gif"]:
        Image.open(path).load()
    checkpoint.load(folder)
    read_status(folder)
    assert not list(folder.rglob("*.part"))
