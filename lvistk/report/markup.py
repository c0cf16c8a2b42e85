"""Pieces of HTML that the sections share. Values are fractions; the page shows percent."""

import html
from collections.abc import Sequence
from typing import NamedTuple

escape = html.escape


class Section(NamedTuple):
    """A part of the page; ``anchor`` is its place in the list of contents."""

    anchor: str
    title: str
    body: str


def percent(value: float | None, *, digits: int = 1) -> str:
    """``0.1234`` as ``12.3``, with a real minus; a dash where undefined."""
    return (
        "–" if value is None else f"{round(100 * value, digits) + 0.0:.{digits}f}".replace("-", "−")
    )


def change(after: float | None, before: float | None, *, judged: bool = True) -> str:
    """The difference in points; nothing where one is undefined.

    ``judged``: coloured, since more is better.
    """
    if after is None or before is None:
        return ""
    points = round(100 * (after - before), 1)
    kind = "none" if not judged or points == 0 else "up" if points > 0 else "down"
    return f'<small class="{kind}">{signed(points)}</small>'


def signed(points: float) -> str:
    """``+1.2``, ``−0.3`` with a real minus, ``±0.0`` for what rounds to nothing."""
    points = round(points, 1)
    sign = "+" if points > 0 else "−" if points < 0 else "±"
    return f"{sign}{abs(points):.1f}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table of ready HTML cells; the first ``left`` columns are text. It scrolls within itself."""
    head = "".join(f"<th{_left(k, left)}>{name}</th>" for k, name in enumerate(columns))
    body = "".join(
        "<tr>" + "".join(f"<td{_left(k, left)}>{cell}</td>" for k, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def meter(share: float, *, color: int = 0) -> str:
    """A small bar, filled to ``share`` of its length."""
    filled = 100 * min(max(share, 0.0), 1.0)
    return f'<span class="meter s{color}"><i style="width:{filled:.1f}%"></i></span>'


def figure(title: str, content: str, *, note: str = "") -> str:
    """A card: a title, a line below it, and a chart."""
    below = f"{note}" if note else ""
    return f"<figure><figcaption><h3>{escape(title)}</h3>{below}</figcaption>{content}</figure>"


def grid(figures: Sequence[str]) -> str:
    return f'<div class="grid">{"".join(figures)}</div>'


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def lead(text: str) -> str:
    return f'<p class="lead">{escape(text)}</p>'


def _left(column: int, left: int) -> str:
    return ' class="left"' if column < left else ""
