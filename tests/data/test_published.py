"""Each published dataset, from small files in its own format whose sums are those that are expected."""

import bz2
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import datasets as torchvision_datasets

from gan.config.errors import ConfigError
from gan.data import celeba, datasets, published
from tests.conftest import POINT_SETS, composed, options

COUNT = 6
RNG = np.random.default_rng(0)
GRAY = {split: RNG.integers(0, 256, (COUNT, 28, 28), dtype=np.uint8) for split in ("train", "test")}
COLOR = {split: RNG.integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8) for split in ("train", "test")}
LARGE = {split: RNG.integers(0, 256, (COUNT, 3, 96, 96), dtype=np.uint8) for split in ("train", "test", "unlabeled")}
LABELS = np.array([3, 1, 4, 1, 5, 0])


def idx_bytes(array, kind=8):
    dtype = np.uint8 if kind == 8 else ">i4"
    header = struct.pack(">HBB", 0, kind, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(dtype).tobytes()


def md5(content):
    return hashlib.md5(content).hexdigest()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5(content)


def make_idx(folder, monkeypatch, source):
    sums = []
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for name, array in (("images-idx3", GRAY[split]), ("labels-idx1", LABELS)):
            file = f"{prefix}-{name}-ubyte.gz"
            sums.append((file, write(folder / source.__name__ / "raw" / file, gzip.compress(idx_bytes(array)))))
    monkeypatch.setattr(source, "resources", sums)


def make_qmnist(folder, monkeypatch, source):
    columns = np.stack([LABELS, *(np.full(COUNT, 70_000) for _ in range(7))], axis=1)
    resources = {}
    for split in ("train", "test"):
        contents = {
            f"qmnist-{split}-images-idx3-ubyte.gz": idx_bytes(GRAY[split]),
            f"qmnist-{split}-labels-idx2-int.gz": idx_bytes(columns, kind=12),
        }
        resources[split] = [
            (f"https://127.0.0.1:9/{name}", write(folder / "QMNIST" / "raw" / name, gzip.compress(content)))
            for name, content in contents.items()
        ]
    monkeypatch.setattr(source, "resources", resources)


def make_emnist(folder, monkeypatch, source):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for part in ("letters", "balanced"):
            for split in ("train", "test"):
                prefix = f"gzip/emnist-{part}-{split}"
                turned = GRAY[split].transpose(0, 2, 1)
                archive.writestr(f"{prefix}-images-idx3-ubyte.gz", gzip.compress(idx_bytes(turned)))
                labels = LABELS + (part == "letters")
                archive.writestr(f"{prefix}-labels-idx1-ubyte.gz", gzip.compress(idx_bytes(labels)))
    monkeypatch.setattr(source, "md5", write(folder / "EMNIST" / "raw" / "gzip.zip", content.getvalue()))


def make_usps(folder, monkeypatch, source):
    lists = {}
    for split, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        values = GRAY[split][:, :16, :16].reshape(COUNT, 256) / 255 * 2 - 1
        lines = [
            f"{label + 1} " + " ".join(f"{number}:{value:.6f}" for number, value in enumerate(row, 1))
            for label, row in zip(LABELS, values, strict=True)
        ]
        lists[split] = ["https://127.0.0.1:9/", name, write(folder / name, bz2.compress("\n".join(lines).encode()))]
    monkeypatch.setattr(source, "split_list", lists)


def make_svhn(folder, monkeypatch, source):
    lists = {}
    for split in ("train", "test"):
        content = io.BytesIO()
        labels = np.where(LABELS == 0, 10, LABELS)[:, None].astype(np.uint8)
        savemat(content, {"X": COLOR[split].transpose(2, 3, 1, 0), "y": labels})
        name = f"{split}_32x32.mat"
        lists[split] = ["https://127.0.0.1:9/", name, write(folder / name, content.getvalue())]
    monkeypatch.setattr(source, "split_list", lists)


def make_cifar(folder, monkeypatch, source):
    key = "fine_labels" if source.__name__ == "CIFAR100" else "labels"
    base = folder / source.base_folder
    sums = {}
    for split, name in (("train", "data_batch_1"), ("test", "test_batch")):
        batch = {"data": COLOR[split].reshape(COUNT, -1), key: LABELS.tolist()}
        sums[split] = [[name, write(base / name, pickle.dumps(batch))]]
    names = pickle.dumps({source.meta["key"]: [f"class {number}" for number in range(6)]})
    monkeypatch.setattr(source, "train_list", sums["train"])
    monkeypatch.setattr(source, "test_list", sums["test"])
    monkeypatch.setattr(source, "meta", source.meta | {"md5": write(base / source.meta["filename"], names)})


def make_stl10(folder, monkeypatch, source):
    base = folder / source.base_folder
    sums = {
        name: write(base / name, content)
        for split in ("train", "test", "unlabeled")
        for name, content in (
            (f"{split}_X.bin", LARGE[split].transpose(0, 1, 3, 2).tobytes()),
            (f"{split}_y.bin", (LABELS + 1).astype(np.uint8).tobytes()),
        )
    }
    lists = {split: [[name, sums[name]] for name in sums if name.startswith(split)] for split in LARGE}
    monkeypatch.setattr(source, "train_list", [*lists["train"], lists["unlabeled"][0]])
    monkeypatch.setattr(source, "test_list", lists["test"])


MAKERS = {
    "mnist": make_idx,
    "fashion_mnist": make_idx,
    "kmnist": make_idx,
    "qmnist": make_qmnist,
    "emnist_letters": make_emnist,
    "emnist_balanced": make_emnist,
    "usps": make_usps,
    "svhn": make_svhn,
    "cifar10": make_cifar,
    "cifar100": make_cifar,
    "stl10": make_stl10,
}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Writes the files of a dataset, and returns the folder and what its images should be."""

    def make(name, split="train"):
        maker = MAKERS[name]
        maker(tmp_path, monkeypatch, getattr(torchvision_datasets, published.TABLE[name].source))
        color = LARGE if maker is make_stl10 else COLOR
        images = GRAY[split][:, None] if maker in (make_idx, make_qmnist, make_emnist, make_usps) else color[split]
        return tmp_path, torch.from_numpy(images[:, :, :16, :16] if maker is make_usps else images)

    return make


def load(name, folder, split="train", **settings):
    settings = {"limit": None, "image_size": None} | ({"unlabeled": False} if name == "stl10" else {}) | settings
    return getattr(datasets, name)(folder, folder, split, **settings)


def test_every_published_dataset_is_tested_here():
    assert MAKERS.keys() == published.TABLE.keys()
    others = {"digits", "stacked_mnist", "image_folder", "celeba64", "celeba128"}
    assert {*options("dataset")} == {*MAKERS, *others, *POINT_SETS}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", MAKERS)
def test_images_and_labels_are_those_of_the_files(made, name, split):
    folder, images = made(name, split)
    dataset = load(name, folder, split)
    difference = (dataset.images.int() - images.int()).abs().max()
    assert difference <= (1 if name == "usps" else 0)  # whose values are rounded in the text
    assert dataset.labels.tolist() == LABELS.tolist() and dataset.images.dtype == torch.uint8
    assert dataset.images.is_contiguous()


@pytest.mark.parametrize("name", MAKERS)
def test_every_class_has_a_name(made, name):
    expected = {"emnist_letters": 26, "emnist_balanced": 47, "cifar10": 6, "cifar100": 6}  # CIFAR's are in its files
    dataset = load(name, made(name)[0], limit=2)
    assert len(dataset) == 2 and dataset.shape.class_count == len(dataset.class_names) == expected.get(name, 10)
    assert len({*dataset.class_names}) == len(dataset.class_names)


@pytest.mark.parametrize("name", MAKERS)
def test_a_published_dataset_that_is_missing_is_a_sentence_with_its_files_and_their_folder(tmp_path, monkeypatch, name):
    def fail(file, _path):
        raise OSError("no network")

    monkeypatch.setattr("gan.data.downloads.download", fail)
    with pytest.raises(
        ConfigError, match=r"is missing in .*could not be downloaded \(no network\).* put .* into "
    ) as error:
        load(name, tmp_path)
    assert str(tmp_path) in str(error.value) and "data_dir" in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize("name", MAKERS)
def test_a_damaged_file_of_a_published_dataset_is_named(made, name):
    folder, _ = made(name)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        path.write_bytes(content[:-3])
        try:
            load(name, folder)
        except ConfigError as error:  # files of the other split are not read
            assert str(path) in str(error) and "delete it" in str(error)
        else:
            assert any(word in path.name for word in ("test", "t10k", "usps.t.", "unlabeled")), path
        path.write_bytes(content)


def test_files_are_unpacked_from_an_archive_that_is_there(made, monkeypatch):
    folder, images = made("cifar10")
    source = torchvision_datasets.CIFAR10
    archive, base = folder / source.filename, folder / source.base_folder
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(base, source.base_folder)
    monkeypatch.setattr(source, "tgz_md5", md5(archive.read_bytes()))
    for path in base.iterdir():
        path.unlink()
    assert torch.equal(load("cifar10", folder).images, images)


def test_the_images_of_stl10_without_classes_are_another_training_set(made):
    folder, _ = made("stl10")
    train = load("stl10", folder, unlabeled=True, image_size=48, limit=4)
    assert train.images.shape == (4, 3, 48, 48) and train.labels is None and not train.shape.class_count
    assert torch.equal(load("stl10", folder, unlabeled=True).images, torch.from_numpy(LARGE["unlabeled"]))
    assert load("stl10", folder, "test", unlabeled=True).labels is None


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """CelebA's files with five images of 178x218: a red frame around a square of their own color."""
    content, folder = io.BytesIO(), tmp_path / "celeba"
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(1, 6):
            image = Image.new("RGB", (178, 218), "red")
            image.paste((0, 40 * number, 0), (0, 20, 178, 198))
            file = io.BytesIO()
            image.save(file, "png")  # by content, whatever the name
            archive.writestr(f"img_align_celeba/{number:06}.jpg", file.getvalue())
    partition = "\n".join(f"{number:06}.jpg {part}" for number, part in zip(range(1, 6), (0, 0, 1, 2, 0), strict=True))
    sums = {
        celeba.IMAGES: write(folder / celeba.IMAGES, content.getvalue()),
        celeba.PARTITION: write(folder / celeba.PARTITION, partition.encode()),
    }
    monkeypatch.setattr(torchvision_datasets.CelebA, "file_list", [("", each, name) for name, each in sums.items()])
    return folder


def load_celeba(folder, split="train", **settings):
    settings = {"crop": 178, "limit": None, "image_size": 64} | settings
    return datasets.celeba(folder.parent, folder.parent / "cache", split, **settings)


def test_faces_are_cut_to_a_square_resized_and_split_as_published(faces):
    train = load_celeba(faces).images
    assert train.shape == (3, 3, 64, 64)
    assert train[:, 1].flatten(1).unique(dim=1).flatten().tolist() == [40, 80, 200]
    assert int(train[:, 0].max()) == 0  # nothing of the frame
    assert load_celeba(faces, "test").images[0, :, 5, 5].tolist() == [0, 160, 0]
    assert len(load_celeba(faces, limit=2)) == 2


def test_faces_are_decoded_once(faces):
    first = load_celeba(faces, image_size=16).images.clone()
    (faces / celeba.IMAGES).unlink()
    assert torch.equal(load_celeba(faces, image_size=16).images, first)


def test_celeba_has_to_be_downloaded_by_hand(tmp_path):
    with pytest.raises(ConfigError, match=r"by hand: put img_align_celeba.zip and list_eval_partition.txt from https"):
        load_celeba(tmp_path / "celeba")


def test_a_damaged_file_of_celeba_is_named(faces):
    (faces / celeba.IMAGES).write_bytes((faces / celeba.IMAGES).read_bytes()[:-30])
    with pytest.raises(ConfigError, match=r"img_align_celeba.zip is damaged: its end is missing: delete it"):
        load_celeba(faces)


@pytest.mark.parametrize("size", [64, 128])
def test_celeba_has_an_option_for_each_usual_size(size):
    assert composed(f"dataset=celeba{size}").dataset.image_size == size
