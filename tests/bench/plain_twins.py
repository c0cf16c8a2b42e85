"""``lvistk`` with one trick of the JSON scanner replaced by its plain twin.

``python -m tests.bench.plain_twins TWIN ARGUMENTS...``. Kernels must be kept apart, so NUMBA_CACHE_DIR has
to name a folder for each twin.
"""

import sys

import numpy as np

from lvistk import jit, json_numbers
from lvistk.jit import kernel
from lvistk.json_numbers import PARSED, UNUSUAL


@kernel
def plain_read_digits(text, p, w):
    while 48 <= text[p] <= 57:
        w = w * np.uint64(10) + np.uint64(text[p] - 48)
        p += 1
    return w, p


@kernel
def plain_string_end(text, p, stop):
    while p < stop:
        if text[p] == 34:
            return p
        p += 2 if text[p] == 92 else 1
    return -1


@kernel
def plain_skip_value(text, p, stop):
    depth = 0
    while p < stop:
        c = text[p]
        if c == 34:
            p = plain_string_end(text, p + 1, stop)
            if p < 0:
                return stop, UNUSUAL
        elif c == 123 or c == 91:
            depth += 1
        elif c == 125 or c == 93:
            if depth == 0:
                return p, PARSED
            depth -= 1
        elif c == 44 and depth == 0:
            return p, PARSED
        p += 1
    return stop, UNUSUAL


@kernel
def no_spans_of_text(text, first, last, escaped, total, plain, numbers, starts, stops):
    """Leave every RLE to the decoder that takes a byte at a time."""
    return 0, 0, False


def digits() -> None:
    json_numbers.read_digits = plain_read_digits


def strings() -> None:
    from lvistk.evaluation.results_json import json_values

    json_values.string_end = plain_string_end
    json_values.skip_value = plain_skip_value


def rle() -> None:
    from lvistk.masks import rle_decode

    rle_decode.spans_of_text = no_spans_of_text


def cache() -> None:
    jit._KernelCache = jit.FunctionCache  # type: ignore[misc]


TWINS = {"none": lambda: None, "digits": digits, "strings": strings, "rle": rle, "cache": cache}
MEANING = {
    "digits": "digits of numbers one by one",
    "strings": "strings and skipped values a byte at a time",
    "rle": "RLEs a byte at a time",
    "cache": "numba's own way to load compiled kernels",
}


def main() -> None:
    TWINS[sys.argv[1]]()
    sys.argv = ["lvistk", *sys.argv[2:]]
    from lvistk.cli import main as lvistk

    lvistk()


if __name__ == "__main__":
    main()
