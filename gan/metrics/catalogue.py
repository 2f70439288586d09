"""The metrics: name, unit, direction and computation of each, and the columns they have in files. Imports no torch.

Metrics on features are computed with a small classifier of the dataset itself, not with Inception, so the column says
whose features they are: `fid_mnist`. To add a metric, write one function here, with `@metric` above it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from gan.metrics.comparison import Comparison

Direction = Literal["lower", "higher"]
Input = Literal["features", "classes", "inception", "images", "pixels", "discriminator", "points", "modes"]
INCEPTION = "inception"  # the features of the Inception network that papers use
POINTS = "points"  # no features: the points themselves

# Two scores may be compared where these are equal.
PROTOCOL = ("dataset", "features", "accuracy", "generated", "real", "split")


class Metric(NamedTuple):
    """A number that says how good generated images are.

    Args:
        name: in files; for a metric on features, without the features.
        unit: as in docs/metrics.md.
        better: None if neither direction is, as for a standard error.
        on_features: whether it depends on the feature network, so that its column names the features.
        needs: the input without which it is not computed: one that a comparison may lack.
    """

    name: str
    unit: str
    better: Direction | None
    compute: Callable[["Comparison"], float]
    on_features: bool
    needs: Input

    def column(self, features: str) -> str:
        """The name in files, TensorBoard and tables for features such as `mnist`."""
        return f"{self.name}_{features}" if self.on_features else self.name


METRICS: list[Metric] = []  # in the order of the columns


def metric(
    *, unit: str, better: Direction | None, on_features: bool = False, needs: Input = "features"
) -> Callable[[Callable[["Comparison"], float]], Metric]:
    """Decorator: make a metric of a function, under the function's name, and append it to METRICS."""

    def add(compute: Callable[["Comparison"], float]) -> Metric:
        METRICS.append(Metric(compute.__name__, unit, better, compute, on_features, needs))
        return METRICS[-1]

    return add


@metric(unit="squared distance", better="lower", on_features=True)
def fid(comparison: "Comparison") -> float:
    """Fréchet distance between normal distributions fitted to the features (Heusel et al. 2017)."""
    from gan.metrics.moments import frechet_distance

    return frechet_distance(comparison.generated, comparison.real)


@metric(unit="squared distance", better="lower", on_features=True)
def kid(comparison: "Comparison") -> float:
    """Squared maximum mean discrepancy with a cubic kernel, mean over 100 subsets of 1,000 (Bińkowski et al. 2018)."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    features = comparison.generated.features, comparison.real.features
    subset_size = min(1000, *map(len, features))
    result = kid_features_to_metric(*features, kid_subset_size=subset_size, verbose=False)
    return result["kernel_inception_distance_mean"]


@metric(unit="fraction", better="higher", on_features=True)
def precision(comparison: "Comparison") -> float:
    """Generated images no farther from a real image than its third nearest real one (Kynkäänniemi et al. 2019)."""
    return comparison.precision_and_recall[0]


@metric(unit="fraction", better="higher", on_features=True)
def recall(comparison: "Comparison") -> float:
    """Real images no farther from a generated one than its third nearest generated one (Kynkäänniemi et al. 2019)."""
    return comparison.precision_and_recall[1]


@metric(unit="ratio", better=None, on_features=True)
def density(comparison: "Comparison") -> float:
    """Real balls (5 neighbors) around a generated image, over 5; about 1 for real images (Naeem et al. 2020)."""
    return comparison.density_and_coverage[0]


@metric(unit="fraction", better="higher", on_features=True)
def coverage(comparison: "Comparison") -> float:
    """Real balls (5 neighbors) that hold a generated image (Naeem et al. 2020)."""
    return comparison.density_and_coverage[1]


@metric(unit="classes", better="higher", on_features=True, needs="classes")
def classifier_score(comparison: "Comparison") -> float:
    """The inception score with the dataset's own classifier; at most the number of classes."""
    return inception_score.compute(comparison)


@metric(unit="classes", better="higher", needs="inception")
def inception_score(comparison: "Comparison") -> float:
    """Exp of the mean divergence of an image's predicted classes from those of all images (Salimans et al. 2016)."""
    from torch_fidelity.metric_isc import isc_features_to_metric

    return isc_features_to_metric(comparison.generated.logits)["inception_score_mean"]


@metric(unit="classes", better="higher", needs="classes")
def modes(comparison: "Comparison") -> float:
    """Number of classes that at least one generated image is assigned to."""
    return float((comparison.class_fractions > 0).sum())


@metric(unit="classes", better="higher", needs="classes")
def modes_in_100(comparison: "Comparison") -> float:
    """Expected number of classes among 100 generated images: the sum of 1 - (1 - p)^100."""
    return (1 - (1 - comparison.class_fractions) ** 100).sum().item()


@metric(unit="fraction", better="lower", needs="classes")
def class_distance(comparison: "Comparison") -> float:
    """Total variation distance of the classes from uniform: the fraction of images that would have to change class."""
    fractions = comparison.class_fractions
    return (fractions - 1 / len(fractions)).abs().sum().item() / 2


@metric(unit="nats", better="lower", needs="classes")
def kl(comparison: "Comparison") -> float:
    """Kullback-Leibler divergence of the classes from uniform, as papers on stacked MNIST report it."""
    fractions = comparison.class_fractions
    present = fractions[fractions > 0]
    return (present * (present * len(fractions)).log()).sum().item()


@metric(unit="fraction", better="higher", needs="images")
def pixel_precision(comparison: "Comparison") -> float:
    """Generated images as similar in pixels to a real image as nine in ten real ones are to another; no features."""
    return comparison.similar_fractions.sum().item()


@metric(unit="classes", better="higher", needs="images")
def pixel_modes_in_100(comparison: "Comparison") -> float:
    """Expected number of classes among 100 generated images, of those that `pixel_precision` counts."""
    return (1 - (1 - comparison.similar_fractions) ** 100).sum().item()


@metric(unit="nats", better="higher", needs="pixels")
def parzen(comparison: "Comparison") -> float:
    """Mean log-likelihood of test images under a Gaussian at each generated image (Goodfellow et al. 2014)."""
    return comparison.parzen.mean


@metric(unit="nats", better=None, needs="pixels")
def parzen_error(comparison: "Comparison") -> float:
    """Standard error of `parzen` over the test images."""
    return comparison.parzen.error


@metric(unit="pixel values from 0 to 1", better=None, needs="pixels")
def parzen_width(comparison: "Comparison") -> float:
    """Standard deviation of the Gaussians of `parzen`, chosen on validation images."""
    return comparison.parzen.width


@metric(unit="fraction of pairs", better=None, needs="discriminator")
def discriminator_gap(comparison: "Comparison") -> float:
    """How much more often D ranks a training image above a test image than below it; 0 where it memorized nothing."""
    assert comparison.discriminator_gap is not None
    return comparison.discriminator_gap


@metric(unit="the points' own unit", better="lower", needs="points")
def wasserstein(comparison: "Comparison") -> float:
    """2-Wasserstein distance of at most 1,000 generated points from as many real ones, by exact linear assignment."""
    from gan.metrics.points import wasserstein_distance

    return wasserstein_distance(*comparison.assigned_points)


@metric(unit="modes", better="higher", needs="modes")
def modes_found(comparison: "Comparison") -> float:
    """Modes that have a generated point within three standard deviations (Srivastava et al. 2017, section 5.1)."""
    return float((comparison.generated_modes.close_points > 0).sum())


@metric(unit="fraction", better="higher", needs="modes")
def high_quality(comparison: "Comparison") -> float:
    """Generated points within three standard deviations of their nearest mode (Srivastava et al. 2017, section 5.1)."""
    return comparison.generated_modes.close_points.sum().item() / len(comparison.generated.features)


@metric(unit="nats", better="lower", needs="modes")
def mode_kl(comparison: "Comparison") -> float:
    """Reverse KL: divergence of the points' nearest modes from equal numbers (Lin et al. 2018, section 4.1)."""
    from gan.metrics.points import divergence_from_uniform

    return divergence_from_uniform(comparison.generated_modes.all_points)


HEADLINES = (fid, wasserstein)  # of images and of points: which generator is best, and what a search minimizes


def compute_metrics(comparison: "Comparison") -> dict[str, float]:
    """Every metric that the comparison has the inputs for, by column."""
    inputs = comparison.inputs
    available = [metric for metric in METRICS if metric.needs in inputs]
    return {metric.column(comparison.features): metric.compute(comparison) for metric in available}


def metric_of(column: str) -> Metric | None:
    """The metric of a column such as `fid_mnist`, or of a bare name such as `fid`; None for any other name."""
    for metric in METRICS:
        if column == metric.name or (metric.on_features and column.startswith(f"{metric.name}_")):
            return metric
    return None


def direction(column: str) -> Direction | None:
    """Whether a `lower` or a `higher` number in this column is better; None where neither is."""
    metric = metric_of(column)
    return metric.better if metric else None


def find_column(scores: dict[str, Any], name: str) -> str | None:
    """The column of `scores` with the metric `name`, whatever its features: `fid_mnist` for `fid`; None without it."""
    return next((column for column in scores if (metric := metric_of(column)) and metric.name == name), None)


def headline(scores: dict[str, Any]) -> tuple[str, float] | None:
    """Column and value of the metric in HEADLINES, whatever its features; None where `scores` has none."""
    columns = (find_column(scores, metric.name) for metric in HEADLINES)
    return next(((column, scores[column]) for column in columns if column), None)


def summary(scores: dict[str, Any], features: str) -> str:
    """The main scores in a sentence: `FID on mnist features 3.214, precision 0.612, recall 0.423`.

    Of points all of them: `wasserstein 0.213, modes_found 8.000, ...`.
    """
    if features == POINTS:
        return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    values = [scores[metric.column(features)] for metric in (fid, precision, recall)]
    return "FID on {} features {:.3f}, precision {:.3f}, recall {:.3f}".format(features, *values)


def protocol_line(record: dict[str, Any]) -> str:
    """How scores were computed: with whose features, on how many images, against which real ones or statistics."""
    known = dict.fromkeys(PROTOCOL, "?") | record
    accuracy = f" (accuracy {known['accuracy']:.3f})" if isinstance(known["accuracy"], float) else ""
    if known["features"] == POINTS:
        counts = f"{known['generated']} generated points against {known['real']} {known['split']} points of"
        return f"{counts} {known['dataset']}"
    real = "the statistics" if known["real"] is None else f"{known['real']} {known['split']} images of"
    return (
        f"features of {known['features']}{accuracy}, {known['generated']} generated against {real} {known['dataset']}"
    )
