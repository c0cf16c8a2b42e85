"""How well filter-missing would find what annotators left out of images that a teacher never saw.

    python pipelines/hidden_sets.py --detections runs/demo/pseudo_openimages \
        --full runs/demo/data/annotations/openimages_full_truth.json --seeds 3

Takes fully annotated images, hides a share of their instances as `lvistk generate` does (most of them with
the whole category, some marked as not exhaustive, some missed), several times, and prints precision and
recall of each rule as `lvistk filter-missing --against` does, as means over the hidden sets. Detections are
matched by file name, so that a pool can be measured. Beside the table of the training images it tells what
is gained by a teacher that did not see the images.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import typer

from lvistk import console
from lvistk.cli.app import run_and_exit
from lvistk.config.missing import MissingRule
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.store.detection_store import DetectionStore
from lvistk.selftrain.hidden import SCORES, HiddenMatches, match_hidden, sweep
from lvistk.selftrain.missing import Detected, Known, evidence
from lvistk.selftrain.training_images import known_of_image

REASONS = (0.6, 0.25, 0.15)
"""Shares of: the whole category is not looked for, it is marked as not exhaustive, an instance is missed."""


class Hiding(NamedTuple):
    """Share of the instances that is hidden, and share of the absent categories that is verified."""

    share: float
    negative: float


def main(
    detections: Annotated[Path, typer.Option(help="Result of pseudo-label on the images.")],
    full: Annotated[Path, typer.Option(help="Annotation file with every instance.")],
    share: Annotated[float, typer.Option(help="Of the instances that are hidden.")] = 0.23,
    negative: Annotated[float, typer.Option(help="Of the absent categories, verified.")] = 0.25,
    seeds: Annotated[int, typer.Option(help="Hidden sets.")] = 3,
) -> None:
    """Hide, measure, and print the means over the hidden sets."""
    with TemporaryDirectory() as cache:
        index = AnnotationIndex.open([full], cache=Path(cache))
        store = DetectionStore.open(detections)
        rows = [
            sweep(matches_of(index, store, Hiding(share, negative), seed=seed), MissingRule())
            for seed in range(seeds)
        ]
    for prefix, what in (("", "same category"), ("region_", "any category")):
        lines: dict[tuple[str, str], list[str]] = {}
        for same in zip(*rows, strict=True):
            key = (same[0]["rule"], same[0]["overlap"])
            precision, recall = (
                np.array([row[f"{prefix}{name}"] or 0.0 for row in same]) * 100
                for name in ("precision", "recall")
            )
            text = f"{precision.mean():.0f}±{precision.std():.0f}/{recall.mean():.0f}"
            lines.setdefault(key, []).append(text)
        console.table(
            f"precision/recall by score, {what} (%), {seeds} hidden sets",
            ("rule", "overlap", *(f"{score:g}" for score in SCORES)),
            [[*key, *values] for key, values in lines.items()],
            left=2,
        )


def matches_of(
    index: AnnotationIndex, store: DetectionStore, hiding: Hiding, *, seed: int
) -> HiddenMatches:
    """Detections beside one hidden set."""
    rng = np.random.default_rng(seed)
    rows = {Path(store.name(row)).stem: row for row in range(len(store))}
    matches = []
    for i in range(len(index)):
        row = rows.get(Path(index.file_name(i)).stem)
        every = known_of_image(index, i)
        known, hidden = hide(every, len(index.categories), hiding, rng)
        if row is not None:
            matches.append(
                match_hidden(
                    store[row],
                    evidence(Detected.of_image(store[row]), known),
                    boxes=every.boxes[hidden],
                    labels=every.labels[hidden],
                )
            )
    return HiddenMatches.concatenate(matches)


def hide(
    every: Known, categories: int, hiding: Hiding, rng: np.random.Generator
) -> tuple[Known, np.ndarray]:
    """What is left of an image's annotations, and the indices of the hidden ones.

    Instances are visited in random order until the share is hidden; a whole category goes at once.
    """
    hidden, incomplete = np.zeros(len(every.labels), bool), set()
    aim = hiding.share * len(every.labels) + rng.random() - 0.5
    for k in rng.permutation(len(every.labels)).tolist():
        if hidden.sum() >= aim or hidden[k]:
            continue
        same = every.labels == every.labels[k]
        reason = int(rng.choice(3, p=REASONS))
        if reason == 0:
            hidden |= same
            continue
        if (same & ~hidden).sum() > 1:
            hidden[k] = True
            if reason == 1:
                incomplete.add(int(every.labels[k]))
    absent = np.setdiff1d(np.arange(categories), every.labels)
    known = Known.of_image(
        every.boxes[~hidden],
        every.labels[~hidden],
        negative=absent[rng.random(len(absent)) < hiding.negative],
        not_exhaustive=np.intersect1d(every.labels[~hidden], np.array(sorted(incomplete), int)),
    )
    return known, np.flatnonzero(hidden)


if __name__ == "__main__":
    command = typer.Typer(pretty_exceptions_enable=False)
    command.command()(main)
    run_and_exit(command, name="hidden_sets.py")
