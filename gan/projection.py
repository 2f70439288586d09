"""The noise whose image is nearest to a given one, and the path between two: what `sample.py like=IMAGE` writes."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from gan import interpolation, sample_files, sampling
from gan.cli.paths import expand_home
from gan.config.errors import ConfigError, first_line, printable
from gan.config.schema import Sampling
from gan.data.decoding import Fit, decode_image
from gan.data.image_shape import require_images
from gan.generator_file import UNKNOWN
from gan.metrics.features import find_classifier
from gan.models.base import Discriminator
from gan.system import files, randomness
from gan.system.images import damage
from gan.training.build import TrainedRun, dataset_name
from gan.tricks.minibatch import Pack

CANDIDATES, STARTS = 512, 16  # noise vectors that are drawn, and those of the nearest images, where the search starts
STEPS, LEARNING_RATE = 300, 0.1  # of Adam; the rate falls to 0 as a cosine
MAX_BYTES = 2**28  # of an image file
DECODING = ("resize", "crop", "background", "max_value")  # settings of dataset=image_folder
Features = Callable[[Tensor], Tensor]  # of images float32 (B, C, H, W) from 0 to 255: (B, d)


@dataclass(frozen=True)
class Projection:
    """Noise whose images are near to given ones: `generator(noise, labels)` generates `images`.

    Args:
        targets: what was searched for, uint8 (n, C, H, W) on the CPU, as are `images`.
        noise: (n, noise_dim).
        labels: classes int64 (n,), or clusters after trick=clusters; None without.
        distances: of each image to its target: 0 for equal images, and on average 1 for two generated ones.
        features: whose features they were compared by.
    """

    targets: Tensor
    images: Tensor
    noise: Tensor
    labels: Tensor | None
    distances: list[float]
    features: str


def read_targets(names: Sequence[str | Path], run: TrainedRun) -> Tensor:
    """Images uint8 (n, C, H, W) in the size and with the channels of the run, as its dataset has them.

    Raises ConfigError for what is no image.
    """
    settings = {name: run.cfg.dataset[name] for name in DECODING if run.cfg.dataset.get(name) is not None}
    image = require_images(run.image, "like")
    fit = Fit(image.size, image.channels, **settings)
    return torch.stack([read_target(str(name), fit) for name in names])


def read_target(text: str, fit: Fit) -> Tensor:
    """One image uint8 (C, H, W)."""
    path = expand_home(text)
    try:
        with damage():
            decoded = decode_image(files.read_bytes(path, MAX_BYTES), fit, path.name)
    except (OSError, ValueError) as error:
        problem = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({first_line(error)})"
        raise ConfigError(f"like={printable(text)}: {problem}; must be an image file, such as PNG or JPEG.") from error
    return torch.from_numpy(np.array(decoded.pixels))


def choose_features(run: TrainedRun, device: torch.device) -> tuple[str, Features]:
    """The features that images are compared by, and whose they are: the dataset's classifier's, or else D's."""
    name, discriminator, image = dataset_name(run.cfg), run.discriminator, require_images(run.image, "like")
    cache_dir = expand_home(run.cfg.cache_dir)
    # on mps, the classifier's pooling from 7 to 4 pixels is not implemented
    if device.type != "mps" and (classifier := find_classifier(name, image, cache_dir, device)):
        return f"the classifier {classifier.name}", lambda images: classifier(images)[0]
    if discriminator is None:
        advice = "type the folder of the run that it was exported from, which has D"
        if image.class_count > 1 and run.cfg.dataset.get("path") != UNKNOWN:
            advice = f"python -m gan.evaluate trains one and keeps it in {cache_dir}"
        raise ConfigError(
            "like: needs features to compare images by, and this generator comes without D and without a classifier of "
            f"dataset={name}; {advice}."
        )
    assert run.generator.pixel_range is not None
    return "D", functools.partial(discriminator_features, discriminator, run.generator.pixel_range)


def discriminator_features(discriminator: Discriminator, pixel_range: tuple[float, float], images: Tensor) -> Tensor:
    """D's features (B, d) of images from 0 to 255; where D takes several at once, each is beside itself."""
    low, high = pixel_range
    for layer in discriminator.features.modules():
        if isinstance(layer, Pack):
            images = images.repeat_interleave(layer.images, dim=0)
    return discriminator.features(images * ((high - low) / 255) + low).flatten(1).float()


class Search:
    """The search for noise whose images are near to a target.

    Args:
        class_: index of the class of all images; None: any class, and any cluster.
    """

    def __init__(self, run: TrainedRun, class_: int | None, seed: int, device: torch.device) -> None:
        self.run, self.seed, self.device = run, seed, device
        generator = run.generator
        self.about, self.features = choose_features(run, device)
        self.noise = sampling.draw_noise(run.noise, CANDIDATES, seed, "project").to(device)
        self.labels = sampling.cycle_labels(generator.class_count, CANDIDATES, device)
        if class_ is not None:
            self.labels = torch.full((CANDIDATES,), class_, device=device)
        if generator.clusters is not None:  # within a cluster, images change with the noise without a jump
            self.noise, self.labels = generator.clusters(self.noise)
        with torch.no_grad():
            parts = [self.embed(self.generate(*part)) for part in self.batches()]
        self.candidates = [torch.cat(each) for each in zip(*parts, strict=True)]
        self.scales = [2 * each.var(0).mean().clamp(min=1e-12) for each in self.candidates]

    def batches(self) -> list[tuple[Tensor, Tensor | None]]:
        """The candidates' noise and labels, in parts as large as the batches of the search."""
        labels = [None] * (CANDIDATES // STARTS) if self.labels is None else self.labels.split(STARTS)
        return list(zip(self.noise.split(STARTS), labels, strict=True))

    def generate(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Images (B, C, H, W) from 0 to 255."""
        randomness.reseed(self.device, self.seed, "drawing")  # a generator may have noise or dropout of its own
        assert self.run.generator.pixel_range is not None
        low, high = self.run.generator.pixel_range
        return (self.run.generator(noise, labels).float() - low) * (255 / (high - low))

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels and features, each (B, d)."""
        return images.flatten(1), self.features(images)

    def distance(self, images: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Distances (B,) of embedded images to an embedded target: the mean of those of pixels and of features."""
        pairs = zip(images, target, self.scales, strict=True)
        return torch.stack([(one - other).square().mean(1) / scale for one, other, scale in pairs]).mean(0)

    def project(self, target: Tensor) -> tuple[Tensor, Tensor | None, float]:
        """Noise (1, noise_dim), label (1,) and distance of the nearest image that was found to `target` (C, H, W)."""
        with torch.no_grad():
            goal = self.embed(target[None].to(self.device).float())
            nearest = self.distance(self.candidates, goal).topk(STARTS, largest=False).indices
        labels = None if self.labels is None else self.labels[nearest]
        noise = self.noise[nearest].clone().requires_grad_()
        optimizer = torch.optim.Adam([noise], lr=LEARNING_RATE, betas=(0.9, 0.99))
        best, best_noise = torch.full((STARTS,), math.inf, device=self.device), noise.detach().clone()
        for step in tqdm(range(STEPS + 1), unit="step", disable=None, leave=False, dynamic_ncols=True):
            distances = self.distance(self.embed(self.generate(noise, labels)), goal)
            is_better = distances.detach() < best
            best = torch.where(is_better, distances.detach(), best)
            best_noise = torch.where(is_better[:, None], noise.detach(), best_noise)
            (noise.grad,) = torch.autograd.grad(distances.sum(), noise)
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / STEPS)) / 2
            optimizer.step()
            with torch.no_grad():
                noise.copy_(self.run.noise.nearest(noise))
        first = int(best.argmin())
        return best_noise[first, None], None if labels is None else labels[first, None], best[first].item()


def project(run: TrainedRun, targets: Tensor, class_: int | str | None, seed: int, device: torch.device) -> Projection:
    """The noise whose images are nearest to `targets` uint8 (n, C, H, W), each on its own.

    Adam on the noise, from several starts (Zhu et al. 2016, section 3.1). The noise stays where the
    generator has seen it in training.

    Args:
        class_: the class, by name or number, of a conditional run; None: all classes are tried.

    Raises ConfigError for a class that there is not.
    """
    chosen = sample_files.find_class(run.generator, run.image.class_names, class_)
    search = Search(run, chosen, seed, device)
    found = [search.project(target) for target in targets]
    noise = torch.cat([each for each, _, _ in found])
    labels = torch.cat([each for _, each, _ in found if each is not None]) if found[0][1] is not None else None
    randomness.reseed(device, seed, "drawing")
    images = sampling.generate(run.generator, noise, labels, STARTS)
    return Projection(targets, images, noise, labels, [each for _, _, each in found], search.about)


def write_projection(run: TrainedRun, found: Projection, request: Sampling, device: torch.device) -> None:
    """Write a PNG with the target beside its image, and between two such pairs the path; or the path as a GIF."""
    with files.atomic_write(Path(str(request.out))) as file:
        if len(found.images) == 1:
            sampling.image_grid(torch.cat([found.targets, found.images]), 2).save(file, format="png")
            return
        path = interpolation.interpolate(run.generator, run.noise, found.noise, found.labels, request, device)
        images = torch.cat(list(path))  # from the first to the second, and back
        if request.format == "gif":
            sampling.write_gif((sampling.to_image(image) for image in images), file, request.fps)
            return
        row = torch.cat([found.targets[:1], images[: request.frames + 1], found.targets[1:]])
        sampling.image_grid(row, len(row)).save(file, format="png")
