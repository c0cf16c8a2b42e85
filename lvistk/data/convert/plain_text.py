"""Text files of other tools, whatever their encoding."""

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path

from lvistk.data.convert.changes import SHOWN
from lvistk.errors import UserError

TWO_BYTES = "\u07ff"
"""The last letter that takes two bytes of UTF-8, as every Chinese one takes two of GBK."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, *, what: str) -> str:
    """The text of a file. Raises ``UserError`` where it cannot be read; ``what`` says what it should be."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file of {what}") from None
    except OSError as error:
        raise UserError(f"{path}: no file of {what}: {error.strerror}") from None
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].count(b"\n")
        raise UserError(
            f"{path}: line {line}: not UTF-8 text; save the file as UTF-8 (GBK, Latin-1 and others "
            "cannot be told apart)"
        ) from None


def doubtful_names(names: Iterable[str]) -> Iterator[str]:
    """A line for names read as UTF-8 whose bytes would be text in GBK too; none where all are sure."""
    doubtful = [repr(name) for name in names if not name.isascii() and _may_be_gbk(name)]
    if doubtful:
        shown = ", ".join(doubtful[:SHOWN]) + (", ..." if len(doubtful) > SHOWN else "")
        yield f"read as UTF-8: {shown}; where that looks wrong, save the files as UTF-8"


def _may_be_gbk(name: str) -> bool:
    try:
        name.encode().decode("gbk")
    except UnicodeDecodeError:
        return False
    return max(name) <= TWO_BYTES
