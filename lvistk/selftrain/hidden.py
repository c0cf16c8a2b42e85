"""How many hidden instances a rule for missing annotations finds, where fuller annotations are known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lvistk.config.missing import MissingRule
from lvistk.selftrain.missing import Evidence, is_missing, overlaps
from lvistk.structures.categories import Categories
from lvistk.structures.detections import Detections

MATCH_IOU = 0.5
"""IoU of boxes from which a detection shows a hidden instance, and two annotations mean the same instance."""
SCORES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OVERLAPS: Mapping[str, Mapping[str, Any]] = {
    "IoU .1": {"max_iou": 0.1},
    "IoU .3": {"max_iou": 0.3},
    "IoU .5": {"max_iou": 0.5},
    "IoU .3, IoF .5": {"max_iou": 0.3, "max_iof": 0.5},
    "IoU .3, other category .7": {"max_iou": 0.3, "other_iou": 0.7, "other_score": 0.0},
    "IoU .3, not exhaustive at .3": {"max_iou": 0.3, "not_exhaustive_score": 0.3},
}
"""What is compared, by name: settings of ``MissingRule``. The first is the paper's words taken narrowly."""


@dataclass(eq=False)
class HiddenMatches:
    """N detections on images of which H hidden instances are known.

    evidence: of the N detections
    labels: (N,)
    exact: (N,) int64, the hidden instance of the same category that a detection overlaps most, by
        ``MATCH_IOU`` or more; -1 for none
    region: (N,) int64, the same whatever the category: training ignores regions, not categories
    hidden: (H,) labels of the hidden instances
    """

    evidence: Evidence
    labels: np.ndarray
    exact: np.ndarray
    region: np.ndarray
    hidden: np.ndarray

    @classmethod
    def concatenate(cls, several: "Sequence[HiddenMatches]") -> "HiddenMatches":
        """The matches of several images; hidden instances are numbered through."""
        first = np.cumsum([0, *(len(one.hidden) for one in several)])
        none = np.zeros(0, np.int64)
        pairs = list(zip(first, several, strict=False))
        return cls(
            evidence=Evidence.concatenate([one.evidence for one in several]),
            labels=np.concatenate([none, *(one.labels for one in several)]),
            exact=np.concatenate([none, *(_moved(one.exact, by) for by, one in pairs)]),
            region=np.concatenate([none, *(_moved(one.region, by) for by, one in pairs)]),
            hidden=np.concatenate([none, *(one.hidden for one in several)]),
        )

    def measure(self, keep: np.ndarray) -> dict[str, float | int | None]:
        """Precision and recall of the detections of a boolean mask ``keep (N,)``; None where undefined."""
        kept, hidden = int(keep.sum()), len(self.hidden)
        row: dict[str, float | int | None] = {"kept": kept}
        for name, match in (("", self.exact), ("region_", self.region)):
            right = match[keep & (match >= 0)]
            row[f"{name}precision"] = len(right) / kept if kept else None
            row[f"{name}recall"] = len(np.unique(right)) / hidden if hidden else None
        return row

    def measure_rule(self, rule: MissingRule) -> dict[str, float | int | None]:
        """``measure`` of the detections that a rule takes for missing annotations."""
        return self.measure(is_missing(self.evidence, rule))


def match_hidden(
    detections: Detections, evidence: Evidence, *, boxes: np.ndarray, labels: np.ndarray
) -> HiddenMatches:
    """The matches of one image whose hidden instances have ``boxes (H, 4)`` and ``labels (H,)``."""
    iou = overlaps(detections.boxes, boxes)  # (N, H)
    same = detections.labels[:, None] == labels
    return HiddenMatches(
        evidence=evidence,
        labels=detections.labels.astype(np.int64),
        exact=_best(iou * same),
        region=_best(iou),
        hidden=labels.astype(np.int64),
    )


def hidden_instances(
    boxes: np.ndarray, labels: np.ndarray, *, full_boxes: np.ndarray, full_labels: np.ndarray
) -> np.ndarray:
    """Indices (H,) of the instances of the fuller annotations that are not among an image's annotations.

    boxes: (G, 4), labels: (G,), what is annotated. full_boxes: (F, 4), full_labels: (F,).

    An instance is annotated when an annotation of its category has an IoU of ``MATCH_IOU`` with it; each
    annotation stands for one instance, the pairs of the largest IoU first.
    """
    iou = overlaps(full_boxes, boxes)  # (F, G)
    iou = np.where(full_labels[:, None] == labels, iou, 0.0)
    pairs = np.argwhere(iou >= MATCH_IOU)
    order = np.argsort(-iou[pairs[:, 0], pairs[:, 1]], kind="stable")
    annotated, used = np.zeros(len(full_boxes), bool), np.zeros(len(boxes), bool)
    for instance, annotation in pairs[order].tolist():
        if not annotated[instance] and not used[annotation]:
            annotated[instance] = used[annotation] = True
    return np.flatnonzero(~annotated)


def sweep(matches: HiddenMatches, rule: MissingRule) -> list[dict[str, Any]]:
    """A row for each rule, overlap and score: how many are kept, precision and recall.

    rule: the settings of the run; what ``OVERLAPS`` does not say comes from it.
    """
    return [
        {"rule": one.rule, "overlap": overlap, "score": score}
        | matches.measure_rule(replace(one, score=score))
        for overlap, one in variants(rule)
        for score in SCORES
    ]


def variants(rule: MissingRule) -> Iterator[tuple[str, MissingRule]]:
    """``rule`` with either rule and each of ``OVERLAPS``, by the name of the overlap.

    Rule ``paper`` does not read the lists, so it goes without what they tell.
    """
    plain = {"max_iof": 1.0, "other_iou": None, "not_exhaustive_score": None}
    for name in ("paper", "federated"):
        for overlap, changes in OVERLAPS.items():
            if name == "federated" or "not_exhaustive_score" not in changes:
                yield overlap, replace(rule, **{**plain, "rule": name, **changes})


def curve(
    matches: HiddenMatches, rule: MissingRule, *, region: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision (K,) float64 each, as the score that is asked for falls; a point per detection.

    region: whatever the category. Detections that ``not_exhaustive_score`` lets pass come first, as they are
    kept at every score.
    """
    proof = matches.evidence
    passing = is_missing(proof, replace(rule, score=0.0, not_exhaustive_score=None))
    rank = proof.scores.astype(np.float64)
    if rule.rule == "federated" and rule.not_exhaustive_score is not None:
        listed = np.float32(rule.not_exhaustive_score)
        rank += proof.not_exhaustive & (proof.scores >= listed)
    kept = np.flatnonzero(passing)
    kept = kept[np.argsort(-rank[kept], kind="stable")]
    match = (matches.region if region else matches.exact)[kept]
    right, first = match >= 0, np.zeros(len(match), bool)
    first[np.unique(match, return_index=True)[1]] = True
    recall = np.cumsum(first & right) / max(len(matches.hidden), 1)
    return recall, np.cumsum(right) / np.arange(1, len(match) + 1)


def by_category(
    matches: HiddenMatches, rule: MissingRule, categories: Categories
) -> list[dict[str, Any]]:
    """Hidden instances, kept detections, precision and recall of each category that has any of them."""
    keep = is_missing(matches.evidence, rule)
    size = len(categories)
    hidden = np.bincount(matches.hidden, minlength=size)
    kept = np.bincount(matches.labels[keep], minlength=size)
    hit = keep & (matches.exact >= 0)
    right = np.bincount(matches.labels[hit], minlength=size)
    reached = np.bincount(matches.hidden[np.unique(matches.exact[hit])], minlength=size)
    return [
        {
            "id": int(categories.ids[c]),
            "name": categories.names[c],
            "hidden": int(hidden[c]),
            "kept": int(kept[c]),
            "precision": right[c] / kept[c] if kept[c] else None,
            "recall": reached[c] / hidden[c] if hidden[c] else None,
        }
        for c in np.flatnonzero(hidden + kept).tolist()
    ]


def _best(iou: np.ndarray) -> np.ndarray:
    """The column of the largest IoU of each row (N, H), -1 where none reaches ``MATCH_IOU``."""
    if not iou.shape[1]:
        return np.full(len(iou), -1, np.int64)
    return np.where(iou.max(axis=1) >= MATCH_IOU, iou.argmax(axis=1), -1)


def _moved(match: np.ndarray, by: int) -> np.ndarray:
    return np.where(match >= 0, match + by, -1)
