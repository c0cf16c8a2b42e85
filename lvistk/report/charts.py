"""Charts as inline SVG: lines, points and grouped bars. Colours come from the page's style sheet.

A chart has WIDTH x HEIGHT units, about its size in pixels on a phone, so that its text stays readable there.
The classes ``s0`` to ``s5`` colour series; an SVG ``title`` is the tooltip.
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 38
COLORS = 6
DIGIT = 6.4
"""Width in units of a character of the values above bars, space between two values included."""
SHOWN = 5
"""Most evaluations in one chart: the last ones. Tables have all."""


@dataclass(frozen=True)
class Series:
    """One line, one cloud of points, or one row of bars.

    name: in the legend
    x, y: of each point; None in ``y`` leaves the point out
    color: 0 to COLORS - 1
    titles: tooltips, one per point; without them the name
    dashed: of a line
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    color: int = 0
    titles: Sequence[str] = ()
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """What an axis shows.

    label: its text
    low, high: its ends, widened to round ticks unless ``exact``
    log: whether it is logarithmic
    unit: text after each tick's number
    ticks: values with a tick
    """

    label: str
    low: float
    high: float
    log: bool = False
    exact: bool = False
    unit: str = ""
    ticks: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        low, high = self.low, self.high
        if high <= low:
            high = low * 2 if self.log and low > 0 else low + 1
        if self.log:
            ticks = log_ticks(low, high)
        else:
            ticks = round_ticks(low, high)
            if not self.exact:
                low, high = min(low, ticks[0]), max(high, ticks[-1])
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "ticks", tuple(t for t in ticks if low <= t <= high))

    def share(self, value: float) -> float:
        """Position of ``value`` between the ends, 0 to 1."""
        if self.log:
            span = math.log(self.high) - math.log(self.low)
            return (math.log(max(value, self.low)) - math.log(self.low)) / span
        return (value - self.low) / (self.high - self.low)


def round_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About ``count`` multiples of 1, 2, 2.5 or 5 times a power of ten that cover low..high."""
    raw = (high - low) / max(count - 1, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(k * step, 10) for k in range(first, last + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten within low..high; multiples of them too if there are fewer than three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]
        if len(ticks) >= 3:
            break
    return tuple(ticks)


def line_chart(series: Sequence[Series], *, x: Axis, y: Axis) -> str:
    """Lines; None in ``y`` interrupts a line."""
    return _chart(x, y, "".join(_line(one, x, y) for one in series))


def scatter_chart(
    series: Sequence[Series], *, x: Axis, y: Axis, trend: Sequence[Series] = ()
) -> str:
    """Points with tooltips, and lines through them."""
    dots = [
        f'<circle class="dot s{one.color % COLORS}" cx="{_x(a, x)}" cy="{_y(b, y)}" r="3.2">'
        f"<title>{html.escape(one.titles[k] if one.titles else one.name)}</title></circle>"
        for one in series
        for k, (a, b) in enumerate(zip(one.x, one.y, strict=True))
        if b is not None
    ]
    return _chart(x, y, "".join(dots) + "".join(_line(one, x, y) for one in trend))


def bar_chart(groups: Sequence[str], series: Sequence[Series], *, y: Axis) -> str:
    """Bars of all series side by side in each of the ``groups``; None in ``y`` gives no bar."""
    width = (WIDTH - LEFT - RIGHT) / max(len(groups), 1)
    bar = min(0.78 * width / max(len(series), 1), 46)
    zero = _y(max(min(0.0, y.high), y.low), y)
    values = [value for one in series for value in one.y if value is not None]
    room = DIGIT * max((len(_bar_value(value)) for value in values), default=0)
    marks = []
    for s, one in enumerate(series):
        for g, value in enumerate(one.y):
            if value is None:
                continue
            middle = LEFT + (g + 0.5) * width
            left = middle + (s - len(series) / 2) * bar
            top = min(_y(value, y), zero)
            text = one.titles[g] if one.titles else f"{one.name}: {number(value)}"
            marks.append(
                f'<rect class="bar s{one.color % COLORS}" x="{left + 1:.1f}" y="{top:.1f}" '
                f'width="{bar - 2:.1f}" height="{max(abs(_y(value, y) - zero), 0.8):.1f}" rx="1.5">'
                f"<title>{html.escape(text)}</title></rect>"
            )
            if bar >= room:
                over = top - 4 if value >= 0 else zero + abs(_y(value, y) - zero) + 11
                marks.append(
                    f'<text class="value" x="{left + bar / 2:.1f}" y="{over:.1f}">'
                    f"{_bar_value(value)}</text>"
                )
    names = [
        f'<text class="tick middle" x="{LEFT + (g + 0.5) * width:.1f}" y="{HEIGHT - BOTTOM + 15}">'
        f"{html.escape(name)}</text>"
        for g, name in enumerate(groups)
    ]
    line = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{zero}" y2="{zero}"/>'
    return _svg(_y_axis(y) + "".join(marks) + line + "".join(names))


def legend(series: Sequence[Series]) -> str:
    """Names of the series beside their colours."""
    items = [
        f'<li><i class="s{one.color % COLORS}{" dashed" if one.dashed else ""}"></i>'
        f"{html.escape(one.name)}</li>"
        for one in series
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def number(value: float) -> str:
    """A number as an axis shows it: 12.5, 0.01, 2k, −3 (with a minus sign, not a hyphen)."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        text = f"{value / 1000:g}k"
    else:
        text = f"{value:.1f}" if abs(value) >= 1 and value % 1 else f"{value:.3g}"
    return text.replace("-", "−")


def _bar_value(value: float) -> str:
    """A number as a bar shows it, to one decimal."""
    if not value % 1 or abs(value) >= 1000:
        return number(value)
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")


def _line(one: Series, x: Axis, y: Axis) -> str:
    paths, pen = [], "M"
    for a, b in zip(one.x, one.y, strict=True):
        if b is None:
            pen = "M"
            continue
        paths.append(f"{pen}{_x(a, x)} {_y(b, y)}")
        pen = "L"
    style = f"line s{one.color % COLORS}{' dashed' if one.dashed else ''}"
    title = f"<title>{html.escape(one.name)}</title>"
    drawn = f'<path class="{style}" d="{"".join(paths)}">{title}</path>'
    if len(one.x) > 12:
        return drawn
    dots = [
        f'<circle class="dot s{one.color % COLORS}" cx="{_x(a, x)}" cy="{_y(b, y)}" r="3">'
        f"<title>{html.escape(one.titles[k] if one.titles else one.name)}</title></circle>"
        for k, (a, b) in enumerate(zip(one.x, one.y, strict=True))
        if b is not None
    ]
    return drawn + "".join(dots)


def _chart(x: Axis, y: Axis, marks: str) -> str:
    return _svg(_y_axis(y) + _x_axis(x) + marks)


def _svg(content: str) -> str:
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{content}</svg>'


def _x_axis(axis: Axis) -> str:
    foot = HEIGHT - BOTTOM
    ticks = [
        f'<text class="tick middle" x="{_x(t, axis)}" y="{foot + 15}">{number(t)}</text>'
        for t in axis.ticks
    ]
    line = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{foot}" y2="{foot}"/>'
    label = (
        f'<text class="label end" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}">{html.escape(axis.label)}'
        "</text>"
    )
    return line + "".join(ticks) + label


def _y_axis(axis: Axis) -> str:
    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(t, axis)}" '
        f'y2="{_y(t, axis)}"/><text class="tick end" x="{LEFT - 6}" y="{_y(t, axis) + 3.5}">'
        f"{number(t)}{axis.unit}</text>"
        for t in axis.ticks
    ]
    return "".join(lines)


def _x(value: float, axis: Axis) -> float:
    return round(LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(value: float, axis: Axis) -> float:
    return round(HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM), 1)
