"""Scores as a table of text: a row per run, the better direction of each metric, the best run, and the real data."""

import textwrap
from collections.abc import Sequence

from gan.config.errors import printable
from gan.metrics.catalogue import direction
from gan.report.cells import Number, best

WIDTH, MAX_LABEL_WIDTH, GAP = 100, 30, "  "  # of the printed tables, in characters
Scores = dict[str, Number]  # by column, each the mean over sampling seeds
Tables = dict[str, tuple[dict[str, Scores], Scores]]  # by the line of a protocol: rows, and the real-data baseline


def format_table(rows: dict[str, Scores], real_data: Scores) -> str:
    """One row per run, and the real-data baseline below; a new table where the next column goes beyond WIDTH.

    The second line says which direction is better, and a star which run is best.
    """
    names = [*map(printable, rows), "real data"]
    label_width = min(max(map(len, [*names, "better"])), MAX_LABEL_WIDTH)
    labels = [[""], ["better"], *(textwrap.wrap(name, label_width) or [name] for name in names)]
    tables: list[list[str]] = []
    for column in dict.fromkeys(column for row in rows.values() for column in row):
        cells = format_column(column, [row.get(column) for row in rows.values()], real_data.get(column))
        if not tables or len(tables[-1][0]) + len(GAP) + len(cells[0]) > WIDTH:
            tables.append([label[0].ljust(label_width) for label in labels])
        tables[-1] = [GAP.join(pair) for pair in zip(tables[-1], cells, strict=True)]
    # a long label goes on below its row
    text = [
        "\n".join("\n".join([line.rstrip(), *label[1:]]) for line, label in zip(table, labels, strict=True))
        for table in tables
    ]
    return "\n\n".join([*text, "*: the best of these runs"] if len(rows) > 1 else text)


def format_column(column: str, numbers: Sequence[Number | None], real_data: Number | None) -> list[str]:
    """The cells of a column, all of one width: its name, the better direction, the runs and the real-data baseline."""
    best_mean = best(column, numbers) if len({number.mean for number in numbers if number}) > 1 else None
    values = [f"*{number}" if number and number.mean == best_mean else str(number or "-") for number in numbers]
    cells = [column, direction(column) or "-", *values, str(real_data or "-")]
    return [cell.rjust(max(map(len, cells))) for cell in cells]
