"""Slow twins of the RLE decoder and encoder: COCO's counts, one character and one pixel at a time."""


def runs(text):
    """Run lengths of a compressed RLE, one character at a time (COCO's rleFrString)."""
    lengths, place = [], 0
    while place < len(text):
        value, digit, more = 0, 0, True
        while more:
            code = ord(text[place]) - 48
            value |= (code & 31) << (5 * digit)
            more = bool(code & 32)
            place += 1
            digit += 1
            if not more and code & 16:
                value -= 1 << (5 * digit)
        if len(lengths) > 2:
            value += lengths[-2]
        lengths.append(value)
    return lengths


def counts(lengths):
    """The text of run lengths (COCO's rleToString)."""
    text = ""
    for k, length in enumerate(lengths):
        value = length - lengths[k - 2] if k > 2 else length
        more = True
        while more:
            digit = value % 32
            value = (value - digit) // 32  # as an arithmetic shift
            more = value != (-1 if digit >= 16 else 0)
            text += chr(48 + digit + (32 if more else 0))
    return text


def runs_of_rows(rows):
    """Column-major run lengths of rows of 0 and 1, background first."""
    pixels = [rows[y][x] for x in range(len(rows[0])) for y in range(len(rows))]
    lengths, value, count = [], 0, 0
    for pixel in pixels:
        if pixel != value:
            lengths.append(count)
            value, count = pixel, 0
        count += 1
    return [*lengths, count]


def rows_of_runs(lengths, height, width):
    """Rows of 0 and 1 of column-major run lengths."""
    rows = [[0] * width for _ in range(height)]
    pixel, value = 0, 0
    for length in lengths:
        for _ in range(length):
            rows[pixel % height][pixel // height] = value
            pixel += 1
        value = 1 - value
    return rows
