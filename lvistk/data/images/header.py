"""How large an image says it is, from the first bytes of its file: nothing is decoded."""

import struct

JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""JPEG markers that hold height and width (SOF0 to SOF15)."""
JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}
"""JPEG markers without a length."""


def header_size(data: memoryview | bytes) -> tuple[int, int] | None:
    """Height and width that a PNG, JPEG, WebP, BMP, GIF or TIFF declares, as stored (EXIF not applied).

    None for other formats and for headers that make no sense, which the decoder then judges.
    """
    view = memoryview(data)
    start = bytes(view[:16])
    try:
        if start.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", view, 16)
            return height, width
        if start.startswith(b"\xff\xd8"):
            return _jpeg(view)
        if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
            return _webp(view, start[12:16])
        if start.startswith(b"BM"):
            return _bmp(view)
        if start.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack_from("<HH", view, 6)
            return height, width
        if start.startswith((b"II*\0", b"MM\0*")):
            return _tiff(view, "<" if start[:1] == b"I" else ">")
    except struct.error:  # the header is cut
        return None
    return None


def _jpeg(view: memoryview) -> tuple[int, int] | None:
    at = 2
    while view[at : at + 1] == b"\xff":
        (kind,) = struct.unpack_from(">B", view, at + 1)
        if kind == 0xFF:
            at += 1
        elif kind in JPEG_ALONE:
            at += 2
        elif kind in JPEG_SIZES:
            height, width = struct.unpack_from(">HH", view, at + 5)
            return height, width
        else:
            at += 2 + struct.unpack_from(">H", view, at + 2)[0]
    return None


def _webp(view: memoryview, kind: bytes) -> tuple[int, int] | None:
    if kind == b"VP8X":
        low = [
            int.from_bytes(view[at : at + 3], "little") if len(view) >= at + 3 else -1
            for at in (27, 24)
        ]
        return None if -1 in low else (low[0] + 1, low[1] + 1)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", view, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", view, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None


def _bmp(view: memoryview) -> tuple[int, int]:
    if struct.unpack_from("<I", view, 14)[0] == 12:  # OS/2
        width, height = struct.unpack_from("<HH", view, 18)
    else:
        width, height = struct.unpack_from("<ii", view, 18)
    return abs(height), abs(width)


def _tiff(view: memoryview, order: str) -> tuple[int, int] | None:
    (at,) = struct.unpack_from(f"{order}I", view, 4)
    (count,) = struct.unpack_from(f"{order}H", view, at)
    sides: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", view, entry)
        if tag in (256, 257):
            short = kind == 3
            (sides[tag],) = struct.unpack_from(order + ("H" if short else "I"), view, entry + 8)
    return (sides[257], sides[256]) if len(sides) == 2 else None
