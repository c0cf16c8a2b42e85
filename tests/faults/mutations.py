"""Sound inputs with a few values or bytes changed, and shapes that no sound input has."""

import copy
import json
import random
from typing import Any

STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1.5,
    1e300,
    -1e-300,
    float("nan"),
    float("inf"),
    2**31,
    2**63,
    -(2**70),
    10**400,
    "",
    "1",
    "1e5",
    "é\u0000",
    "\ud800",
    "\u202e",
    [],
    {},
    [[]],
    [None],
    {"size": [3, 3], "counts": ""},
    [[0, 0, 1, 1]],
)
SIGNS = b'[]{}",:-.eE0193 \x00\xff\\ntu\xed\xa0'


def mutated_value(rng: random.Random, sound: Any) -> bytes:
    """The JSON ``sound`` with up to three values replaced, left out, doubled or nested."""
    data = copy.deepcopy(sound)
    for _ in range(rng.randint(1, 3)):
        _mutate(rng, data)
    return json.dumps(data).encode("utf-8", "surrogatepass")


def _mutate(rng: random.Random, node: Any) -> None:
    while isinstance(node, dict | list) and node:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        child = node[key]
        if isinstance(child, dict | list) and child and rng.random() < 0.8:
            node = child
            continue
        match rng.randrange(5):
            case 0 | 1:
                node[key] = rng.choice(STRANGE)
            case 2:
                del node[key]
            case 3:
                node[key] = [child, child]
            case _ if isinstance(node, list):
                node.insert(key, copy.deepcopy(rng.choice(node)))
            case _:
                node[rng.choice(("x", "id", "counts"))] = child
        return


def mutated_bytes(rng: random.Random, sound: bytes) -> bytes:
    """``sound`` with up to four pieces replaced, removed, doubled, or the rest cut off."""
    data = bytearray(sound)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.choice(SIGNS)])
            case 1:
                data[at : at + 1] = rng.randbytes(1)
            case 2:
                del data[at : at + rng.randint(1, 30)]
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 30)]
            case _ if rng.random() < 0.2:
                del data[at:]
            case _:
                data[at : at + 4] = rng.randbytes(4)
    return bytes(data)
