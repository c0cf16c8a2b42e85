"""Random pickles in the grammar of what the restricted reader knows; also a program that reads many.

python -m tests.importing.pickle_fuzz FOLDER --count 10000 --seed 0
"""

import argparse
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvistk.errors import UserError
from lvistk.importing.checkpoint_file import read_checkpoint_file
from lvistk.importing.pickle_values import KNOWN, NUMERIC

NAMES = [*KNOWN, "os.system", "builtins.getattr", "numpy.core.multiarray.array", "my.Hook"]
ELEMENTS = [*NUMERIC, "O8", "V8", "S3", "U2", "M8", "x"]
OPCODES = [
    bytes([code]) for code in b"(0)1]}2|tabehlsduR\x81\x85\x86\x87\x8f\x90\x91\x92\x94oiQ.N\x88"
]


def random_pickle(rng: random.Random) -> bytes:
    """One pickle: instructions that mostly fit together, with states that may not."""
    parts = [b"\x80\x02", b"}U\x05model}(" if rng.random() < 0.8 else b""]
    for _ in range(rng.randrange(1, 8)):
        parts += [b"U\x01" + rng.choice(b"abcd").to_bytes(1, "little")]
        parts += [value(rng, depth=0)]
    parts += [b"us." if rng.random() < 0.9 else b"."]
    return b"".join(parts)


def value(rng: random.Random, *, depth: int) -> bytes:
    if depth > 3:
        return number(rng)
    kinds = (number, text, array, tensor, call, changed, stray)
    kind = rng.choice(kinds)
    return kind(rng) if kind in (number, text, stray) else kind(rng, depth + 1)  # type: ignore[operator, call-arg]  # the two groups


def number(rng: random.Random) -> bytes:
    choices = (0, 1, 2, 3, -1, 8, 255, 1 << 31, 1 << 40, 1 << 62, (1 << 64) - 1, -(1 << 63))
    whole = rng.choice(choices)
    size = (whole.bit_length() + 8) // 8
    return rng.choice(
        [b"\x8a" + bytes([size]) + whole.to_bytes(size, "little", signed=True), b"N", b"\x89"]
    )


def text(rng: random.Random) -> bytes:
    raw = rng.choice([b"", b"<", b"|", b"O", rng.randbytes(rng.choice([1, 4, 8, 16, 24]))])
    return rng.choice([b"U", b"C"]) + bytes([len(raw)]) + raw


def name(rng: random.Random, known: str = "") -> bytes:
    module, _, own = (known or rng.choice(NAMES)).rpartition(".")
    return f"c{module}\n{own}\n".encode()


def element(rng: random.Random, depth: int) -> bytes:
    """A dtype, whose state may hide fields."""
    kind = rng.choice(ELEMENTS).encode()
    made = name(rng, "numpy.dtype") + b"U" + bytes([len(kind)]) + kind + b"K\x00K\x01\x87R"
    plain = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    hidden = b"(K\x03U\x01|N(U\x01xt}U\x01x" + made + b"K\x00\x86sK\x08K\x01K\x00tb"
    odd = b"(" + b"".join(value(rng, depth=depth + 1) for _ in range(8)) + b"tb"
    return made + rng.choice([b"", plain, plain, hidden, odd])


def shape(rng: random.Random) -> bytes:
    sides = (number(rng) if rng.random() < 0.3 else b"K" + bytes([rng.randrange(4)]) for _ in "ab")
    return b"(" + b"".join(sides) + b"t"


def array(rng: random.Random, depth: int) -> bytes:
    empty = name(rng, "numpy.core.multiarray._reconstruct") + name(rng, "numpy.ndarray")
    state = b"(K\x01" + shape(rng) + element(rng, depth) + b"\x89" + text(rng) + b"tb"
    return empty + b"K\x00\x85U\x01b\x87R" + state


def tensor(rng: random.Random, depth: int) -> bytes:
    reference = b"(U\x07storage" + name(rng, "torch.FloatStorage") + b"U\x010U\x03cpu"
    reference += (b"K\x06" if rng.random() < 0.7 else number(rng)) + b"tQ"
    offset = b"K\x00" if rng.random() < 0.6 else number(rng)
    stride = rng.choice([b"K\x02K\x01\x86", shape(rng)])
    return (
        name(rng, "torch._utils._rebuild_tensor_v2")
        + b"("
        + (reference if rng.random() < 0.9 else value(rng, depth=depth))
        + offset
        + shape(rng)
        + stride
        + b"\x89NtR"
    )


def call(rng: random.Random, depth: int) -> bytes:
    arguments = b"".join(value(rng, depth=depth) for _ in range(rng.randrange(4)))
    return name(rng) + b"(" + arguments + b"t" + rng.choice([b"R", b"\x81"])


def changed(rng: random.Random, depth: int) -> bytes:
    """Any value under any state."""
    return value(rng, depth=depth) + value(rng, depth=depth) + b"b"


def stray(rng: random.Random) -> bytes:
    return b"".join(rng.choices(OPCODES, k=rng.randrange(3)))


def sound_files(folder: Path) -> list[bytes]:
    """A file of each kind, to be mutated."""
    weights = {"model": {"w": torch.arange(6.0).view(2, 3), "n": torch.tensor(3)}}
    files = [pickle.dumps({"model": {"w": np.arange(6.0), "i": np.int64(3)}}, protocol=2)]
    for number, new in enumerate((True, False)):
        path = folder / f"sound{number}.pth"
        torch.save(weights, path, _use_new_zipfile_serialization=new)
        files.append(path.read_bytes())
    return files


def mutated(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(len(changed))
        changed[place : place + rng.choice([0, 1, 1, 4])] = rng.randbytes(rng.choice([1, 1, 4]))
    return bytes(changed)


def read_many(folder: Path, *, count: int, seed: int) -> dict[str, int]:
    """Read ``count`` files, half of them random pickles and half mutated; how many were sound or refused.

    Whatever comes out is read to its last element.
    """
    rng, sound = random.Random(seed), sound_files(folder)
    path, ends = folder / "fuzz.pth", {"read": 0, "refused": 0, "several lines": 0}
    for number in range(count):
        data = random_pickle(rng) if number % 2 else mutated(rng, rng.choice(sound))
        path.write_bytes(data)
        (folder / "last.pth").write_bytes(data)
        try:
            for tensor in read_checkpoint_file(path).tensors.values():
                torch.nan_to_num(tensor[:4].double()).sum() if tensor.dim() else tensor.item()
            ends["read"] += 1
        except UserError as error:
            ends["refused" if "\n" not in str(error) else "several lines"] += 1
    return ends


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    ends: dict[str, Any] = read_many(given.folder, count=given.count, seed=given.seed)
    print(f"read {ends['read']} refused {ends['refused']} several {ends['several lines']}")


if __name__ == "__main__":
    main()
