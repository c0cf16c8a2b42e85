"""``lvistk`` with one trick of the JSON scanner replaced by its plain twin.

``python -m tests.bench.plain_twins TWIN ARGUMENTS...``. Kernels must be kept apart, so NUMBA_CACHE_DIR has
to name a folder for each twin.
"""

import sys

import numpy as np

from lvistk import jit, json_numbers
from lvistk.jit import kernel


@kernel
def plain_read_digits(text, p, w):
    while 48 <= text[p] <= 57:
        w = w * np.uint64(10) + np.uint64(text[p] - 48)
        p += 1
    return w, p


@kernel
def no_spans_of_text(text, first, last, escaped, total, plain, numbers, starts, stops):
    """Leave every RLE to the decoder that takes a byte at a time."""
    return 0, 0, False


def digits() -> None:
    json_numbers.read_digits = plain_read_digits


def rle() -> None:
    from lvistk.masks import rle_decode

    rle_decode.spans_of_text = no_spans_of_text


def cache() -> None:
    jit._KernelCache = jit.FunctionCache  # type: ignore[misc]


TWINS = {"none": lambda: None, "digits": digits, "rle": rle, "cache": cache}
MEANING = {
    "digits": "digits of numbers one by one",
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
