"""The picture of a ladder's steps: places and colours by hand, through the SVG that is written."""

import re
from xml.etree import ElementTree

import pytest

from lvistk.config.row import PublishedScores, RowSettings
from lvistk.report.ladder import COLUMNS, STEP_COLUMNS, RowResult, SeedStep
from lvistk.report.ladder_picture import DOWN, UNSURE, UP, steps_picture

SVG = "{http://www.w3.org/2000/svg}"


def row(name: str, *, over: str = "", step: float = 0.0, error: float | None = 0.01) -> RowResult:
    steps = {over: [dict.fromkeys(STEP_COLUMNS, SeedStep(step, error))]} if over else {}
    paper = PublishedScores(AP=0.2 if over else 0.19)
    return RowResult(name, RowSettings(paper=paper), [dict.fromkeys(COLUMNS, 0.1)], steps)


def marks(picture: str) -> dict[str, list[ElementTree.Element]]:
    """By what a mark is called, its groups: of AP, then of APr."""
    found: dict[str, list[ElementTree.Element]] = {}
    for group in ElementTree.fromstring(picture).iter(f"{SVG}g"):
        name = (group.findtext(f"{SVG}title") or "").partition(":")[0]
        found.setdefault(name, []).append(group)
    return found


def test_steps_stand_where_their_numbers_say() -> None:
    picture = steps_picture([row("a"), row("b", over="a", step=0.04)])
    ap, apr = marks(picture)["b over a"]
    dot, ring = ap.findall(f"{SVG}circle")[::-1]
    interval = ap.find(f"{SVG}line")
    assert interval is not None
    zero, six = (
        float(x) for x in re.findall(r'class="small middle" x="([^"]+)"[^>]*>[06]<', picture)[:2]
    )
    each = (six - zero) / 6  # the axis goes to 6, as 4 + 1.96 is the farthest
    assert float(dot.attrib["cx"]) == pytest.approx(zero + 4 * each, abs=0.1)
    assert float(ring.attrib["cx"]) == pytest.approx(zero + 1 * each, abs=0.1), (
        "the paper's .20 over .19"
    )
    ends = [float(interval.attrib[name]) for name in ("x1", "x2")]
    assert ends == pytest.approx([zero + (4 - 1.96) * each, zero + (4 + 1.96) * each], abs=0.1)
    assert len(apr.findall(f"{SVG}circle")) == 1, "the paper says no APr"


@pytest.mark.parametrize(
    ("step", "error", "color"),
    [(0.04, 0.01, UP), (-0.04, 0.01, DOWN), (0.01, 0.01, UNSURE), (0.04, None, UNSURE)],
)
def test_colours_say_whether_zero_is_excluded(step: float, error: float | None, color: str) -> None:
    picture = steps_picture([row("a"), row("b", over="a", step=step, error=error)])
    for group in marks(picture)["b over a"]:
        assert group.findall(f"{SVG}circle")[-1].attrib["fill"] == color
        assert (group.find(f"{SVG}line") is None) == (error is None)


def test_rows_are_chosen_and_names_are_escaped() -> None:
    rows = [row("a<b"), row("c", over="a<b"), row("d", over="c")]
    assert set(marks(steps_picture(rows))) == {"c over a<b", "d over c"}
    assert set(marks(steps_picture(rows, ["d"]))) == {"d over c"}
    assert steps_picture(rows, ["a<b"]) == "", "a first row is no step"
    undefined = row("e", over="c")
    undefined.steps["c"][0]["APr"] = SeedStep(None, None)  # type: ignore[index]
    assert len(marks(steps_picture([*rows, undefined]))["e over c"]) == 1
