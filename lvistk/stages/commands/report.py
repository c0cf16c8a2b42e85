"""``lvistk report``: one HTML page about one run or several."""

from collections.abc import Sequence
from pathlib import Path

from lvistk import console
from lvistk.data.index.index_cache import cache_beside
from lvistk.report.examine import Examined, examine
from lvistk.report.gather import read_runs
from lvistk.report.page import render
from lvistk.whole_file import whole_file


def run(
    runs: Sequence[Path],
    out: Path | None = None,
    *,
    images: Path | None = None,
    examples: int = 12,
    threads: int = 0,
) -> Path:
    """Write the page about some runs; returns its path.

    runs: pipeline folders, stage folders, or files ``metrics.json``
    out: the page; None: ``report.html`` in the first run's folder
    images: folder of the images, if no stage names it
    examples: most images shown
    threads: of evaluations, 0 is one per core

    Evaluations are done again if their inputs still exist, for curves and kinds of error. Raises
    ``UserError`` for a folder that is no run.
    """
    every_run = read_runs(runs)
    first = runs[0] if runs[0].is_dir() else runs[0].parent
    page = out or first / "report.html"
    scored = [stage for one in every_run for stage in one.stages if stage.is_score]
    examined: list[Examined] = []
    reasons: list[str] = []
    with console.progress("report: evaluations", len(scored)) as line:
        for stage in scored:
            again = examine(stage, threads=threads)
            if isinstance(again, Examined):
                examined.append(again)
            else:
                reasons.append(again)
                if stage.manifest:
                    console.warn(f"{again}: no images and no curves of that evaluation on the page")
            line.advance()
    text = render(
        every_run,
        examined,
        reasons=reasons,
        images=images,
        examples=examples,
        cache=cache_beside(page),
    )
    with whole_file(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    console.say(f"report: {page} ({page.stat().st_size / 1e6:.1f} MB)")
    return page
