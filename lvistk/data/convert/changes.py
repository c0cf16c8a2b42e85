"""What a conversion left out and corrected, by kind, with the records that it concerns."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

SHOWN = 5
"""Records named in a line; the others are counted."""
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass
class Changes:
    """Records by kind of change.

    left_out: what is not in the converted file; the categories concerned are not exhaustive in their images
    corrected: what is in the converted file, mended
    notes: whole lines about the source
    """

    left_out: dict[str, list[str]] = field(default_factory=dict)
    corrected: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, kind: str, record: object) -> None:
        """Note that ``record`` (an id or a file) is not in the converted file."""
        self.left_out.setdefault(kind, []).append(str(record))

    def correct(self, kind: str, record: object) -> None:
        """Note that ``record`` (an id or a file) is in the converted file, mended."""
        self.corrected.setdefault(kind, []).append(str(record))

    def lines(self) -> Iterator[str]:
        """One line for each kind of change, without the name of the source."""
        yield from self.notes
        for what, changes in (("left out", self.left_out), ("corrected", self.corrected)):
            for kind, records in _alike(changes).items():
                shown = ", ".join(records[:SHOWN])
                more = ", ..." if len(records) > SHOWN else ""
                yield f"{what}: {len(records)} {kind} ({shown}{more})"


def _alike(changes: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Records by kind; kinds that differ in their numbers only are one, under the first one's words."""
    words: dict[str, str] = {}
    alike: dict[str, list[str]] = {}
    for kind, records in changes.items():
        first = words.setdefault(_NUMBER.sub("#", kind), kind)
        alike.setdefault(first, []).extend(records)
    return alike
