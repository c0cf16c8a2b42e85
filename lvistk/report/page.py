"""The page as one HTML file: styles, charts and images are inside."""

import datetime
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from lvistk import __version__
from lvistk.report.breakdowns import count_section, precision_section, ratio_section
from lvistk.report.charts import COLORS
from lvistk.report.examine import Examined
from lvistk.report.gallery import example_section, missing_section
from lvistk.report.gather import Run
from lvistk.report.markup import escape
from lvistk.report.mistakes import category_section, error_section
from lvistk.report.scores import group_section, headline, score_section
from lvistk.report.settings import stage_section
from lvistk.report.training import training_section

MISSED = {
    "images": "images",
    "precision": "precision and recall, kinds of error",
    "missing": "missing annotations",
    "training": "training curves",
    "counts": "AP against training images and categories",
    "ratio": "AP against area ratio",
    "stages": "stages and settings",
}


def render(
    runs: Sequence[Run],
    examined: Sequence[Examined],
    *,
    reasons: Sequence[str],
    images: Path | None,
    examples: int,
    cache: Path,
) -> str:
    """The whole page as HTML. A section without data is left out, and the foot of the page says so.

    runs: what the page is about
    examined: evaluations that were done again
    reasons: a sentence for each that was not
    images: folder of the images; None: as the stages name it
    examples: most images shown
    cache: folder of annotation indices
    """
    stages = [stage for run in runs for stage in run.stages]
    scored = [stage for stage in stages if stage.is_score]
    colors = {stage.label: k % COLORS for k, stage in enumerate(scored)}
    possible = [
        score_section(scored),
        group_section(scored, colors),
        ratio_section(scored, colors),
        count_section(scored, colors),
        precision_section(examined, colors),
        error_section(examined, colors),
        category_section(scored),
        example_section(examined, stages, images=images, count=examples, cache=cache),
        missing_section(stages, images=images, count=max(examples // 2, 1), cache=cache),
        training_section(stages),
        stage_section(stages),
    ]
    sections = [section for section in possible if section is not None]
    absent = [text for anchor, text in MISSED.items() if anchor not in {s.anchor for s in sections}]
    title = ", ".join(run.name for run in runs)
    return _PAGE.format(
        title=escape(title),
        style=resources.files("lvistk").joinpath("assets/report.css").read_text("utf-8"),
        subtitle=_subtitle(runs),
        headline=headline(scored),
        contents="".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections),
        sections="".join(
            f'<section id="{s.anchor}"><h2>{escape(s.title)}</h2>{s.body}</section>'
            for s in sections
        ),
        foot=_foot(absent, reasons),
    )


def _subtitle(runs: Sequence[Run]) -> str:
    count = sum(len(run.stages) for run in runs)
    today = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    stages = f"{count} stage{'s' if count != 1 else ''}"
    return f"{stages}, read {today} by lvistk {escape(__version__)}"


def _foot(absent: Sequence[str], reasons: Sequence[str]) -> str:
    lines = [f"Not on this page, as there are no data: {', '.join(absent)}."] if absent else []
    lines += [f"{reason}." for reason in reasons]
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}: lvistk report</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="lead">{subtitle}</p>
{headline}
<nav>{contents}</nav>
</header>
<main>
{sections}
</main>
<footer>{foot}</footer>
</body>
</html>
"""
