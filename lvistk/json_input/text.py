"""A JSON file as plain UTF-8 bytes: byte order marks skipped, gzip and UTF-16 or UTF-32 undone."""

import codecs
import contextlib
import gzip
import mmap
import os
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lvistk.errors import UserError
from lvistk.whole_file import FULL

CHUNK_BYTES = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ZEROS = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True): "utf-16-le",
    (True, False): "utf-16-be",
}
"""Which of the first bytes are zero, where JSON begins with an ASCII sign and has no mark."""
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, eq=False)
class JsonText:
    """Plain JSON text of a file.

    path: the file that the user named, for messages
    descriptor: the open file to read from, ``path`` itself or a temporary file; closed with this object
    data: its bytes from the byte order mark's end on, mapped
    first: offset of ``data`` in the open file
    """

    path: Path
    descriptor: int
    data: memoryview
    first: int

    def __post_init__(self) -> None:
        weakref.finalize(self, os.close, self.descriptor)


def json_text(path: Path) -> JsonText:
    """Open ``path``. Raises ``UserError`` where it cannot be read, is empty or broken gzip.

    Plain UTF-8 is mapped as it is; gzip and other encodings go through a temporary file.
    """
    with contextlib.ExitStack() as closing, _told_in_one_line(path):
        handle = closing.enter_context(path.open("rb"))
        head = handle.read(4)
        if head.startswith(_GZIP):
            handle = closing.enter_context(_temporary(path, _unzipped(handle)))
            head = handle.read(4)
        encoding, mark = _encoding(head)
        if encoding != "utf-8":
            handle.seek(mark)
            handle = closing.enter_context(_temporary(path, _as_utf8(handle, encoding)))
            mark = 0
        if os.fstat(handle.fileno()).st_size <= mark:
            raise UserError(f"{path}: the file is empty")
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        return JsonText(path, os.dup(handle.fileno()), memoryview(mapped)[mark:], mark)


@contextlib.contextmanager
def _told_in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: broken or cut off gzip: {error}; compress it again") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: broken {error.encoding} text: {error.reason}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _encoding(head: bytes) -> tuple[str, int]:
    """The encoding by the first bytes, and the length of its byte order mark."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, len(mark)
    zeros = tuple(byte == 0 for byte in head)
    return _ZEROS.get(zeros) or _ZEROS.get(zeros[:2]) or "utf-8", 0


def _unzipped(handle: BinaryIO) -> Iterator[bytes]:
    handle.seek(0)
    with gzip.open(handle) as plain:
        while chunk := plain.read(CHUNK_BYTES):
            yield chunk


def _as_utf8(handle: BinaryIO, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    while chunk := handle.read(CHUNK_BYTES):
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _temporary(path: Path, chunks: Iterator[bytes]) -> BinaryIO:
    """A temporary file without a name that holds ``chunks``, at its beginning."""
    plain = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    try:
        for chunk in chunks:
            plain.write(chunk)
        plain.flush()
    except BaseException as error:
        plain.close()
        if isinstance(error, OSError) and error.errno in FULL:
            folder = tempfile.gettempdir()
            raise UserError(f"{path}: no space in {folder} to unpack it; set TMPDIR") from None
        raise
    plain.seek(0)
    return plain
