"""Scores of images without a run: those of any folder, archive or array."""

from gan.config.errors import printable
from gan.config.schema import Evaluation
from gan.data.image_folder import find_source
from gan.data.image_shape import ImageShape
from gan.evaluation import sources
from gan.metrics.catalogue import protocol_line
from gan.metrics.comparison import FeatureStats
from gan.metrics.moments import MomentsReference, write_moments
from gan.metrics.protocol import BATCH_SIZE, Reference
from gan.report.cells import Number
from gan.report.score_table import Tables
from gan.system.device import memory_errors, select_device


def evaluate_images(settings: Evaluation) -> Tables:
    """Score the images of every `images=`, and write the statistics in `write_stats=`, if it is set.

    Returns tables as `print_tables` takes them. Raises ConfigError for images that cannot be read or compared.
    """
    device, folders = select_device(settings.device), sources.default_folders(settings)
    tables: Tables = {}
    with memory_errors():
        network = sources.load_network(settings, device)
        images = {text: sources.load_images(text, settings, folders) for text in dict.fromkeys(settings.images)}
        reference: Reference | MomentsReference | None = None
        if settings.reference:
            reference = sources.load_reference(settings.reference, settings, network, folders, device)
            images = {text: sources.match(each, text, reference.real.shape) for text, each in images.items()}
            if not images:
                save_stats(settings, reference.real_stats, reference.network.name)
        for text, dataset in images.items():
            shape = dataset.shape
            assert isinstance(shape, ImageShape)
            about = [f"{shape.size}x{shape.size}x{shape.channels}", *filter(None, [dataset.notes.get("split")])]
            print(printable(f"{text}: {len(dataset)} images, {', '.join(about)} ..."), flush=True)
            if settings.stats and network:
                reference = sources.load_moments(settings.stats, network, shape, device)
            features = reference.network if reference else network
            assert features is not None  # the settings have been checked
            place = reference.device if reference else device
            stats = FeatureStats(features, dataset.images.split(BATCH_SIZE), place)
            save_stats(settings, stats, features.name)
            if reference:
                line = protocol_line(reference.record(len(dataset)))
                if line not in tables:
                    baseline = reference.real_data_baseline(len(dataset), settings.parzen, folders[1])
                    tables[line] = {}, {column: Number(value) for column, value in baseline.items()}
                scores = reference.score(stats, settings.parzen)
                tables[line][0][text] = {column: Number(value) for column, value in scores.items()}
    return tables


def save_stats(settings: Evaluation, stats: FeatureStats, features: str) -> None:
    """Write the moments of features into the file that `write_stats=` names, if any, and say so."""
    if settings.write_stats:
        path = find_source(settings.write_stats)
        write_moments(path, stats, features)
        print(printable(f"{path}: statistics of {stats.count} images, features of {features}"), flush=True)
