"""Arrays as data sets."""

import io
import itertools
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from gan.config.errors import ConfigError
from tests.damage import damaged, damages
from tests.data.image_files import brightness, load

GRAY = np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((16, 16), np.uint8)
COLOR = GRAY[..., None] * np.array([1, 2, 3], np.uint8)


def save(path, array, **more):
    """`array` as an npy or npz, by the ending of `path`."""
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        np.savez(path, images=array, **more)
    return path


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("array", [GRAY, GRAY[..., None], COLOR, np.asfortranarray(COLOR)], ids=str)
def test_an_array_is_a_data_set(tmp_path, name, array):
    dataset = load(save(tmp_path / name, array), tmp_path / "cache")
    expected = torch.from_numpy(np.ascontiguousarray(array)).reshape(20, 16, 16, -1).permute(0, 3, 1, 2)
    order = torch.tensor(brightness(dataset))
    assert sorted(order.tolist()) == list(range(20)) and torch.equal(dataset.images, expected[order])
    assert dataset.labels is None and dataset.skipped == {}


@pytest.mark.parametrize(
    ("array", "values", "white"),
    [
        (GRAY.astype(np.uint16) * 200, GRAY[:, 0, 0] * 200.0, 4095),
        (GRAY.astype(np.int64), GRAY[:, 0, 0] * 1.0, 255),
        (GRAY / 19, GRAY[:, 0, 0] / 19, 1),
        ((GRAY / 19).astype(np.float16), (GRAY[:, 0, 0] / 19).astype(np.float16), 1),
        (GRAY.astype(np.float32) * 10, GRAY[:, 0, 0] * 10.0, 255),
        (GRAY.astype(np.int64) * 2**33, GRAY[:, 0, 0] * 2.0**33, 19 * 2**33),
    ],
)
def test_the_values_of_an_array_have_one_scale(tmp_path, array, values, white):
    dataset = load(save(tmp_path / "x.npy", array), tmp_path)
    assert sorted(brightness(dataset)) == pytest.approx((values / white * 255).tolist(), abs=0.51)


def test_values_from_minus_1_to_1_keep_their_range(tmp_path):
    dataset = load(save(tmp_path / "x.npy", GRAY / 9.5 - 1), tmp_path)
    assert sorted(brightness(dataset)) == pytest.approx((np.arange(20) / 19 * 255).tolist(), abs=0.51)


def test_booleans_are_black_and_white(tmp_path):
    assert sorted(brightness(load(save(tmp_path / "x.npy", GRAY > 17), tmp_path))) == [0] * 18 + [255] * 2


@pytest.mark.parametrize(
    ("labels", "more", "names"),
    [
        (np.arange(20) % 2, {}, ("0", "1")),
        ((np.arange(20) % 3)[:, None] + 8, {}, ("8", "9", "10")),
        (np.array(["dog", "cat"] * 10), {}, ("cat", "dog")),
        (np.array([b"dog", b"cat"] * 10), {}, ("cat", "dog")),
        (np.arange(20) % 2, {"class_names": np.array(["z", "a", "unused"])}, ("z", "a", "unused")),
        (np.arange(20) % 2 == 1, {}, ("False", "True")),
    ],
)
def test_an_npz_has_labels_and_class_names(tmp_path, labels, more, names):
    dataset = load(save(tmp_path / "x.npz", GRAY, labels=labels, **more), tmp_path)
    assert dataset.class_names == names and dataset.shape.class_count == len(names)
    classes = [str(label.decode() if isinstance(label, bytes) else label) for label in labels.flat]
    if more:
        classes = [names[int(label)] for label in labels]
    assert [names[label] for label in dataset.labels] == [classes[value] for value in brightness(dataset)]


def test_an_npz_with_a_single_array_of_any_name_is_read(tmp_path):
    np.savez(tmp_path / "x.npz", GRAY)
    assert len(load(tmp_path / "x.npz", tmp_path)) == 20


def test_arrays_are_resized_cropped_and_limited_as_files_are(tmp_path):
    wide = np.concatenate([np.zeros_like(GRAY), GRAY, np.zeros_like(GRAY)], axis=2)
    dataset = load(save(tmp_path / "x.npy", wide), tmp_path, image_size=8, limit=7)
    centers = dataset.images[:, :, 2:6, 2:6]  # at the edges the filter sees what was cropped
    assert dataset.images.shape == (7, 1, 8, 8) and (centers == centers[:, :, :1, :1]).all()
    assert set(centers[:, 0, 0, 0].tolist()) < set(range(20)) and len(centers[:, 0, 0, 0].unique()) == 7


class Pickled:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def npy(array, cut=None):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()[:cut]


def npz(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


PICKLE = npy(np.array([Pickled()], object))
HUGE = np.lib.format.magic(1, 0) + (118).to_bytes(2, "little")
HUGE += b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 9999, 9999), }".ljust(117) + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        PICKLE,
        HUGE,
        npy(GRAY, 300),
        npy(GRAY, 20),
        npy(GRAY[0]),
        npy(GRAY[:0]),
        npy(GRAY[:, None]),
        npy(GRAY.astype(complex)),
        npy(np.array(["a"] * 20)),
        npz(images=PICKLE),
        npz(images=npy(GRAY), labels=PICKLE),
        npz(images=npy(GRAY), labels=npy(np.arange(19))),
        npz(images=npy(GRAY), labels=npy(np.arange(20) / 2)),
        npz(images=npy(GRAY), labels=npy(np.eye(20))),
        npz(images=npy(GRAY), labels=npy(np.arange(20)), class_names=npy(np.array(["a", "b"]))),
        npz(images=npy(GRAY), labels=npy(np.arange(20) - 1), class_names=npy(np.array(list("abcdefghijklmnopqrstu")))),
        npz(images=npy(GRAY, 300)),
        npz(images=b""),
        npz(x_train=npy(GRAY), y_train=npy(np.arange(20))),
    ],
    ids=itertools.count(),  # not the content, in which a zip has the time
)
def test_an_array_that_is_none_of_images_is_one_sentence(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "x", tmp_path / "cache")
    assert str(tmp_path / "x") in str(error.value) and "\n" not in str(error.value)


INTACT = {"npy": npy(GRAY), "float": npy(COLOR * 1.0)}
INTACT["npz"] = npz(
    images=npy(GRAY), labels=npy(np.arange(20)), class_names=npy(np.array(list("abcdefghijklmnopqrst")))
)


@given(some.sampled_from(sorted(INTACT)), some.data())
def test_damaged_arrays_are_read_or_get_one_sentence(kind, data):
    content = INTACT[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(damaged(content, data.draw(damages(len(content)))))
        try:
            load(path, Path(folder, "cache"), image_size=16)
        except ConfigError as error:
            assert "\n" not in str(error) and str(error).endswith(".")


def test_an_encrypted_array_is_one_sentence(tmp_path):
    content = bytearray(INTACT["npz"])
    for magic, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(magic) + place] |= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.npz.*encrypted"):
        load(tmp_path / "x.npz", tmp_path)


def test_images_that_are_not_finite_are_left_out(tmp_path):
    array = GRAY.astype(np.float32)
    array[3, 5, 5], array[4, 6, 6] = np.nan, np.inf
    dataset = load(save(tmp_path / "x.npy", array), tmp_path)
    assert len(dataset) == 18 and dataset.skipped == {"unreadable": 2}


@pytest.mark.parametrize("shape", [(-1, 16, 16), (-1, -16, 16), (2**62, 4, 4), (10**12, 16, 16), (1, 16, True), ()])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_with_an_impossible_shape_is_a_sentence_and_no_warning(tmp_path, recwarn, shape, packed):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
    path = tmp_path / "x"
    path.write_bytes(content.getvalue() + bytes(1000))
    if packed:
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.write(path, "images.npy")
        path = tmp_path / "x.npz"
    with pytest.raises(ConfigError, match=r"dataset\.path=.*"):
        load(path, tmp_path / "cache")
    assert not recwarn.list


def test_a_label_outside_a_list_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="labels has the shape"):
        load(save(tmp_path / "x.npz", GRAY[:1], labels=np.int64(3)), tmp_path / "cache")


def test_large_and_small_whole_numbers_have_one_scale(tmp_path):
    array = GRAY.astype(np.int64) * 1000
    array[19] = 2**33
    dataset = load(save(tmp_path / "x.npy", array), tmp_path / "cache")
    assert sorted(brightness(dataset)) == [0] * 19 + [255]


@pytest.mark.parametrize(("kind", "white"), [(np.float32, 1), (np.int32, 255), (np.uint16, 65535)])
def test_what_is_opaque_stays_opaque_whatever_a_filter_does(tmp_path, kind, white):
    array = np.zeros((2, 64, 64, 4), kind)
    array[:, 16:48, 16:48] = white  # a white square on nothing; at its edges LANCZOS exceeds the values
    images = load(save(tmp_path / "x.npy", array), tmp_path / "cache", image_size=32, background="black").images
    assert (images[:, :, 12:20, 12:20] >= 250).all() and (images[:, :, :4, :4] <= 5).all()
