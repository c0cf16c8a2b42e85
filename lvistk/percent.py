"""Shares and scores of 0 to 1 as people read them, in percent."""


def in_percent(value: float | None) -> float | None:
    """100 times ``value``; none stays none."""
    return None if value is None else 100 * value


def percent_text(value: float | None, *, decimals: int = 1) -> str:
    """``value`` in percent without the sign: ``.337`` is "33.7", none is "-"."""
    return "-" if value is None else f"{100 * value:.{decimals}f}"
