"""Whether a JPEG is whole: the one judgement that inspection and training share.

OpenCV fills what is cut off with grey, without a word. Phones and cameras write more behind a picture's end:
films, a second picture, padding; the picture is whole all the same.
"""

import re

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker within coded data: 0 means the byte 255 itself, D0 to D7 restarts, 255 padding."""
_SCAN = 0xDA


def is_cut_jpeg(data: bytes | memoryview) -> bool:
    """Whether ``data`` begins as a JPEG and stops before the picture's end; other formats are never cut.

    The markers are followed from the start, so that the end of a small preview does not count.
    """
    view = memoryview(data)
    if bytes(view[:2]) != JPEG_START:
        return False
    if bytes(view[-2:]) == JPEG_END:
        return False
    at = 2
    while at + 4 <= len(view):
        if view[at] != 0xFF:
            return JPEG_END not in bytes(
                view[at:]
            )  # no JPEG by the rules: decoders look for the end
        kind = view[at + 1]
        if kind == 0xFF:
            at += 1
            continue
        if kind == JPEG_END[1]:
            return False
        at += 2 + int.from_bytes(view[at + 2 : at + 4], "big")
        if kind == _SCAN:
            marker = _MARKER.search(view, at)
            if marker is None:
                return True
            at = marker.start()
    return bytes(view[at : at + 2]) != JPEG_END
