"""Published datasets, from a server on this machine: nothing is downloaded."""

import errno
import gzip
import hashlib
import http.server
import pickle
import shutil
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as some
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

from gan.config.errors import ConfigError
from gan.data import datasets, downloads
from gan.data import published as published_datasets
from tests.forked import run_in_two_threads

NO_SERVER = "http://127.0.0.1:9/"
RAW = Path("FashionMNIST", "raw")


def idx_bytes(array):
    """An array in MNIST's file format."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def published(monkeypatch):
    """Ten images, and compressed files of them that have the MD5 sums of Fashion-MNIST's. There is no server."""
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28))
    contents = {"images-idx3-ubyte": idx_bytes(images), "labels-idx1-ubyte": idx_bytes(np.arange(10))}
    archives = {
        f"{split}-{name}.gz": gzip.compress(content)
        for split in ("train", "t10k")
        for name, content in contents.items()
    }
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in archives.items()]
    monkeypatch.setattr(FashionMNIST, "resources", sums)
    monkeypatch.setattr(FashionMNIST, "mirrors", [NO_SERVER])
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.5)
    return images, archives


@pytest.fixture
def serve(monkeypatch):
    """Starts a server that answers GET with answer(name), in place of the published mirror."""
    servers = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                content = answer(self.path.rpartition("/")[2])
                self.send_response(200 if content is not None else 404)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setattr(FashionMNIST, "mirrors", [f"http://127.0.0.1:{servers[-1].server_port}/"])

    def stop():
        for server in servers:
            server.shutdown()
            server.server_close()
        monkeypatch.setattr(FashionMNIST, "mirrors", [NO_SERVER])

    start.stop = stop
    yield start
    stop()


def load_fashion_mnist(folder):
    return datasets.fashion_mnist(folder, folder, "train", limit=None, image_size=None)


def write_files(archives, parent):
    """The files as a download leaves them."""
    (parent / RAW).mkdir(parents=True)
    for name, content in archives.items():
        (parent / RAW / name).write_bytes(content)
        (parent / RAW / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))


def test_a_dataset_is_downloaded_once_and_then_read_from_disk(tmp_path, published, serve):
    images, archives = published
    serve(archives.get)
    dataset = load_fashion_mnist(tmp_path)
    serve.stop()
    assert torch.equal(dataset.images[:, 0], torch.from_numpy(images).to(torch.uint8))
    assert dataset.labels.tolist() == list(range(10))
    assert torch.equal(load_fashion_mnist(tmp_path).images, dataset.images)


def test_of_two_processes_that_need_a_dataset_one_downloads_it(tmp_path, published, serve, caplog):
    requests = []

    def answer_slowly(name):
        requests.append(name)
        time.sleep(0.02)
        return published[1].get(name)

    def load(parent):
        return load_fashion_mnist(parent).images

    caplog.set_level("INFO")
    serve(answer_slowly)
    load(tmp_path / "alone")
    of_one_download = requests.copy()
    first, second = run_in_two_threads(lambda: load(tmp_path / "both"))
    assert requests == of_one_download * 2 and torch.equal(first, second)
    assert "waiting for another process" in caplog.text


@pytest.mark.parametrize(
    "answer", [lambda _: None, lambda _: b"", lambda _: b"<html>log in</html>"], ids=["404", "empty", "html"]
)
def test_a_wrong_answer_of_the_server_is_a_config_error_that_names_the_folder(tmp_path, published, serve, answer):
    serve(answer)
    with pytest.raises(ConfigError, match=r"FashionMNIST.*raw.*data_dir.*dataset=digits"):
        load_fashion_mnist(tmp_path)


def test_a_server_that_does_not_answer_times_out(tmp_path, monkeypatch, published):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(FashionMNIST, "mirrors", [address])
        with pytest.raises(ConfigError, match="could not be downloaded"):
            load_fashion_mnist(tmp_path)
    assert socket.getdefaulttimeout() is None


def damage(kind, content):
    flipped = bytearray(content)
    flipped[-5] ^= 1
    damaged = {"flipped": bytes(flipped), "cut": content[: len(content) // 2], "empty": b"", "html": b"<html></html>"}
    return damaged[kind]


def refusal(load):
    """The sentence with which `load` is refused."""
    with pytest.raises(ConfigError) as error:
        load()
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    return str(error.value)


@pytest.mark.parametrize("kind", ["flipped", "cut", "empty", "html"])
def test_a_damaged_file_is_named_to_be_deleted_and_the_network_is_not_blamed(tmp_path, published, serve, kind):
    serve(published[1].get)
    write_files(published[1], tmp_path)
    assert len(load_fashion_mnist(tmp_path)) == 10
    file = tmp_path / RAW / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(kind, file.read_bytes()))
    said = refusal(lambda: load_fashion_mnist(tmp_path))
    assert str(file) in said and "delete" in said and "download" not in said.replace("to download", "")
    assert ("its end is missing" in said) == (kind in ("cut", "empty"))


def test_beside_the_published_file_an_unpacked_one_does_not_matter(tmp_path, published):
    write_files(published[1], tmp_path)
    whole = load_fashion_mnist(tmp_path).images
    (tmp_path / RAW / "train-images-idx3-ubyte").write_bytes(b"something else")
    assert torch.equal(load_fashion_mnist(tmp_path).images, whole)


@given(some.sampled_from(["images-idx3", "labels-idx1"]), some.data())
def test_a_dataset_with_any_byte_changed_or_cut_is_a_config_error(published, name, data):
    with tempfile.TemporaryDirectory() as parent:
        write_files(published[1], Path(parent))
        file = Path(parent) / RAW / f"train-{name}-ubyte.gz"
        content = file.read_bytes()
        position, bits = data.draw(some.integers(0, len(content) - 1)), data.draw(some.integers(0, 255))
        length = data.draw(some.just(len(content)) | some.integers(0, len(content)))
        damaged = (content[:position] + bytes([content[position] ^ bits]) + content[position + 1 :])[:length]
        assume(damaged != content)
        file.write_bytes(damaged)
        refusal(lambda: load_fashion_mnist(Path(parent)))


@pytest.fixture
def unpacked_mnist(monkeypatch, tmp_path):
    """MNIST's four files, unpacked and with the sums that are expected of them, in a folder."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("t10k", 12)):
        images, labels = rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)
        for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            path = tmp_path / "MNIST" / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(idx_bytes(array))
            monkeypatch.setitem(downloads.MNIST_MD5, name, hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(MNIST, "mirrors", [NO_SERVER])
    return tmp_path / "MNIST" / "raw"


def load_mnist(folder):
    return datasets.mnist(folder, folder, "train", limit=None, image_size=None)


def test_unpacked_files_of_mnist_are_read_without_the_packed_ones(tmp_path, unpacked_mnist):
    assert len(load_mnist(tmp_path)) == 12


def test_a_file_of_mnist_that_is_cut_is_named_as_such_and_not_downloaded(tmp_path, unpacked_mnist):
    file = unpacked_mnist / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1000])
    said = refusal(lambda: load_mnist(tmp_path))
    assert f"{file} is damaged: its end is missing" in said and "delete it" in said


def test_the_files_of_mnist_in_the_folder_of_another_dataset_are_refused(tmp_path, unpacked_mnist, monkeypatch):
    monkeypatch.setattr(FashionMNIST, "mirrors", [NO_SERVER])
    (tmp_path / RAW).parent.mkdir()
    shutil.copytree(unpacked_mnist, tmp_path / RAW)
    said = refusal(lambda: load_fashion_mnist(tmp_path))
    assert "train-images-idx3-ubyte is MNIST's train-images-idx3-ubyte" in said and str(tmp_path / RAW) in said


def test_test_labels_under_the_name_of_the_training_labels_are_refused(tmp_path, unpacked_mnist):
    shutil.copy(unpacked_mnist / "t10k-labels-idx1-ubyte", unpacked_mnist / "train-labels-idx1-ubyte")
    said = refusal(lambda: load_mnist(tmp_path))
    assert "train-labels-idx1-ubyte is MNIST's t10k-labels-idx1-ubyte" in said


def test_missing_files_are_all_named_with_their_folder(tmp_path, published):
    said = refusal(lambda: load_fashion_mnist(tmp_path))
    names = "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
    assert f"put {names} into {tmp_path / RAW}" in said and "could not be downloaded" in said


def test_a_download_that_is_cut_leaves_no_file(tmp_path, published, serve):
    serve(lambda name: published[1][name][:-20])
    assert "could not be downloaded" in refusal(lambda: load_fashion_mnist(tmp_path))
    assert not [path for path in (tmp_path / RAW).iterdir() if not path.name.endswith(".lock")]
    serve.stop()
    serve(published[1].get)
    assert len(load_fashion_mnist(tmp_path)) == 10


def test_cifar10_is_read_only_where_its_checksums_match(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    content = pickle.dumps({"data": images, "labels": [3, 1, 4, 1]})
    names = pickle.dumps({"label_names": list("abcde")})
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, value in [("data_batch_1", content), ("test_batch", content), ("batches.meta", names)]:
        (folder / name).write_bytes(value)
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", hashlib.md5(content).hexdigest()]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", hashlib.md5(content).hexdigest()]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": hashlib.md5(names).hexdigest()})
    dataset = datasets.cifar10(tmp_path, tmp_path, "train", limit=None, image_size=None)
    assert torch.equal(dataset.images, torch.from_numpy(images).view(4, 3, 32, 32))
    assert dataset.labels.tolist() == [3, 1, 4, 1]

    (folder / "data_batch_1").write_bytes(damage("flipped", content))
    with pytest.raises(ConfigError, match=r"data_batch_1 is damaged.*delete it"):
        datasets.cifar10(tmp_path, tmp_path, "train", limit=None, image_size=None)


def test_cifar10_without_a_network_is_a_config_error_that_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", f"{NO_SERVER}cifar-10-python.tar.gz")
    with pytest.raises(ConfigError, match=r"CIFAR-10.*cifar-10-batches-py.*data_dir"):
        datasets.cifar10(tmp_path, tmp_path, "train", limit=None, image_size=None)


def test_a_file_that_cannot_be_read_is_an_error_that_does_not_blame_the_network(tmp_path, published, monkeypatch):
    def fail(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    write_files(published[1], tmp_path)
    monkeypatch.setattr(downloads, "md5_of", fail)
    with pytest.raises(PermissionError):
        load_fashion_mnist(tmp_path)


def test_a_full_disk_is_an_error_that_does_not_blame_the_network(tmp_path, published, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "download", fail)
    with pytest.raises(OSError) as caught:
        load_fashion_mnist(tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_too_little_memory_for_a_dataset_is_no_missing_file(tmp_path, published, monkeypatch):
    def fail(_content):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    write_files(published[1], tmp_path)
    monkeypatch.setattr(published_datasets, "parse_idx", fail)
    with pytest.raises(OSError) as caught:
        load_fashion_mnist(tmp_path)
    assert caught.value.errno == errno.ENOMEM
