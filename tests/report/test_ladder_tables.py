"""Tables of a ladder: spreads, steps and their errors, by hand."""

import math

import pytest

from lvistk.config.row import PublishedScores, RowSettings
from lvistk.report.ladder import (
    COLUMNS,
    STEP_COLUMNS,
    RowResult,
    SeedStep,
    markdown,
    spread,
    step_of,
)


def scores(value: float | None) -> dict[str, float | None]:
    return dict.fromkeys(COLUMNS, value)


def steps(*values: tuple[float | None, float | None]) -> list[dict[str, SeedStep]]:
    return [dict.fromkeys(STEP_COLUMNS, SeedStep(*value)) for value in values]


def test_mean_and_sample_deviation() -> None:
    assert spread([0.1, 0.3]) == pytest.approx((0.2, 0.1 * math.sqrt(2)))
    assert spread([0.125]) == (0.125, None)
    assert spread([0.1, None]) == (None, None)
    assert spread([]) == (None, None)


def test_the_error_of_a_step_is_of_images_and_seeds() -> None:
    """Images: the root of the mean of .03^2 and .04^2; seeds: deviation .02 sqrt(2) over sqrt(2)."""
    step = step_of([SeedStep(0.01, 0.03), SeedStep(0.05, 0.04)])
    assert step.mean == pytest.approx(0.03)
    assert step.error == pytest.approx(math.sqrt((0.03**2 + 0.04**2) / 2 + 0.02**2))
    assert step_of([SeedStep(0.01, 0.03)]) == (0.01, (0.01,), 0.03)
    assert step_of([SeedStep(0.01, None)]).error is None
    assert step_of([]) == (None, (), None)


def test_rows_and_steps_beside_the_papers() -> None:
    first = RowResult(
        "a", RowSettings(title="A", paper=PublishedScores(AP=0.192)), [scores(0.1)], {}
    )
    second = RowResult(
        "b",
        RowSettings(paper=PublishedScores(AP=0.203, APr=0.02)),
        [scores(0.1), scores(0.3)],
        {"a": steps((0.02, 0.01)), "c": []},
    )
    never = RowResult("c", RowSettings(), [], {})
    lines = markdown([first, second, never])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["A", "1", *["10.0"] * len(COLUMNS), "19.2", ""]
    assert cells[3] == ["b", "2", *["20.0 ± 14.1"] * len(COLUMNS), "20.3", "2.0"]
    assert cells[-1] == ["b", "A", "1", *["+2.0 (0.0 to 4.0)"] * len(STEP_COLUMNS), "+1.1", ""]
    assert len(lines) == 4 + 1 + 3


def test_a_row_is_called_by_its_number_and_title() -> None:
    """As texts refer to it: "row 47"."""
    settings = RowSettings(title="all of stage 2")
    assert RowResult("47_all", settings, [], {}).title == "47 all of stage 2"
    assert RowResult("47_all", RowSettings(), [], {}).title == "47_all"
    assert RowResult("all", settings, [], {}).title == "all of stage 2"


def test_the_papers_step_may_be_over_another_row() -> None:
    first = RowResult("a", RowSettings(paper=PublishedScores(AP=0.192)), [scores(0.1)], {})
    settings = RowSettings(
        paper=PublishedScores(AP=0.347, APr=0.266),
        paper_before=PublishedScores(AP=0.332, APr=0.237),
    )
    second = RowResult("b", settings, [scores(0.1)], {"a": steps((0.0, 0.01))})
    assert markdown([first, second])[-1].endswith("| +1.5 | +2.9 |")
