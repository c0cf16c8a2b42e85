"""The generated categories: a shape family with its parameter, a texture and a hue it tends to.

Categories are ranked by popularity. The tail consists of variants of families in the head (a comb
with more teeth), so that what is learnt from frequent categories helps the rare ones. The list
doesn't depend on the seed: another seed draws other images of the same things.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

from lvistk.data.synthetic.shapes import BY_NAME, FAMILIES, Family

TEXTURES = ("flat", "shaded", "striped", "checked", "dotted", "mottled")
HUES = 9
Mix = Literal["mixed", "solid", "siblings"]
HEAD = ["ring", "box", "comb", "disk", "pole", "star", "ladder", "polygon", "wire", "cross"]
MIDDLE = ["fork", "flower", "net", "crescent", "wheel", "gear", "arrow", "spiral"]
SOLID = [
    *(
        ("box", 0),
        ("ring", 0),
        ("disk", 0),
        ("pole", 0),
        ("polygon", 1),
        ("flower", 1),
        ("wire", 0),
    ),
    *(("gear", 1), ("box", 1), ("polygon", 0), ("star", 1), ("cross", 2), ("disk", 1), ("gear", 0)),
    *(("flower", 0), ("box", 3), ("polygon", 2), ("cross", 0), ("disk", 3), ("star", 0)),
]
"""Families and variants of the solid mix: three thin categories in the head, compact ones beside."""
SIBLINGS = [
    # the head: the first fourteen of the solid mix, in its order, so that a detector of that mix knows them
    *SOLID[:14],
    # the middle
    ("box", 2),
    ("ring", 1),
    ("disk", 2),
    ("pole", 1),
    ("polygon", 3),
    ("flower", 0),
    ("arrow", 0),
    ("gear", 3),
    ("box", 3),
    ("polygon", 2),
    ("star", 0),
    ("cross", 0),
    ("disk", 3),
    ("crescent", 0),
    # the tail: each a variant of a shape above
    ("arrow", 1),
    ("ring", 3),
    ("crescent", 1),
    ("pole", 3),
    ("star", 3),
    ("flower", 3),
    ("wire", 1),
    ("gear", 2),
    ("flower", 2),
    ("crescent", 3),
    ("star", 2),
    ("cross", 3),
    ("arrow", 2),
    ("crescent", 2),
]
"""Families and variants of the siblings mix: fourteen frequent categories, fourteen common, fourteen rare."""


@dataclass(frozen=True)
class Kind:
    """A category: what it looks like, and its rank in popularity (0 is the most frequent)."""

    rank: int
    name: str
    definition: str
    family: Family
    value: float
    texture: str  # of most of its instances
    hue: float  # in [0, 1), of most of its instances


def _mixed() -> list[tuple[str, int, int]]:
    """The most popular categories of the usual mix, most of them thin or open."""
    head = [(name, 0, 0) for name in HEAD]
    head.insert(8, ("comb", 1, 0))  # two frequent categories that only their teeth tell apart
    middle = [(name, 0, 0) for name in MIDDLE]
    middle.insert(1, ("star", 1, 0))
    tail = [(name, 1, 0) for name in ("ring", "fork", "box", "cross", "disk", "ladder", "pole")]
    return head + middle + tail


def _order(mix: Mix) -> list[tuple[str, int, int]]:
    """(family, variant, round) of every possible category, the most popular first."""
    match mix:
        case "mixed":
            chosen = _mixed()
        case "solid":
            chosen = [(name, variant, 0) for name, variant in SOLID]
        case "siblings":
            chosen = [(name, variant, 0) for name, variant in SIBLINGS]
    taken = set(chosen)
    rounds = 2 + 2000 // (len(FAMILIES) * 4)
    rest = [
        (family.name, variant, turn)
        for turn in range(rounds)
        for variant in range(len(FAMILIES[0].values))
        for family in FAMILIES
        if (family.name, variant, turn) not in taken
    ]
    return chosen + rest


@lru_cache(maxsize=8)
def kinds(count: int, mix: Mix = "mixed") -> tuple[Kind, ...]:
    """The `count` most popular categories, ranked; texture and hue follow from the rank."""
    result = []
    for rank, (name, variant, turn) in enumerate(islice(_order(mix), count)):
        family = BY_NAME[name]
        value = family.values[variant]
        texture = TEXTURES[(rank * 5 + turn) % len(TEXTURES)]
        label = f"{value:g}".replace(".", "")
        full = f"{name}_{label}" if turn == 0 else f"{name}_{label}_{texture}_{turn}"
        meaning = f"a {name} with {family.meaning.format(f'{value:g}')}, often {texture}"
        hue = (rank * 4 % HUES) / HUES
        result.append(Kind(rank, full, meaning, family, value, texture, hue))
    return tuple(result)
