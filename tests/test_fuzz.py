"""Whatever comes from outside either runs or is refused in one sentence: no traceback, no hang, no gigabytes."""

import io
import json
import os
import shutil
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as some
from PIL import Image

from gan.config.errors import ConfigError
from gan.data import image_folder
from gan.system import status
from gan.training import checkpoint
from tests import forked
from tests.conftest import TINY, composed, options

STRANGE = [
    *("", "0", "-1", "1", "2", "7", "0.5", "-0.1", "1e400", "1e-400", "nan", "inf", "-inf", "99999999999", "1" * 40),
    *("true", "null", "abc", "'quoted'", "'", "é", "a b", "a=b", "%s", "None", "1 epoch", "0 epochs", "epochs"),
    *("[]", "[1]", "[a,b]", "[[1]]", "[", "{}", "{a: 1}", "{_target_: os.system}", "{_target_: gan.losses.Hinge}"),
    *(
        "${seed}",
        "${nothing}",
        "${oc.env:NOTHING}",
        "${trick.ema.decay}",
        "${train}",
        "${",
        "1,2",
        "range(3)",
        "glob(*)",
    ),
    *("..", "/dev/null", "/proc/self/mem", "/", "a/b/c", "x" * 300),
]
UNBOUNDED = {"train.max_steps", "train.epochs", "data_dir", "cache_dir"}  # these make a case long, or read the web
GROUPS = ("model", "optim", "loss", "trick", "experiment")


def names() -> list[str]:
    """Every setting of the default run, and some that there are not."""
    every = checkpoint.flatten(composed()).keys()
    return [*sorted(every - UNBOUNDED), "nothing", "train.nothing", "hydra.run.dir", "hydra.job.name", "hydra.mode"]


settings_of_runs = some.builds(
    "{}{}={}".format,
    some.sampled_from(["", "", "", "", "+", "++", "~"]),
    some.sampled_from(names()),
    some.one_of(
        some.sampled_from(STRANGE),
        some.integers(-3, 300).map(str),
        some.floats(allow_nan=False).map(str),
        some.text(max_size=8),
    ),
)
choices_of_groups = some.sampled_from(GROUPS).flatmap(
    lambda group: some.one_of(some.sampled_from(options(group) or ["modern"]), some.sampled_from(STRANGE)).map(
        lambda option: f"{group}={option}"
    )
)
tricks = some.lists(some.sampled_from(options("trick")), max_size=3).map(lambda chosen: f"trick=[{','.join(chosen)}]")
flags = some.sampled_from(["-m", "--multirun", "-c", "--cfg", "job", "--info", "--help", "-x", "--nothing", "-", "--"])
words = some.text(some.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
arguments = some.lists(some.one_of(settings_of_runs, choices_of_groups, tricks, flags, words), min_size=1, max_size=3)


@given(arguments)
def test_any_command_line_runs_or_is_refused_in_a_sentence(cache, arguments):
    plain = [argument.replace("\0", "") for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        outcome = forked.run(
            "train.py", *TINY, "train.max_steps=2", "threads=1", f"cache_dir={cache}", *plain, folder=Path(folder)
        )
    event(f"exit code {outcome.returncode}")  # --hypothesis-show-statistics tells how many of each
    assert outcome.is_clean_exit(), (plain, outcome.returncode, outcome.stderr)


OF_SAMPLES = [
    "run",
    "n",
    "checkpoint",
    "class",
    "seed",
    "format",
    "out",
    "batch_size",
    "device",
    "frames",
    "fps",
    "nothing",
]
sampling_arguments = some.lists(
    some.builds("{}={}".format, some.sampled_from(OF_SAMPLES), some.sampled_from([*STRANGE, "npz", "png"])), max_size=3
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cache):
    """A small run of six steps, by way of the command line."""
    folder = tmp_path_factory.mktemp("trained")
    few = [*TINY, "train.max_steps=6", "threads=1", f"cache_dir={cache}"]
    outcome = forked.run("train.py", *few, "hydra.run.dir=run", folder=folder)
    assert outcome.returncode == 0, outcome.stderr
    return folder / "run"


@given(sampling_arguments)
def test_whatever_is_asked_of_sampling_is_drawn_or_refused_in_a_sentence(trained, arguments):
    with tempfile.TemporaryDirectory() as folder:
        outcome = forked.run("sample.py", f"run={trained}", "out=drawn", *arguments, folder=Path(folder))
    event(f"exit code {outcome.returncode}")
    assert outcome.is_clean_exit(), (arguments, outcome.returncode, outcome.stderr)


def damages(size: int):
    """Where a file of `size` bytes is cut, and which of its bytes are changed to what."""
    places = some.integers(0, max(size - 1, 0))
    changed = some.lists(some.tuples(places, some.integers(0, 255)), max_size=4)
    return some.tuples(some.one_of(some.just(size), places), changed)


def damaged(content: bytes, damage) -> bytes:
    cut, changed = damage
    hurt = bytearray(content)
    for place, value in changed if content else []:
        hurt[place] = value
    return bytes(hurt[:cut])


@given(some.data())
def test_a_damaged_checkpoint_is_read_to_the_bit_or_not_at_all(trained, data):
    content = checkpoint.path_in(trained).read_bytes()
    hurt = damaged(content, data.draw(damages(len(content))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.pt"
        path.write_bytes(hurt)
        found, whole = checkpoint.read(path), checkpoint.read(checkpoint.path_in(trained))
    event("read" if found else "refused")
    assert found is None or repr(found) == repr(whole)
    assert found is None or all(
        torch.equal(found["generator"][name], whole["generator"][name]) for name in whole["generator"]
    )


FILES = ["status.json", "metrics.jsonl", ".hydra/overrides.yaml", ".hydra/config.yaml", "checkpoints/last.pt", ".lock"]
junk = some.one_of(
    some.binary(max_size=40),
    some.sampled_from([b"[]", b"{}", b"null", b'{"state": 1}', b"- a\n- b=c", b'"x"', b"[1]\n{}"]),
)


@given(some.sampled_from(FILES), some.one_of(some.none(), junk), some.data())
def test_a_run_with_a_damaged_file_goes_on_or_says_why_not(trained, name, content, data):
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(trained, run)
        before = (run / name).read_bytes()
        (run / name).write_bytes(damaged(before, data.draw(damages(len(before)))) if content is None else content)
        outcome = forked.run("train.py", f"resume={run}", "train.max_steps=8", folder=Path(folder))
        event(f"{name}: exit code {outcome.returncode}")
        if outcome.returncode == 0:
            assert status.read(run)["state"] == "finished" and checkpoint.load(run)["step"] == 8
    assert outcome.is_clean_exit(), (name, content, outcome.returncode, outcome.stderr)


def image(kind: str, mode: str) -> bytes:
    """A image of 20 x 20 pixels, or three of them in a film."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("RGB").convert(mode if mode != "I;16" else "L")
    if mode == "I;16":
        image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    file = io.BytesIO()
    frames = {"save_all": True, "append_images": [image, image]} if kind == "gif" else {}
    image.save(file, format=kind, **frames)
    return file.getvalue()


IMAGES = [
    *(("png", mode) for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")),
    *(("jpeg", mode) for mode in ("L", "RGB", "CMYK")),
    *(("tiff", mode) for mode in ("1", "L", "RGB", "CMYK", "I;16", "F")),
    *(("gif", "P"), ("webp", "RGB"), ("webp", "RGBA"), ("bmp", "RGB"), ("bmp", "P"), ("ppm", "RGB"), ("ppm", "L")),
]
ENCODED = {f"{kind} {mode}": (kind, image(kind, mode)) for kind, mode in IMAGES}
GOOD = image("png", "RGB")
member_names = some.sampled_from(
    ["x", "a/x", "../x", "../../../../tmp/climbs-out", "/etc/x", "C:\\x", "a//x", "é", " ", "con", "x" * 200]
)


@given(
    some.lists(some.tuples(some.sampled_from(sorted(ENCODED)), some.data()), min_size=1, max_size=4), some.booleans()
)
def test_damaged_images_never_cost_the_good_ones(hurt, zipped):
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "images"
        there.mkdir()
        contents = {"good0.png": GOOD, "good1.png": GOOD}
        for number, (which, data) in enumerate(hurt):
            kind, content = ENCODED[which]
            name = data.draw(member_names) if zipped else str(number)
            contents[f"{name}.{kind}"] = damaged(content, data.draw(damages(len(content))))
        if zipped:
            there = Path(folder) / "images.zip"
            with zipfile.ZipFile(there, "w") as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
        else:
            for name, content in contents.items():
                (there / name).write_bytes(content)
        images, *_ = image_folder.read_images(there, Path(folder), 16, 3, None)
        expected = torch.from_numpy(image_folder.decode_image(GOOD, 16, 3))
        assert sum(torch.equal(image, expected) for image in images) >= 2
        event(f"{len(images) - 2} of {len(hurt)} read")


@given(some.data())
def test_a_damaged_zip_is_read_or_refused(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", GOOD)
    content = file.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.zip"
        path.write_bytes(damaged(content, data.draw(damages(len(content)))))
        try:
            images, *_ = image_folder.read_images(path, Path(folder), 16, 3, None)
            assert images.shape[1:] == (3, 16, 16)
        except ConfigError as refusal:
            assert "\n" not in str(refusal) and str(refusal).endswith(".")
            event("refused")


def test_what_claims_to_be_huge_is_left_out_and_takes_no_memory(tmp_path, monkeypatch):
    """A image of 100 million pixels in 100 kB, one of more than Pillow takes, and a file larger than any image."""
    there = tmp_path / "images"
    there.mkdir()
    (there / "good.png").write_bytes(GOOD)
    Image.new("1", (10_000, 10_000)).save(there / "large.png")
    header = bytearray(GOOD)
    header[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    (there / "claims.png").write_bytes(header)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", GOOD)
        with archive.open("bomb.png", "w") as member:
            for _ in range(image_folder.MAX_FILE_BYTES // 2**20 + 1):
                member.write(bytes(2**20))
    for path, bad in ((there, ["claims.png", "large.png"]), (tmp_path / "bomb.zip", ["bomb.png"])):
        tracemalloc.start()
        images, *_ = image_folder.read_images(path, tmp_path / path.name[:4], 16, 3, None)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        about = next((tmp_path / path.name[:4]).glob("*.json"))
        assert len(images) == 1 and sorted(json.loads(about.read_text())["unreadable"]) == bad
        assert most < 20 * 2**20


def test_links_that_lead_nowhere_or_in_a_circle_are_no_images(tmp_path):
    there = tmp_path / "images"
    there.mkdir()
    (there / "good.png").write_bytes(GOOD)
    (there / "circle").symlink_to(there, target_is_directory=True)
    (there / "nowhere.png").symlink_to(tmp_path / "nothing.png")
    (there / "endless.png").symlink_to("/dev/zero")
    os.mkfifo(there / "waits.png")
    images, *_ = image_folder.read_images(there, tmp_path, 16, 3, None)
    assert len(images) == 1
