"""A part of a stage's images, for one of several jobs that know nothing of each other: ``--shard 2/4``."""

import re
from typing import NamedTuple

from lvistk.errors import UserError


class Portion(NamedTuple):
    """Every ``count``-th shard of a detection store, from the ``number``-th on.

    number: 1 to count. count: into how many portions the shards are divided.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Portion":
        """``2/4`` as typed; anything else is a ``UserError``."""
        read = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        portion = cls(int(read[1]), int(read[2])) if read else cls(0, 0)
        if not 1 <= portion.number <= portion.count:
            raise UserError(f"--shard {text}: write I/N with I from 1 to N, such as --shard 2/4")
        return portion

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
