"""Image files, folders and archives of them, for tests."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from gan.data import datasets


def load(path, cache_dir, split="train", **settings):
    defaults = {"test_path": None, "channels": None, "limit": None, "image_size": None}
    return datasets.image_folder(cache_dir, cache_dir, split, path=str(path), **defaults | settings)


def encode(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def png(array):
    return encode(Image.fromarray(array))


def gray_png(value):
    return png(np.full((16, 16), value, np.uint8))


def write_folder(folder, contents):
    for name, content in contents.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path, contents):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def write_tar(path, contents):
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


FORMS = ["folder", "x.zip", "x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"]


def write(path, contents):
    """Files with `contents` as a folder or an archive, by the ending of `path`."""
    if not path.suffix:
        return write_folder(path, contents)
    return (write_zip if path.suffix == ".zip" else write_tar)(path, contents)


def two_classes(count=12):
    """Gray images of the classes cat and dog, by their paths; the brightness of each is its number."""
    return {f"{('cat', 'dog')[number % 2]}/{number}.png": gray_png(number) for number in range(count)}


def brightness(dataset):
    """The first pixel of each image."""
    return dataset.images[:, 0, 0, 0].tolist()
