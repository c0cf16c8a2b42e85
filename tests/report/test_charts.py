"""Ticks and marks of the report's charts."""

import pytest

from lvistk.report.charts import (
    Axis,
    Series,
    bar_chart,
    line_chart,
    log_ticks,
    number,
    round_ticks,
)
from lvistk.report.markup import percent, signed


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, (0, 0.25, 0.5, 0.75, 1)),
        (0, 37, (0, 10, 20, 30, 40)),
        (-3, 8, (-5, 0, 5, 10)),
        (0, 0.004, (0, 0.001, 0.002, 0.003, 0.004)),
    ],
)
def test_round_ticks_cover_the_values(low: float, high: float, ticks: tuple) -> None:
    assert round_ticks(low, high) == pytest.approx(ticks)


def test_log_ticks_are_enough() -> None:
    assert log_ticks(1, 10_000) == (1, 10, 100, 1000, 10_000)
    assert log_ticks(3, 40) == pytest.approx((3, 10, 30))
    assert len(log_ticks(1.2, 8)) >= 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12.5, "12.5"),
        (1000, "1k"),
        (20_000, "20k"),
        (0.025, "0.025"),
        (3.0, "3"),
        (-5, "−5"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_marks_lie_where_their_values_are() -> None:
    axis = Axis("", 0, 10, exact=True)
    assert axis.share(2.5) == 0.25
    assert Axis("", 1, 100, log=True).share(10) == pytest.approx(0.5)
    assert Axis("", 5, 5).high > 5  # all values the same


def test_undefined_values_leave_gaps() -> None:
    axis = Axis("", 0, 4, exact=True)
    drawn = line_chart([Series("a", [0, 1, 2, 3], [1, None, 2, 3])], x=axis, y=axis)
    assert drawn.count("M") == 2 and drawn.count("<circle") == 3
    bars = bar_chart(["x", "y"], [Series("<a>", [0, 1], [None, 2.0])], y=axis)
    assert bars.count("<rect") == 1 and "&lt;a&gt;" in bars
    assert "None" not in drawn + bars and "nan" not in drawn + bars


def test_values_stand_on_bars_that_have_room() -> None:
    axis = Axis("", 0, 4)
    wide = bar_chart(["x", "y"], [Series("a", [0, 1], [1.5, 2.5])], y=axis)
    assert wide.count('class="value"') == 2
    many = [Series(str(k), [0, 1, 2], [12.1, 12.8, 13.8]) for k in range(4)]
    assert 'class="value"' not in bar_chart(["r", "c", "f"], many, y=axis)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.1234, "12.3"), (-0.001, "−0.1"), (-0.0001, "0.0")]
)
def test_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(("points", "text"), [(1.2, "+1.2"), (-0.3, "−0.3"), (0.04, "±0.0")])
def test_signed(points: float, text: str) -> None:
    assert signed(points) == text
