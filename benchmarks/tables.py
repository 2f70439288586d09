"""Markdown tables, printed row by row."""

import statistics


def print_header(columns: list[str]) -> None:
    print_row(columns)
    print_row(["---"] * len(columns))


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def format_spread(numbers: list[float]) -> str:
    """Median, minimum and maximum."""
    median = statistics.median(numbers)
    digits = 0 if median >= 100 else 1 if median >= 10 else 2
    return f"{median:.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"
