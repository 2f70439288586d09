"""Points of one's own, in a CSV or an npy."""

import numpy as np
import pytest
import torch

from gan.config.errors import ConfigError
from gan.data import point_sets

POINTS = [[0.5, -1.0], [2.0, 3e-2], [4.0, 5.0]]


def load(path, split="train", test_path=None, limit=None):
    return point_sets.points(None, None, split, path=str(path), test_path=test_path, limit=limit)


@pytest.mark.parametrize(
    "text",
    [
        "0.5,-1\n2,0.03\n4,5\n",
        "x,y\n0.5,-1.0\n2.0,3e-2\n4.0,5.0",
        "\ufeffx;no number,y\r\n0.5, -1\r\n\r\n2, 0.03\r\n4, 5\r\n",
    ],
    ids=["plain", "with a head", "as a spreadsheet writes it"],
)
def test_a_csv_has_a_point_on_each_line(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, "utf-8", newline="")
    assert torch.equal(load(tmp_path / "a.csv").images, torch.tensor(POINTS))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f8", "<u8"])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_an_npy_has_points_of_one_to_three_numbers(tmp_path, dtype, dim):
    array = np.arange(4 * dim).reshape(4, dim).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    data = load(tmp_path / "a.npy")
    assert data.images.dtype == torch.float32 and np.array_equal(data.images.numpy(), array)
    assert data.shape.dims == (dim,) and len(load(tmp_path / "a.npy", limit=3)) == 3


def test_test_points_come_from_a_path_of_their_own(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 2)))
    np.save(tmp_path / "b.npy", np.ones((3, 2)))
    assert load(tmp_path / "a.npy", "test", str(tmp_path / "b.npy")).images.sum() == 6
    with pytest.raises(ConfigError, match=r"^dataset\.test_path=null"):
        load(tmp_path / "a.npy", "test")
    with pytest.raises(ConfigError, match=r"^dataset\.test_path=.*nowhere"):
        load(tmp_path / "a.npy", "test", str(tmp_path / "nowhere"))


def damaged(folder, kind):
    path = folder / "points"
    contents = {
        "a line with a word": "1,2\n3,x\n",
        "a line with more numbers": "1,2\n3,4,5\n",
        "a NaN": "1,2\n3,nan\n",
        "more than float32 has": "1,2\n3,1e300\n",
        "four numbers": "1,2,3,4\n",
        "nothing": "",
        "a head alone": "x,y\n",
        "an open quote": '1,"2\n',
    }
    if kind in contents:
        path.write_text(contents[kind])
    elif kind == "bytes":
        path.write_bytes(b"\xff\xfe\x00")
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a pickle":
        np.save(path.open("wb"), np.array([[print]]), allow_pickle=True)
    elif kind == "an image":
        np.save(path.open("wb"), np.zeros((2, 8, 8)))
    elif kind == "a cut npy":
        np.save(path.open("wb"), np.zeros((100, 2)))
        path.write_bytes(path.read_bytes()[:-8])
    return path


KINDS = [
    *("a line with a word", "a line with more numbers", "a NaN", "more than float32 has", "four numbers", "nothing"),
    *("a head alone", "an open quote", "bytes", "a folder", "a pickle", "an image", "a cut npy", "no file"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_anything_else_is_one_sentence_that_names_the_setting(tmp_path, kind):
    with pytest.raises(ConfigError, match=r"^dataset\.path=[^\n]*\.$"):
        load(damaged(tmp_path, kind))
