"""CelebA: photographs of faces, decoded once into a file of the cache."""

import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan.data.decode_all import in_threads
from gan.data.downloads import PublishedFile, find_files
from gan.system import files, locks
from gan.system.cache import remove_stale
from gan.system.images import open_image

log = logging.getLogger(__name__)
VERSION = 1  # of `decode_face`: a greater one decodes again
PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
IMAGES, FOLDER, PARTITION = "img_align_celeba.zip", "img_align_celeba", "list_eval_partition.txt"
PARTS = {"train": "0", "test": "2"}  # in the file of the partition; 1 is for validation


def load_celeba(data_dir: Path, cache_dir: Path, split: str, size: int, crop: int, limit: int | None) -> Tensor:
    """The aligned images of a split, train or test, as uint8 (N, 3, size, size), memory-mapped.

    Raises ConfigError for a file that is missing or not as published. Where the decoded images are in the cache,
    the files are not needed.

    Args:
        crop: side in pixels of the square that is cut from the center of an image, which has 178x218.
    """
    first = f"first{limit}-" if limit else ""
    cache = cache_dir / f"celeba-{VERSION}-{split}-{first}crop{crop}-{size}.npy"
    with locks.exclusive(cache):
        try:
            return torch.from_numpy(np.load(cache, mmap_mode="c"))
        except FileNotFoundError:
            pass
        except (ValueError, EOFError) as error:
            log.warning("%s is damaged (%s): the images are decoded again", cache, error)
        decode_faces(data_dir, cache, split, size, crop, limit)
        return torch.from_numpy(np.load(cache, mmap_mode="c"))


def decode_faces(data_dir: Path, cache: Path, split: str, size: int, crop: int, limit: int | None) -> None:
    """Write the images of a split into `cache`, a NumPy file."""
    from torchvision.datasets import CelebA

    sums = {name: md5 for _, md5, name in CelebA.file_list}
    wanted = [PublishedFile(f"{CelebA.base_folder}/{name}", sums[name]) for name in (IMAGES, PARTITION)]
    images, partition = find_files("CelebA", wanted, data_dir, PAGE)
    rows = [line.split() for line in partition.read_text("ascii").splitlines()]
    names = [name for name, part in rows if part == PARTS[split]][:limit]
    remove_stale(cache.parent, "celeba-*", f"celeba-{VERSION}-*")
    log.info("decoding %s images, once for all runs", f"{len(names):,}")
    with files.atomic_write(cache) as file, zipfile.ZipFile(images) as archive:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(names), 3, size, size)}
        np.lib.format.write_array_header_1_0(file, header)
        for face in in_threads(lambda name: decode_face(archive.read(f"{FOLDER}/{name}"), size, crop), names):
            file.write(face.tobytes())


def decode_face(content: bytes, size: int, crop: int) -> np.ndarray:
    """The square in the center of an image, resized by Pillow's bilinear filter. Returns uint8 (3, size, size)."""
    with open_image(io.BytesIO(content)) as opened:
        image = opened.convert("RGB")
    left, top = (image.width - crop) // 2, (image.height - crop) // 2
    square = image.crop((left, top, left + crop, top + crop))
    resized = square.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized).transpose(2, 0, 1)
