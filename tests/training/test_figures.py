"""The figures of a run."""

import numpy as np
from PIL import Image

from gan.system import files
from gan.training import figures


def test_the_predictions_have_a_line_where_an_undecided_discriminator_would_be(tmp_path):
    files.write_rows(tmp_path / "metrics.jsonl", [{"epoch": 1.0, "discriminator/real": 0.9, "discriminator/fake": 0.1}])
    images = {}
    for undecided in (0.5, 0.2, None):
        figures.plot_figures(tmp_path, undecided)
        image = Image.open(tmp_path / "figures" / "predictions.png").convert("L")
        images[undecided] = np.asarray(image, dtype=int)
    # the row of pixels in which a figure differs most from the one without a line
    rows = [np.abs(images[undecided] - images[None]).sum(axis=1).argmax() for undecided in (0.5, 0.2)]
    assert rows[0] < rows[1]
