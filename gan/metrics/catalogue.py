"""The metrics: name, unit, direction and computation of each, and the columns they have in files. Imports no torch.

Metrics on features are computed with a small classifier of the dataset itself, not with Inception, so the column says
whose features they are: `fid_mnist`. To add a metric, write one function here, with `@metric` above it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from gan.metrics.comparison import Comparison

Direction = Literal["lower", "higher"]
Input = Literal["classes", "inception", "pixels", "discriminator"]  # what a comparison may lack

# Two scores may be compared where these are equal.
PROTOCOL = ("dataset", "features", "accuracy", "generated", "real", "split")


class Metric(NamedTuple):
    """A number that says how good generated images are.

    Args:
        name: in files; for a metric on features, without the features.
        label: in sentences.
        better: None where neither direction is, such as for a standard error.
        compute: gives the number for a comparison of generated with real images.
        on_features: whether it depends on the feature network, whose name its column then has.
        needs: an input that not every comparison has.
    """

    name: str
    label: str
    unit: str
    better: Direction | None
    compute: Callable[["Comparison"], float]
    on_features: bool
    needs: Input | None

    def column(self, features: str) -> str:
        """The name in files, TensorBoard and tables for features such as `mnist`."""
        return f"{self.name}_{features}" if self.on_features else self.name


METRICS: list[Metric] = []  # in the order of the columns


def metric(
    label: str, *, unit: str, better: Direction | None, on_features: bool = False, needs: Input | None = None
) -> Callable[[Callable[["Comparison"], float]], Metric]:
    """Decorator: make a metric of a function, under the function's name, and append it to METRICS."""

    def add(compute: Callable[["Comparison"], float]) -> Metric:
        METRICS.append(Metric(compute.__name__, label, unit, better, compute, on_features, needs))
        return METRICS[-1]

    return add


@metric("FID", unit="squared distance", better="lower", on_features=True)
def fid(comparison: "Comparison") -> float:
    """Fréchet distance between two normal distributions fitted to the features (Heusel et al. 2017)."""
    return comparison.frechet_distance


@metric("KID", unit="squared distance", better="lower", on_features=True)
def kid(comparison: "Comparison") -> float:
    """Squared maximum mean discrepancy of the features, cubic kernel, 100 subsets (Bińkowski et al. 2018)."""
    return comparison.kernel_distance


@metric("precision", unit="fraction", better="higher", on_features=True)
def precision(comparison: "Comparison") -> float:
    """Fraction of generated images within reach of a real image's 3 nearest neighbors (Kynkäänniemi et al. 2019)."""
    return comparison.precision_and_recall[0]


@metric("recall", unit="fraction", better="higher", on_features=True)
def recall(comparison: "Comparison") -> float:
    """Fraction of real images within reach of a generated image's 3 nearest neighbors (Kynkäänniemi et al. 2019)."""
    return comparison.precision_and_recall[1]


@metric("density", unit="ratio", better=None, on_features=True)
def density(comparison: "Comparison") -> float:
    """Mean number of real balls (5 neighbors) around a generated image, over 5; about 1 for real images
    (Naeem et al. 2020)."""
    return comparison.density_and_coverage[0]


@metric("coverage", unit="fraction", better="higher", on_features=True)
def coverage(comparison: "Comparison") -> float:
    """Fraction of real balls (5 neighbors) that hold a generated image (Naeem et al. 2020)."""
    return comparison.density_and_coverage[1]


@metric("classifier score", unit="classes", better="higher", on_features=True, needs="classes")
def classifier_score(comparison: "Comparison") -> float:
    """The inception score's formula with the dataset's own classifier; at most the number of classes."""
    return comparison.score_of_logits


@metric("inception score", unit="classes", better="higher", needs="inception")
def inception_score(comparison: "Comparison") -> float:
    """Exp of the mean divergence of an image's predicted classes from those of all images (Salimans et al. 2016)."""
    return comparison.score_of_logits


@metric("modes", unit="classes", better="higher", needs="classes")
def modes(comparison: "Comparison") -> float:
    """Number of classes that at least one generated image is assigned to."""
    return float((comparison.class_fractions > 0).sum())


@metric("modes in 100", unit="classes", better="higher", needs="classes")
def modes_in_100(comparison: "Comparison") -> float:
    """Expected number of classes among 100 generated images: the sum of 1 - (1 - p)^100."""
    present = comparison.class_fractions[comparison.class_fractions > 0]
    return (1 - (1 - present) ** 100).sum().item()


@metric("class distance", unit="fraction", better="lower", needs="classes")
def class_distance(comparison: "Comparison") -> float:
    """Total variation distance of the classes from uniform: the fraction of images that would have to change class."""
    fractions = comparison.class_fractions
    return (fractions - 1 / len(fractions)).abs().sum().item() / 2


@metric("KL", unit="nats", better="lower", needs="classes")
def kl(comparison: "Comparison") -> float:
    """Kullback-Leibler divergence of the classes from uniform, as papers on stacked MNIST report it."""
    fractions = comparison.class_fractions
    present = fractions[fractions > 0]
    return (present * (present * len(fractions)).log()).sum().item()


@metric("Parzen log-likelihood", unit="nats", better="higher", needs="pixels")
def parzen(comparison: "Comparison") -> float:
    """Mean log-likelihood of test images under a Gaussian at each generated image (Goodfellow et al. 2014)."""
    return comparison.parzen.mean


@metric("its standard error", unit="nats", better=None, needs="pixels")
def parzen_error(comparison: "Comparison") -> float:
    """Standard error of `parzen` over the test images."""
    return comparison.parzen.error


@metric("width of its Gaussians", unit="pixel values from 0 to 1", better=None, needs="pixels")
def parzen_width(comparison: "Comparison") -> float:
    """Standard deviation of the Gaussians of `parzen`, chosen on validation images."""
    return comparison.parzen.width


@metric("discriminator gap", unit="fraction of pairs", better=None, needs="discriminator")
def discriminator_gap(comparison: "Comparison") -> float:
    """How much oftener D ranks a training image above a test image than below it; 0 where D has memorized nothing."""
    return comparison.discriminator_gap


def compute_metrics(comparison: "Comparison", features: str) -> dict[str, float]:
    """All metrics that the comparison has the inputs for, by column; `features` such as `mnist` are its network's."""
    available = [metric for metric in METRICS if metric.needs is None or metric.needs in comparison.inputs]
    return {metric.column(features): metric.compute(comparison) for metric in available}


def metric_of(column: str) -> Metric | None:
    """The metric of a column such as `fid_mnist`, or of the bare name `fid`; None for any other name."""
    for candidate in METRICS:
        if column == candidate.name or (candidate.on_features and column.startswith(f"{candidate.name}_")):
            return candidate
    return None


def direction(column: str) -> Direction | None:
    """Whether a `lower` or a `higher` number in this column is better; None where neither is."""
    found = metric_of(column)
    return found.better if found else None


def find_column(scores: dict[str, Any], name: str) -> str | None:
    """The column of `scores` that holds the metric `name`, whatever its features: `fid_mnist` for `fid`."""
    return next((column for column in scores if (found := metric_of(column)) and found.name == name), None)


def headline(scores: dict[str, Any]) -> tuple[str, float] | None:
    """Column and value of the metric that orders generators, which is FID; None where it is not among `scores`."""
    column = find_column(scores, fid.name)
    return None if column is None else (column, scores[column])


def summary(scores: dict[str, Any]) -> str:
    """The main scores as a line of the log: `FID on mnist features 3.21, precision 0.61, recall 0.42`."""
    columns = {metric: find_column(scores, metric.name) for metric in (fid, precision, recall)}
    parts = [f"{metric.label} {scores[column]:.3g}" for metric, column in columns.items() if column]
    features = (columns[fid] or "").removeprefix(f"{fid.name}_")
    return ", ".join(parts).replace(fid.label, f"{fid.label} on {features} features", 1)


def protocol_line(record: dict[str, Any]) -> str:
    """How scores were computed: which classifier, how many images, which real ones."""
    known = dict.fromkeys(PROTOCOL, "?") | record
    return "features of {features}, {generated} generated against {real} {split} images of {dataset}".format(**known)
