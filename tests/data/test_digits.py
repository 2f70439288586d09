"""The drawn digits and their cache."""

import os
import zipfile

import pytest
import torch

from gan.data import datasets, digits


def load(cache_dir, split="train", count=200):
    return datasets.digits(cache_dir, cache_dir, split, count=count, limit=None, image_size=None)


def test_digits_are_drawn_the_same_each_time_and_cached(tmp_path, monkeypatch):
    drawn = load(tmp_path)
    (cached,) = tmp_path.glob("digits-train-200-*.pt")
    with monkeypatch.context() as patch:
        patch.setattr(digits, "draw_digits", None)  # drawing again would fail
        from_cache = load(tmp_path)
    cached.write_bytes(b"damaged")
    drawn_again = load(tmp_path)
    for other in (from_cache, drawn_again):
        assert torch.equal(drawn.images, other.images) and torch.equal(drawn.labels, other.labels)
    assert drawn.images.shape == (200, 1, 28, 28) and drawn.images.dtype == torch.uint8
    assert drawn.labels.bincount().tolist() == [20] * 10


def test_digits_need_no_cache(tmp_path):
    (tmp_path / "file").touch()
    assert len(load(tmp_path / "file" / "cache", count=20)) == 20


def test_training_and_test_digits_differ(cache):
    train, test = (load(cache, split, count=100) for split in ("train", "test"))
    assert len(test) == 20
    assert not (train.images[:, None] == test.images[None]).flatten(2).all(dim=2).any()


def test_digits_of_one_class_look_alike(cache):
    """The nearest class mean classifies them, so labels and images belong together."""
    train, test = (load(cache, split, count=2000) for split in ("train", "test"))
    means = torch.stack([train.images[train.labels == digit].float().mean(0) for digit in range(10)])
    distances = torch.cdist(test.images.float().flatten(1), means.flatten(1))
    assert (distances.argmin(1) == test.labels).float().mean() > 0.6


@pytest.mark.parametrize(
    "content",
    [
        5,
        {"images": 1},
        (torch.zeros(200, 1, 28, 28), torch.zeros(200, dtype=torch.int64)),
        (torch.zeros(20, 1, 28, 28, dtype=torch.uint8), torch.zeros(20, dtype=torch.int64)),
        (torch.zeros(200, 1, 28, 28, dtype=torch.uint8), torch.full((200,), 10)),
        (torch.zeros(200, 1, 28, 28, dtype=torch.uint8), torch.zeros(200)),
    ],
)
def test_a_cache_of_another_form_is_drawn_again(tmp_path, caplog, content):
    drawn = load(tmp_path)
    (cached,) = tmp_path.glob("digits-train-200-*.pt")
    torch.save(content, cached)
    again = load(tmp_path)
    assert torch.equal(drawn.images, again.images) and torch.equal(drawn.labels, again.labels)
    assert cached.name in caplog.text
    caplog.clear()
    load(tmp_path)
    assert not caplog.text


def test_a_cache_that_cannot_be_read_is_left_as_it_is(tmp_path, caplog, monkeypatch):
    drawn = load(tmp_path)
    (cached,) = tmp_path.glob("digits-train-200-*.pt")
    content = cached.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "testzip", lambda _: os.read(-1, 1))
        assert torch.equal(load(tmp_path).images, drawn.images)
    assert cached.read_bytes() == content and cached.name in caplog.text


def test_drawing_takes_seconds_and_is_announced_once(tmp_path, caplog):
    with caplog.at_level("INFO"):
        for _ in range(2):
            digits.load_digits(20, "train", tmp_path)
    assert [message for message in caplog.messages if "20 digits" in message] == [
        "drawing 20 digits, once for all runs"
    ]


def test_digits_of_other_versions_leave_the_cache(tmp_path):
    older = tmp_path / "digits-train-100-00000000.pt"
    older.write_bytes(b"older")
    digits.load_digits(30, "train", tmp_path)
    assert len([*tmp_path.glob("digits-*")]) == 1 and not older.exists()
