"""What a plan is made from: sizes, shapes and counts of the training annotations."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lvistk.data.index.annotation_index import AnnotationIndex

MOST_BOXES = 50_000
"""Boxes that the shapes are measured on: a random sample of so many."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The training data in numbers; I images, A annotations, C categories, B boxes of a sample.

    heights, widths: (I,) of the images, pixels.
    row: (I + 1,) image i has the annotations ``row[i]:row[i + 1]``.
    labels: (A,) category of each annotation.
    box_sides: (B, 2) width and height, pixels of the original image.
    box_image: (B,) image of each box.
    area_ratios: (B,) mask area over box area, 0 to 1.
    categories: C, of which some may have no annotation.
    exhaustive: share of the pairs of an image and a category without an annotation there that are verified
    absent, 0 to 1.
    """

    heights: np.ndarray
    widths: np.ndarray
    row: np.ndarray
    labels: np.ndarray
    box_sides: np.ndarray
    box_image: np.ndarray
    area_ratios: np.ndarray
    categories: int
    exhaustive: float

    @property
    def images(self) -> int:
        return len(self.heights)

    @cached_property
    def category_images(self) -> np.ndarray:
        """(K,) images of each category that has an annotation, ascending."""
        owner = np.repeat(np.arange(self.images, dtype=np.int64), np.diff(self.row))
        pairs = np.unique(owner * self.categories + self.labels)
        counts = np.bincount(pairs % self.categories, minlength=self.categories)
        return np.sort(counts[counts > 0])

    @cached_property
    def category_instances(self) -> np.ndarray:
        """(K,) instances of each category that has one, ascending."""
        counts = np.bincount(self.labels, minlength=self.categories)
        return np.sort(counts[counts > 0])

    @cached_property
    def short_edges(self) -> np.ndarray:
        return np.minimum(self.heights, self.widths)

    @cached_property
    def aspects(self) -> np.ndarray:
        """(I,) longer side over shorter side."""
        return np.maximum(self.heights, self.widths) / self.short_edges

    @cached_property
    def relative_sides(self) -> np.ndarray:
        """(B,) square root of a box's area over the shorter side of its image."""
        sides = np.sqrt(self.box_sides.prod(axis=1))
        return sides / self.short_edges[self.box_image]

    def sides_at(self, short_edge: float) -> np.ndarray:
        """(B,) square root of each box's area, pixels, in images of this shorter side."""
        return self.relative_sides * short_edge

    def lines(self) -> list[str]:
        """The fingerprint in words, a line each."""
        low, mid, high = np.quantile(self.short_edges, (0.05, 0.5, 0.95))
        small, usual, large = np.quantile(np.sqrt(self.box_sides.prod(axis=1)), (0.1, 0.5, 0.9))
        few, half, most = np.quantile(self.category_images, (0.0, 0.5, 1.0))
        thin = (self.area_ratios < 0.25).mean()
        return [
            f"{self.images} images, shorter side {low:.0f} to {high:.0f} px (median {mid:.0f}), longer "
            f"side {np.median(self.aspects):.2f} times that",
            f"{len(self.labels)} instances, {len(self.labels) / max(self.images, 1):.1f} per image; side "
            f"{small:.0f} to {large:.0f} px (median {usual:.0f}); mask fills "
            f"{np.median(self.area_ratios):.0%} of its box, under 25% in {thin:.0%}",
            f"{len(self.category_images)} categories with annotations (of {self.categories}), in {few:.0f} "
            f"to {most:.0f} images each (median {half:.0f})",
            f"{self.exhaustive:.0%} of the categories that an image lacks are verified to be absent",
        ]


def fingerprint_of(index: AnnotationIndex, *, seed: int = 0) -> Fingerprint:
    """The fingerprint of training annotations."""
    row, labels = np.asarray(index.row), np.asarray(index.labels)
    chosen = np.arange(len(labels))
    if len(chosen) > MOST_BOXES:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST_BOXES, replace=False))
    boxes = np.asarray(index.boxes)[chosen]
    owner = np.searchsorted(row, chosen, side="right") - 1
    return Fingerprint(
        heights=np.asarray(index.heights),
        widths=np.asarray(index.widths),
        row=row,
        labels=labels,
        box_sides=np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3),
        box_image=owner,
        area_ratios=index.area_ratios()[chosen],
        categories=len(index.categories),
        exhaustive=_exhaustive(index),
    )


def _exhaustive(index: AnnotationIndex) -> float:
    """Share of absent pairs that are verified, over up to 200 images."""
    chosen = np.linspace(0, len(index) - 1, min(len(index), 200)).astype(int) if len(index) else []
    absent = verified = 0
    for i in chosen:
        first, last = index.row[i], index.row[i + 1]
        absent += len(index.categories) - len(np.unique(index.labels[first:last]))
        verified += len(index.negative_labels(i))
    return verified / absent if absent else 1.0
