"""Twenty ways in which disks, copies and people spoil a file."""

import random
from collections.abc import Callable

HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"


def flip(rng: random.Random, data: bytes, first: int = 0, last: int | None = None) -> bytes:
    """One bit changed, of the bytes from ``first`` to before ``last``."""
    changed = bytearray(data)
    stop = len(data) if last is None else min(last, len(data))
    changed[rng.randrange(max(min(first, stop - 1), 0), stop)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def zeros(rng: random.Random, data: bytes, count: int) -> bytes:
    """A block of zeros, as a lost page leaves it."""
    at = rng.randrange(len(data))
    return data[:at] + bytes(min(count, len(data) - at)) + data[at + count :]


def swapped(rng: random.Random, data: bytes) -> bytes:
    """Two neighbouring blocks in the wrong order."""
    at, size = rng.randrange(len(data)), rng.choice((1, 16, 64))
    return (
        data[:at] + data[at + size : at + 2 * size] + data[at : at + size] + data[at + 2 * size :]
    )


def doubled(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[: at + 32] + data[at:]


def without(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + 16 :]


WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    flip,
    flip,
    flip,
    flip,
    flip,
    lambda rng, data: flip(rng, data, 0, 64),
    lambda rng, data: flip(rng, data, len(data) - 64),
    lambda rng, data: flip(rng, flip(rng, data)),
    lambda rng, data: zeros(rng, data, 64),
    lambda rng, data: zeros(rng, data, len(data)),
    lambda rng, data: b"",
    lambda rng, data: data[:10],
    lambda rng, data: data[: len(data) // 2],
    lambda rng, data: data[:-1],
    lambda rng, data: data + b"\x00",
    lambda rng, data: data + data[:1024],
    swapped,
    doubled,
    without,
    lambda rng, data: (HTML * (len(data) // len(HTML) + 1))[: len(data)],
)
