"""What sample.py writes: grids, folders of PNGs, arrays and interpolations."""

import io
import shlex
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from gan import interpolation, sample_files, sampling
from gan import programs as program_file
from gan.cli import paths
from gan.config import check
from gan.config.errors import ConfigError
from gan.noise import Noise
from gan.training import build, checkpoint
from tests.conftest import CONF, ROOT
from tests.test_project import documented_commands

CPU = torch.device("cpu")


def sample(run, *overrides):
    """What sample.py does with these overrides, in this process. Returns the path of the samples."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("sample", overrides=[f"run={run}", "device=cpu", *overrides])
    return Path(program_file.sample_images(cfg).partition(" written to ")[2])


def test_samples_are_written_in_every_format_and_depend_on_the_seed_alone(train_here, tmp_path):
    run = tmp_path / "run"
    train_here(run, "train.max_steps=3", "dataset.image_size=12")
    same = ["n=9", "seed=3"]
    images = np.load(sample(run, *same, "format=npz", "batch_size=4"))["images"]
    assert images.shape == (9, 12, 12, 1) and images.dtype == np.uint8
    folder = sample(run, *same, "format=png", f"out={tmp_path / 'many'}")
    paths = sorted(folder.glob("*.png"))
    assert [path.stem for path in paths] == [f"{number:05d}" for number in range(9)]
    assert all((np.asarray(Image.open(path)) == images[number, :, :, 0]).all() for number, path in enumerate(paths))
    grid = np.asarray(Image.open(sample(run, *same)))
    assert grid.shape == (3 * 13 + 1, 3 * 13 + 1) and (grid[1:13, 1:13] == images[0, :, :, 0]).all()
    path = sample(run, "n=3", "format=interpolation", "frames=4", f"out={tmp_path / 'path.gif'}")
    assert Image.open(path).n_frames == 12
    other = np.load(sample(run, "n=9", "seed=4", "format=npz"))["images"]
    assert not np.array_equal(images, other)


def test_the_first_images_are_the_same_however_many_are_asked_for(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1", "model.generator.hidden=[32]", "trick=[conditional]")
    images = {n: np.load(sample(tmp_path, f"n={n}", "format=npz", "batch_size=16"))["images"] for n in (1, 20, 70)}
    assert (images[1] == images[70][:1]).all() and (images[20] == images[70][:20]).all()
    grids = {n: np.asarray(Image.open(sample(tmp_path, f"n={n}", "batch_size=16"))) for n in (1, 64)}
    assert (grids[1] == grids[64][1:29, 1:29]).all() and (grids[1] == images[1][0, :, :, 0]).all()


def test_sample_py_prints_where_the_samples_are_and_writes_nothing_else(train_here, program, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    before = set(ROOT.iterdir())
    done = program("sample.py", f"run={tmp_path}", "n=9", "seed=3", "device=cpu")
    assert done.returncode == 0 and str(tmp_path / "generated" / "grid_seed3_n9.png") in done.stdout, done.stderr
    assert "9 images of step 1" in done.stdout
    assert [path.name for path in (tmp_path / "generated").iterdir()] == ["grid_seed3_n9.png"]
    assert set(ROOT.iterdir()) == before


@pytest.mark.parametrize("command", documented_commands("sample.py"))
def test_every_documented_command_is_valid(command):
    words = [word for word in shlex.split(command) if word != "--help"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = check.check_sampling(compose("sample", overrides=["run=RUN", *words]))
    paths.choose_output(settings, Path("RUN"))


def test_samples_are_drawn_with_the_ema_unless_it_is_turned_off(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    paths = [sample(tmp_path, "n=9", ema) for ema in ("ema=true", "ema=false")]
    assert [path.name for path in paths] == ["grid_seed0_n9.png", "grid_no-ema_seed0_n9.png"]
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_too_many_images_for_a_grid_and_a_path_through_one_image_are_config_errors(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    for overrides in (["n=80000"], ["n=1", "format=interpolation"], ["n=1667", "format=interpolation"]):
        with pytest.raises(ConfigError, match=overrides[0]):
            sample(tmp_path, *overrides)
    with pytest.raises(ConfigError, match="n=30000"):
        sample(tmp_path, "n=30000", "format=interpolation", "frames=3", f"out={tmp_path}/x.png")
    sample(tmp_path, "n=2", "format=interpolation", "frames=1")


@pytest.mark.parametrize("size", [8, pytest.param(256, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tricks", ["[]", "[conditional]"])
def test_an_interpolation_is_a_gif_or_a_png_of_any_size(train_here, tmp_path, size, tricks):
    train_here(
        tmp_path / "run", "train.max_steps=1", f"dataset.image_size={size}", "train.ema_decay=null", f"trick={tricks}"
    )
    for n, frames in ((2, 1), (5, 3), (2, 17)):
        same = [f"n={n}", f"frames={frames}", "format=interpolation"]
        with Image.open(sample(tmp_path / "run", *same)) as gif:
            assert gif.format == "GIF" and gif.size == (size, size) and gif.n_frames == n * frames
        with Image.open(sample(tmp_path / "run", *same, f"out={tmp_path}/path.png")) as grid:
            assert grid.format == "PNG" and grid.size == (frames * (size + 1) + 1, n * (size + 1) + 1)
        folder = sample(tmp_path / "run", f"n={n}", "format=png", f"out={tmp_path}/{n}_{frames}")
        array = np.asarray(Image.open(next(folder.rglob("00001.png"))))
        row = np.asarray(Image.open(tmp_path / "path.png"))[size + 2 : 2 * size + 2, 1 : size + 1]
        assert np.abs(row.astype(int) - array).max() <= 1  # another size of batch, and rounding


def test_the_classes_of_an_interpolation_blend(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1", "trick=[conditional]")
    generator = build.load_trained(tmp_path, "last", True, CPU).generator
    weight = generator.label_embedding.weight
    blended, labels = interpolation.blend_classes(generator, torch.tensor([3, 5]), 4)
    path = blended.label_embedding(labels)
    assert torch.equal(path[[0, 4]], weight[[3, 5]]) and torch.allclose(path[2], (weight[3] + weight[5]) / 2)
    assert torch.allclose(path[7], (weight[5] + 3 * weight[3]) / 4)  # the way back to the first
    assert generator.class_count == 10


def test_a_conditional_run_is_sampled_by_class(train_here, tmp_path):
    train_here(tmp_path, "trick=[conditional]", "train.max_steps=2")
    path = sample(tmp_path, "class=3", "n=4", "format=npz")
    assert path.name == "npz_class3_seed0_n4.npz"
    threes, cycled = (np.load(path)["images"] for path in (path, sample(tmp_path, "n=4", "format=npz")))
    assert threes.shape == (4, 28, 28, 1)
    assert np.array_equal(threes[3], cycled[3]) and not np.array_equal(threes[0], cycled[0])
    with Image.open(sample(tmp_path, "class=9", "n=4")) as grid:
        assert grid.size == (2 * 29 + 1, 2 * 29 + 1)
    with pytest.raises(ConfigError, match="class=10"):
        sample(tmp_path, "class=10")


def test_a_grid_of_classes_has_full_rows(train_here, tmp_path):
    train_here(tmp_path, "trick=[conditional]", "train.max_steps=1", "watch.samples=16", "watch.final_samples=64")
    grids = {tmp_path / "samples" / "step_0000001.png": 20, tmp_path / "final.png": 70, sample(tmp_path, "n=64"): 70}
    for path, count in grids.items():
        with Image.open(path) as grid:
            assert grid.size == (10 * 29 + 1, count // 10 * 29 + 1)
            last_image = np.asarray(grid)[-29:-1, -29:-1]
        assert last_image.min() < last_image.max()  # a cell without an image is all of one gray


def test_an_unconditional_run_has_no_classes_to_choose(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    with pytest.raises(ConfigError, match=r"class=1.*conditional"):
        sample(tmp_path, "class=1")


def test_images_of_another_set_are_not_left_among_the_new_ones(train_here, tmp_path):
    train_here(tmp_path / "run", "train.max_steps=1")
    folder = sample(tmp_path / "run", "n=5", "format=png", f"out={tmp_path}/many")
    first = (folder / "00000.png").read_bytes()
    with pytest.raises(ConfigError, match=r"2 images .*00003\.png"):
        sample(tmp_path / "run", "n=3", "seed=1", "format=png", f"out={folder}")
    assert (folder / "00000.png").read_bytes() == first
    sample(tmp_path / "run", "n=6", "seed=1", "format=png", f"out={folder}")
    assert (folder / "00000.png").read_bytes() != first and len(list(folder.iterdir())) == 6
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"):
        sample(tmp_path / "run", "format=png", f"out={tmp_path}/file")


def test_images_are_written_batch_by_batch(tmp_path):
    written = []

    def batches(size):
        for number in range(4):
            written.append(size())
            yield torch.full((2, 3, 8, 8), number, dtype=torch.uint8)

    file = io.BytesIO()
    sample_files.write_npz(batches(lambda: len(file.getvalue())), (8, 8, 8, 3), file)
    assert np.diff(written).tolist() == [2 * 3 * 8 * 8] * 3
    file.seek(0)
    assert np.load(file)["images"][:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    written.clear()
    sample_files.write_pngs(batches(lambda: len(list(tmp_path.iterdir()))), tmp_path, [""] * 8)
    assert written == [0, 2, 4, 6]


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_only_few_batches_are_in_memory_at_once(train_here, tmp_path, monkeypatch, kind):
    train_here(tmp_path / "run", "train.max_steps=1", "trick=[conditional]", "dataset.image_size=8")
    alive, most, generate = weakref.WeakSet(), [], sampling.generate

    def counted(*args):
        images = generate(*args)
        alive.add(images)
        most.append(len(alive))
        return images

    monkeypatch.setattr(sampling, "generate", counted)
    sample(tmp_path / "run", "n=300", "batch_size=10", f"format={kind}", f"out={tmp_path}/out")
    assert len(most) == 30 and max(most) <= 3


MEASURED = """
import resource, sys
from tests.test_sample_files import sample
sample(*sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has ru_maxrss in kilobytes")
@pytest.mark.parametrize("kind", ["npz", "png"])
def test_fifty_thousand_images_take_no_more_memory_than_five_hundred(train_here, tmp_path, process, kind):
    train_here(tmp_path / "run", "train.max_steps=1")
    peaks = []
    for n in (500, 50_000):
        done = process("-c", MEASURED, str(tmp_path / "run"), f"n={n}", f"format={kind}", f"out={tmp_path}/{n}")
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) * 1024)
    assert peaks[1] - peaks[0] < 50_000 * 28**2 / 3


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_truncation_multiplies_the_noise(train_here, tmp_path, monkeypatch, kind):
    train_here(tmp_path, "train.max_steps=1", f"noise.kind={kind}", "noise.dim=5")
    drawn, generate = [], sampling.generate
    monkeypatch.setattr(sampling, "generate", lambda *args: drawn.append(args[1]) or generate(*args))
    for truncation in (1, 0.7):
        sample(tmp_path, "n=4", f"truncation={truncation}")
        sample(tmp_path, "n=3", "format=gif", "frames=2", f"truncation={truncation}")
    grid, path, truncated_grid, truncated_path = drawn
    assert torch.equal(grid, sampling.draw_noise(Noise(kind, 5), 256, 0, "sample"))
    assert torch.allclose(truncated_grid, 0.7 * grid) and torch.allclose(truncated_path, 0.7 * path, atol=1e-6)


def test_less_noise_gives_images_that_differ_less(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    spreads = [
        np.load(sample(tmp_path, "n=64", "format=npz", f"truncation={truncation}"))["images"].std(axis=0).mean()
        for truncation in (1.0, 0.5, 0.01)
    ]
    assert spreads[0] > 1.2 * spreads[1] > 1.2 * spreads[2]


def test_a_truncation_is_above_0_and_at_most_1(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    for truncation in ("0", "1.1", "-1", "null", "x", ".nan"):
        with pytest.raises(ConfigError, match=r"^truncation="):
            sample(tmp_path, f"truncation={truncation}")


def test_noise_on_a_sphere_has_no_truncation(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1", "noise.kind=sphere")
    for kind in ("grid", "gif"):
        with pytest.raises(ConfigError, match=r"^truncation=0\.7: .*sphere"):
            sample(tmp_path, "truncation=0.7", f"format={kind}", "n=2")
    sample(tmp_path, "truncation=1", "n=2")


def test_a_gif_is_an_interpolation_under_its_plain_name(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    same = ["n=3", "frames=4"]
    gif, interpolation = (sample(tmp_path, *same, f"format={kind}") for kind in ("gif", "interpolation"))
    assert gif.name == "gif_seed0_n3.gif" and gif.read_bytes() == interpolation.read_bytes()
    assert sample(tmp_path, *same, f"out={tmp_path}/x.gif").read_bytes() == gif.read_bytes()
    for overrides in (["n=1"], ["n=1667"], [f"out={tmp_path}/x.png"]):
        with pytest.raises(ConfigError, match="format=gif"):
            sample(tmp_path, "format=gif", *overrides)


def test_an_array_has_the_class_of_each_image_and_so_have_the_folders_of_pngs(train_here, tmp_path):
    train_here(tmp_path / "run", "train.max_steps=1", "trick=[conditional]", "dataset.image_size=8")
    same = ["n=23", "batch_size=8"]
    found = np.load(sample(tmp_path / "run", *same, "format=npz"))
    assert found["labels"].tolist() == [index % 10 for index in range(23)] and found["images"].shape == (23, 8, 8, 1)
    assert found["class_names"].tolist() == [str(digit) for digit in range(10)]
    folder = sample(tmp_path / "run", *same, "format=png")
    names = {f"{index % 10}/{index:05d}.png" for index in range(23)}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.png")} == names
    for name in names:
        assert np.array_equal(np.asarray(Image.open(folder / name)), found["images"][int(Path(name).stem), :, :, 0])


def test_the_step_is_that_of_the_checkpoint_and_the_state_that_of_the_run(train_here, program, tmp_path):
    train_here(tmp_path, "train.max_steps=5", "optim=sgd", "optim.generator.lr=1e30")
    done = program("sample.py", f"run={tmp_path}", "n=1", "device=cpu")
    step = checkpoint.load(tmp_path)["step"]
    assert f"step {step} of" in done.stdout and "(diverged at step" in done.stdout
