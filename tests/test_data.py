"""Data sets, on files made here: nothing is downloaded."""

import errno
import gzip
import hashlib
import http.server
import io
import json
import socket
import struct
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import assume, given
from hypothesis import strategies as some
from PIL import Image

from gan.config.errors import ConfigError
from gan.data import datasets, downloads, image_folder
from gan.data.datasets import Batches, ImageDataset, scaled
from gan.metrics import features
from gan.system import files
from tests.conftest import REAL_DATA

CPU = torch.device("cpu")


def read_folder(path, cache, **asked):
    wanted = {"test_path": None, "channels": None, "limit": None, "image_size": None} | asked
    return datasets.image_folder(REAL_DATA, cache, "train", path=str(path), **wanted)


# Batches


def numbered(count):
    """Images that are told apart by their first pixel."""
    return ImageDataset(torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous())


def test_a_pass_shows_every_image_once_and_the_next_pass_in_another_order():
    batches = Batches(numbered(12), 4, seed=0, device=CPU)
    passes = [torch.cat([batches[3 * epoch + i].images[:, 0, 0, 0] for i in range(3)]) for epoch in range(2)]
    assert all(sorted(order.tolist()) == list(range(12)) for order in passes)
    assert not torch.equal(*passes)


def test_a_batch_depends_on_seed_and_number_alone():
    batches, fresh = Batches(numbered(50), 4, seed=3, device=CPU), Batches(numbered(50), 4, seed=3, device=CPU)
    for _ in [batches[i] for i in range(20)]:
        pass
    assert torch.equal(batches[17].images, fresh[17].images)
    assert not torch.equal(batches[17].images, Batches(numbered(50), 4, seed=4, device=CPU)[17].images)


def test_the_last_short_batch_is_dropped():
    batches = Batches(numbered(11), 4, seed=0, device=CPU)
    assert batches.per_epoch == 2
    assert all(len(batches[i]) == 4 for i in range(6))


@pytest.mark.parametrize(("pixel_range", "expected"), [((-1.0, 1.0), [-1, 1, 0.2]), ((0.0, 1.0), [0, 1, 0.6])])
def test_images_span_the_generators_range(pixel_range, expected):
    pixels = torch.tensor([0, 255, 153], dtype=torch.uint8)
    assert scaled(pixels, pixel_range).tolist() == pytest.approx(expected, abs=1e-6)


# Drawn digits


def test_digits_are_the_same_each_time_and_kept(tmp_path):
    asked = {"count": 200, "limit": None, "image_size": None}
    first = datasets.digits(REAL_DATA, tmp_path, "train", **asked)
    (kept,) = tmp_path.glob("digits-train-200-*.pt")
    again = datasets.digits(REAL_DATA, tmp_path, "train", **asked)
    kept.write_bytes(b"damaged")
    anew = datasets.digits(REAL_DATA, tmp_path, "train", **asked)
    for other in (again, anew):
        assert torch.equal(first.images, other.images) and torch.equal(first.labels, other.labels)
    assert first.images.shape == (200, 1, 28, 28) and first.images.dtype == torch.uint8
    assert first.labels.bincount().tolist() == [20] * 10


def test_training_and_test_digits_differ(cache):
    train, test = (
        datasets.digits(REAL_DATA, cache, split, count=100, limit=None, image_size=None) for split in ("train", "test")
    )
    assert len(test) == 20
    assert not (train.images[:, None] == test.images[None]).flatten(2).all(dim=2).any()


def test_digits_of_one_class_look_alike(cache):
    """A nearest class mean tells them apart: labels and images belong together."""
    train = datasets.digits(REAL_DATA, cache, "train", count=2000, limit=None, image_size=None)
    test = datasets.digits(REAL_DATA, cache, "test", count=2000, limit=None, image_size=None)
    means = torch.stack([train.images[train.labels == digit].float().mean(0) for digit in range(10)])
    distances = torch.cdist(test.images.float().flatten(1), means.flatten(1))
    assert (distances.argmin(1) == test.labels).float().mean() > 0.6


def test_any_set_can_be_resized_and_cut(cache):
    found = datasets.digits(REAL_DATA, cache, "train", count=100, limit=7, image_size=16)
    assert found.images.shape == (7, 1, 16, 16) and len(found.labels) == 7
    full = datasets.digits(REAL_DATA, cache, "train", count=100, limit=None, image_size=None)
    assert torch.equal(found.labels, full.labels[:7])


# Sets in MNIST's format


def idx_bytes(array):
    kind = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return kind + array.astype(np.uint8).tobytes()


@pytest.fixture
def published(monkeypatch):
    """Ten images, published as Fashion-MNIST would be: compressed files, and their checksums."""
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28))
    contents = {"images-idx3-ubyte": idx_bytes(images), "labels-idx1-ubyte": idx_bytes(np.arange(10))}
    archives = {
        f"{split}-{name}.gz": gzip.compress(content)
        for split in ("train", "t10k")
        for name, content in contents.items()
    }
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in archives.items()]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", sums)
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.5)
    return images, archives


def serve(monkeypatch, answer):
    """A server on this machine that answers GET with answer(name), in place of the published mirror."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = answer(self.path.rpartition("/")[2])
            self.send_response(200 if content is not None else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    return server


def read_fashion(folder):
    return datasets.fashion_mnist(folder, folder, "train", limit=None, image_size=None)


def test_a_set_is_downloaded_once_and_then_read_from_disk(tmp_path, monkeypatch, published):
    images, archives = published
    server = serve(monkeypatch, archives.get)
    found = read_fashion(tmp_path)
    server.shutdown()
    server.server_close()
    assert torch.equal(found.images[:, 0], torch.from_numpy(images).to(torch.uint8))
    assert found.labels.tolist() == list(range(10))
    assert torch.equal(read_fashion(tmp_path).images, found.images)


def at_once(work):
    """Do it in two threads that begin together, and return what came of each."""
    both = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda _: (both.wait(), work())[1], range(2)))


def test_of_two_that_want_a_set_one_downloads_it(tmp_path, monkeypatch, published, caplog):
    asked = []

    def slowly(name):
        asked.append(name)
        time.sleep(0.02)
        return published[1].get(name)

    def wanted(folder):
        return downloads.downloaded(torchvision.datasets.FashionMNIST, folder, "train", folder / "FashionMNIST" / "raw")

    caplog.set_level("INFO")
    server = serve(monkeypatch, slowly)
    wanted(tmp_path / "alone")
    once = asked.copy()
    one, other = at_once(lambda: wanted(tmp_path / "both"))
    server.shutdown()
    server.server_close()
    assert asked == once * 2 and torch.equal(one.data, other.data)
    assert "another process is making" in caplog.text


def test_of_two_that_want_a_network_for_scores_one_trains_it(tmp_path, monkeypatch):
    def slowly(train, device):
        trained.append(train)
        time.sleep(0.1)
        return features.Classifier(train.shape)

    trained = []
    monkeypatch.setattr(features, "train_classifier", slowly)
    images = ImageDataset(torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 2)
    one, other = at_once(lambda: features.dataset_classifier("any", images, images, tmp_path, CPU))
    assert len(trained) == 1 and one.name == other.name


def test_nobody_waits_where_nothing_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    with files.exclusive(tmp_path / "file" / "never"), files.exclusive(tmp_path / "file" / "never"):
        pass


@pytest.mark.parametrize(
    "answer", [lambda _: None, lambda _: b"", lambda _: b"<html>log in</html>"], ids=["404", "empty", "html"]
)
def test_a_server_with_something_else_is_refused_in_a_sentence(tmp_path, monkeypatch, published, answer):
    server = serve(monkeypatch, answer)
    with pytest.raises(ConfigError, match=r"FashionMNIST is not whole in .*raw .*dataset=digits"):
        read_fashion(tmp_path)
    server.shutdown()


def test_a_silent_server_is_given_up(tmp_path, monkeypatch, published):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [address])
        with pytest.raises(ConfigError, match="could not be downloaded"):
            read_fashion(tmp_path)
    assert socket.getdefaulttimeout() is None


def damage(kind, content):
    flipped = bytearray(content)
    flipped[-5] ^= 1
    return {"flipped": bytes(flipped), "cut": content[: len(content) // 2], "empty": b"", "html": b"<html></html>"}[
        kind
    ]


@pytest.mark.parametrize("kind", ["flipped", "cut", "empty", "html"])
def test_a_damaged_file_is_refused_in_a_sentence_that_names_the_folder(tmp_path, monkeypatch, published, kind):
    _, archives = published
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in archives.items():
        (folder / name).write_bytes(content)
        (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    assert len(read_fashion(tmp_path)) == 10
    broken = folder / "train-images-idx3-ubyte"
    broken.write_bytes(damage(kind, broken.read_bytes()))
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(ConfigError) as refusal:
        read_fashion(tmp_path)
    assert str(folder) in str(refusal.value) and "\n" not in str(refusal.value)


@given(some.sampled_from(["images-idx3", "labels-idx1"]), some.data())
def test_a_set_is_refused_when_any_byte_is_changed_or_cut(published, name, case):
    _, archives = published
    with tempfile.TemporaryDirectory() as parent, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
        folder = Path(parent) / "FashionMNIST" / "raw"
        folder.mkdir(parents=True)
        for archive, content in archives.items():
            (folder / archive).write_bytes(content)
            (folder / archive.removesuffix(".gz")).write_bytes(gzip.decompress(content))
        hurt = folder / f"train-{name}-ubyte"
        content = hurt.read_bytes()
        place, flipped = case.draw(some.integers(0, len(content) - 1)), case.draw(some.integers(0, 255))
        length = case.draw(some.just(len(content)) | some.integers(0, len(content)))
        damaged = (content[:place] + bytes([content[place] ^ flipped]) + content[place + 1 :])[:length]
        assume(damaged != content)
        hurt.write_bytes(damaged)
        with pytest.raises(ConfigError) as refusal:
            read_fashion(Path(parent))
        assert "\n" not in str(refusal.value)


def test_cifar_without_a_network_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(ConfigError, match=r"CIFAR-10 is not whole in .*cifar-10-batches-py"):
        datasets.cifar10(tmp_path, tmp_path, "train", limit=None, image_size=None)


def test_cifar_is_read_where_its_checksums_fit(tmp_path, monkeypatch):
    import pickle

    images = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    content = pickle.dumps({"data": images, "labels": [3, 1, 4, 1]})
    names = pickle.dumps({"label_names": list("abcde")})
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, value in [("data_batch_1", content), ("test_batch", content), ("batches.meta", names)]:
        (folder / name).write_bytes(value)
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [["data_batch_1", hashlib.md5(content).hexdigest()]])
    monkeypatch.setattr(kind, "test_list", [["test_batch", hashlib.md5(content).hexdigest()]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": hashlib.md5(names).hexdigest()})
    found = datasets.cifar10(tmp_path, tmp_path, "train", limit=None, image_size=None)
    assert torch.equal(found.images, torch.from_numpy(images).view(4, 3, 32, 32)) and found.labels.tolist() == [
        3,
        1,
        4,
        1,
    ]
    (folder / "data_batch_1").write_bytes(damage("flipped", content))
    monkeypatch.setattr(kind, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(ConfigError, match="CIFAR-10 is not whole"):
        datasets.cifar10(tmp_path, tmp_path, "train", limit=None, image_size=None)


# A folder or a zip of images


def encoded(array, kind="png"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, format=kind)
    return file.getvalue()


def fill(folder, count=6, shape=(16, 16, 3)):
    generator = np.random.default_rng(0)
    arrays = {f"{'ab'[i % 2]}/{i}.png": generator.integers(0, 256, shape, dtype=np.uint8) for i in range(count)}
    for name, array in arrays.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded(array))
    return arrays


def as_set(images):
    return {bytes(image.numpy().tobytes()) for image in images}


def test_a_folder_gives_its_images_and_classes(tmp_path, cache):
    arrays = fill(tmp_path / "images")
    found = read_folder(tmp_path / "images", cache)
    assert as_set(found.images) == {array.transpose(2, 0, 1).tobytes() for array in arrays.values()}
    by_image = {array.transpose(2, 0, 1).tobytes(): "ab".index(name[0]) for name, array in arrays.items()}
    assert [by_image[image.numpy().tobytes()] for image in found.images] == found.labels.tolist()


def test_a_class_keeps_its_number_where_a_limit_leaves_others_out(tmp_path, cache):
    for number in range(30):
        (tmp_path / f"class{number:02}").mkdir()
        (tmp_path / f"class{number:02}" / "x.png").write_bytes(encoded(np.full((16, 16), number, np.uint8)))
    found = read_folder(tmp_path, cache, limit=5)
    assert found.labels.tolist() == found.images[:, 0, 0, 0].tolist() and len(found) == 5
    assert found.shape.classes == 30


def test_only_images_that_can_be_read_make_classes(tmp_path, cache):
    with zipfile.ZipFile(tmp_path / "from_a_mac.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{'ab'[number % 2]}/{number}.png", encoded(np.full((16, 16), number, np.uint8)))
            archive.writestr(f"__MACOSX/{'ab'[number % 2]}/._{number}.png", b"no image")
        archive.writestr("cover.png", b"broken")
    found = read_folder(tmp_path / "from_a_mac.zip", cache)
    assert found.labels.tolist() == (found.images[:, 0, 0, 0] % 2).tolist() and found.shape.classes == 2


def test_a_zip_may_hold_names_from_the_root(tmp_path, cache):
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for name in ("/red/a.png", "blue/b.png", "blue/c.png"):
            archive.writestr(name, encoded(np.zeros((16, 16), np.uint8)))
    found = read_folder(tmp_path / "odd.zip", cache)
    assert sorted(found.labels.tolist()) == [0, 0, 1] and found.names == ("blue", "red")


def test_a_zip_gives_what_its_folder_gives(tmp_path, cache):
    arrays = fill(tmp_path / "images")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name, array in arrays.items():
            archive.writestr(name, encoded(array))
    from_folder, from_zip = (read_folder(tmp_path / name, cache) for name in ("images", "images.zip"))
    assert torch.equal(from_folder.images, from_zip.images) and torch.equal(from_folder.labels, from_zip.labels)


def test_a_flat_folder_has_no_classes(tmp_path, cache):
    (tmp_path / "x.png").write_bytes(encoded(np.zeros((16, 16), np.uint8)))
    found = read_folder(tmp_path, cache)
    assert found.images.shape == (1, 1, 16, 16) and found.labels is None


def test_images_are_decoded_once(tmp_path, cache, monkeypatch):
    fill(tmp_path)
    first = read_folder(tmp_path, cache)
    monkeypatch.setattr(image_folder, "to_array", None)  # decoding again would fail
    assert torch.equal(read_folder(tmp_path, cache).images, first.images)
    monkeypatch.undo()
    (tmp_path / "a" / "0.png").write_bytes(encoded(np.zeros((16, 16, 3), np.uint8)))
    assert not torch.equal(read_folder(tmp_path, cache).images, first.images)


@pytest.mark.parametrize("ending", [".npy", ".json"])
def test_images_are_decoded_again_where_what_was_kept_is_damaged(tmp_path, ending):
    fill(tmp_path / "own")
    first = read_folder(tmp_path / "own", tmp_path / "cache").images.clone()
    (kept,) = (tmp_path / "cache").glob(f"images-*{ending}")
    kept.write_bytes(kept.read_bytes()[: kept.stat().st_size // 2])
    assert torch.equal(read_folder(tmp_path / "own", tmp_path / "cache").images, first)


def test_unreadable_files_are_counted_and_named(tmp_path, cache, caplog):
    fill(tmp_path)
    (tmp_path / "a" / "cut.png").write_bytes(encoded(np.zeros((16, 16, 3), np.uint8))[:40])
    (tmp_path / "a" / "text.jpg").write_text("no image")
    (tmp_path / "a" / "notes.txt").write_text("no image, and does not claim to be one")
    found = read_folder(tmp_path, cache)
    assert len(found) == 6
    assert "2 images" in caplog.text and "cut.png" in caplog.text and "text.jpg" in caplog.text
    assert "notes.txt" not in caplog.text


def test_a_image_that_cannot_be_read_just_now_is_not_left_out_for_good(tmp_path, cache, monkeypatch):
    fill(tmp_path)
    read, busy = image_folder.Source.read, OSError(errno.EMFILE, "too many open files")

    def refused(source, name):
        if busy:
            raise busy
        return read(source, name)

    monkeypatch.setattr(image_folder.Source, "read", refused)
    with pytest.raises(OSError, match="too many open files"):
        read_folder(tmp_path, cache, image_size=16, channels=3)
    busy = None
    assert len(read_folder(tmp_path, cache, image_size=16, channels=3)) == 6


@pytest.mark.parametrize(
    ("mode", "value"),
    [
        ("1", 1),
        ("L", 200),
        ("LA", (200, 255)),
        ("I;16", 200 * 257),
        ("P", 200),
        ("RGB", (200,) * 3),
        ("RGBA", (200, 200, 200, 255)),
        ("CMYK", (55, 55, 55, 0)),
    ],
)
def test_every_kind_of_pixel_is_read(tmp_path, cache, mode, value):
    image = Image.new(mode, (16, 16), value)
    if mode == "P":
        image.putpalette([i // 3 for i in range(768)])
    image.save(tmp_path / ("x.tif" if mode in ("CMYK", "I;16") else "x.png"))
    found = read_folder(tmp_path, cache, channels=3).images
    assert found.shape == (1, 3, 16, 16)
    assert (found.float() - (255 if mode == "1" else 200)).abs().max() <= 1


def test_what_is_transparent_is_white(tmp_path, cache):
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert (read_folder(tmp_path, cache).images == 255).all()


def test_images_of_any_size_are_cut_to_squares(tmp_path, cache):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255  # the middle is white
    (tmp_path / "wide.png").write_bytes(encoded(wide))
    (tmp_path / "tall.png").write_bytes(encoded(wide.transpose(1, 0, 2)))
    with pytest.raises(ConfigError, match=r"set dataset.image_size to a side from 8 to 256"):
        read_folder(tmp_path, cache)
    found = read_folder(tmp_path, cache, image_size=10)
    assert found.images.shape == (2, 3, 10, 10) and (found.images[:, :, 2:8, 2:8] > 250).all()


def test_the_first_n_come_from_all_subfolders(tmp_path, cache):
    fill(tmp_path, count=40)
    found = read_folder(tmp_path, cache, limit=20)
    assert len(found) == 20 and set(found.labels.tolist()) == {0, 1}
    assert torch.equal(found.images, read_folder(tmp_path, cache).images[:20])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "holds no images"),
        (lambda path: path.write_text("text"), "neither a folder nor a zip"),
    ],
    ids=["absent", "empty", "text"],
)
def test_what_is_no_set_of_images_is_refused_in_a_sentence(tmp_path, cache, make, sentence):
    make(tmp_path / "set")
    with pytest.raises(ConfigError, match=sentence):
        read_folder(tmp_path / "set", cache)


def test_a_folder_without_one_readable_image_is_refused(tmp_path, cache):
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="none of the 1 images"):
        read_folder(tmp_path, cache)


def test_the_cache_says_what_it_holds(tmp_path):
    fill(tmp_path / "images")
    read_folder(tmp_path / "images", tmp_path / "cache")
    (about,) = (tmp_path / "cache").glob("*.json")
    assert len(json.loads(about.read_text())["names"]) == 6


def test_what_is_said_of_test_images_names_their_setting(tmp_path, cache):
    fill(tmp_path / "train")
    with pytest.raises(ConfigError, match=r"dataset\.test_path=.*nowhere does not exist"):
        datasets.image_folder(
            tmp_path,
            cache,
            "test",
            path=str(tmp_path / "train"),
            test_path=str(tmp_path / "nowhere"),
            channels=None,
            limit=None,
            image_size=None,
        )
