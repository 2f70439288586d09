"""Text of a stranger's run folder, as it is safe in Markdown, in CSV and in names of files. HTML is Jinja's task."""

import re
from pathlib import Path
from urllib.parse import quote

from gan.config.errors import printable

IN_MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\`*[]|"}
    | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}  # not every renderer knows a backslash before these
)


def markdown(text: object) -> str:
    """Text without effect in Markdown: no table cell ends, and no HTML, link, image or code starts in it."""
    escaped = printable(text).translate(IN_MARKDOWN)
    return re.sub(r"://|\bwww\.", lambda start: "".join(f"&#{ord(sign)};" for sign in start[0]), escaped, flags=re.I)


def markdown_code(text: object) -> str:
    """Text as inline code, with more backticks around it than it has itself."""
    shown = printable(text)
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{shown}{space}{fence}"


def markdown_path(path: str | Path) -> str:
    """A path as the address of an image."""
    return quote(str(path), errors="surrogateescape")


def file_name(text: str) -> str:
    """Text as the name of one file or folder, in no other place than where it is put."""
    return re.sub(r"[^\w.-]+", "_", printable(text))[:100].lstrip(".") or "_"


def csv_cell(text: object) -> str:
    """Text that no spreadsheet takes for a formula. Numbers stay as they are."""
    shown = printable(text)
    if re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", shown, re.IGNORECASE):
        return shown
    return re.sub(r"(^|;)(?=\s*([=+@＝＋－＠]|-.))", r"\1'", shown)  # Excel separates cells at ; in many languages
