"""Pieces of HTML that the sections share. Scores come as 0 to 1; the page shows percent."""

import html
from collections.abc import Sequence
from typing import NamedTuple

escape = html.escape


class Section(NamedTuple):
    """A part of the page.

    anchor: id of the HTML element, which the list of contents links to
    title: its heading
    body: HTML
    """

    anchor: str
    title: str
    body: str


def percent(value: float | None, *, digits: int = 1) -> str:
    """``0.1234`` as ``12.3``, with a minus sign instead of a hyphen; a dash for None."""
    return (
        "–" if value is None else f"{round(100 * value, digits) + 0.0:.{digits}f}".replace("-", "−")
    )


def change(after: float | None, before: float | None, *, judged: bool = True) -> str:
    """The difference in points as small text; empty if one of the scores is None.

    judged: whether a gain is green and a loss red
    """
    if after is None or before is None:
        return ""
    points = round(100 * (after - before), 1)
    kind = "none" if not judged or points == 0 else "up" if points > 0 else "down"
    return f'<small class="{kind}">{signed(points)}</small>'


def signed(points: float) -> str:
    """``+1.2``, ``−0.3``, and ``±0.0`` for what rounds to zero."""
    points = round(points, 1)
    sign = "+" if points > 0 else "−" if points < 0 else "±"
    return f"{sign}{abs(points):.1f}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table that scrolls within its frame.

    columns, rows: heads and cells as HTML
    left: columns of text, aligned left
    """
    head = "".join(f"<th{_left(k, left)}>{name}</th>" for k, name in enumerate(columns))
    body = "".join(
        "<tr>" + "".join(f"<td{_left(k, left)}>{cell}</td>" for k, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def meter(share: float, *, color: int = 0) -> str:
    """A small bar, filled to ``share`` (0 to 1) of its length."""
    filled = 100 * min(max(share, 0.0), 1.0)
    return f'<span class="meter s{color}"><i style="width:{filled:.1f}%"></i></span>'


def figure(title: str, content: str, *, note: str = "") -> str:
    """A title, the HTML ``note`` below it, and the HTML ``content``, such as a chart."""
    return f"<figure><figcaption><h3>{escape(title)}</h3>{note}</figcaption>{content}</figure>"


def grid(figures: Sequence[str]) -> str:
    return f'<div class="grid">{"".join(figures)}</div>'


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def lead(text: str) -> str:
    return f'<p class="lead">{escape(text)}</p>'


def _left(column: int, left: int) -> str:
    return ' class="left"' if column < left else ""
