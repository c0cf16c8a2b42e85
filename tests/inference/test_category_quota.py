"""AP-fixed's budget over a data set: the same store whatever was finished first."""

from pathlib import Path

import numpy as np
import pytest

from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.inference.candidates import Candidates
from lvistk.inference.category_quota import CategoryQuota, cut_store
from lvistk.masks import rle
from lvistk.structures.detections import Detections
from tests.inference.colours import CATEGORIES

LIMIT = 7
BITMAPS = [np.eye(4, dtype=np.uint8), np.ones((4, 4), np.uint8)]


def random_shards(seed: int, *, scored: bool) -> list[list[Detections]]:
    """Six shards of three images; scores in steps of .05, so that many are equal."""
    rng = np.random.default_rng(seed)

    def image(image_id: int) -> Detections:
        count = int(rng.integers(0, 9))
        scores = (rng.integers(1, 20, count) / 20).astype(np.float32)
        return Detections(
            image_id=image_id,
            size=(4, 4),
            boxes=np.tile(np.array([0, 0, 3, 3], np.float32), (count, 1)),
            scores=scores,
            labels=rng.integers(0, 3, count).astype(np.int32),
            masks=[rle.encode(BITMAPS[k % 2]) for k in range(count)],
            mask_scores=scores * rng.random(count).astype(np.float32) if scored else None,
        )

    return [[image(10 * k + i) for i in range(3)] for k in range(6)]


def content(folder: Path) -> list[tuple]:
    return [
        (
            one.image_id,
            one.labels.tolist(),
            one.scores.tolist(),
            one.masks,
            None if one.mask_scores is None else one.mask_scores.tolist(),
        )
        for one in DetectionStore.open(folder)
    ]


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_shards_does_not_matter(tmp_path: Path, seed: int, scored: bool) -> None:
    shards = random_shards(seed, scored=scored)
    writer = DetectionWriter(tmp_path / "all", categories=CATEGORIES, role="detections")
    for k, shard in enumerate(shards):
        writer.write_shard(k, shard)
    before = DetectionStore.open(tmp_path / "all")
    total = sum(len(one) for one in before)
    gone = cut_store(tmp_path / "all", LIMIT)
    expected = content(tmp_path / "all")
    assert gone == total - sum(len(labels) for _, labels, *_ in expected) > 0
    assert cut_store(tmp_path / "all", LIMIT) == 0

    folder = tmp_path / "streamed"
    writer = DetectionWriter(folder, categories=CATEGORIES, role="detections")
    quota = CategoryQuota(LIMIT, len(CATEGORIES))
    dropped = 0
    for k in np.random.default_rng(seed).permutation(len(shards)).tolist():
        kept = []
        for one in shards[k]:
            rows = np.arange(len(one), dtype=np.int32)
            left = quota.select(Candidates(one.boxes, one.scores, one.labels, rows)).views
            kept.append(one.select(left))
            dropped += len(one) - len(left)
        quota.add(kept)
        writer.write_shard(k, kept)
    assert dropped > 0
    cut_store(folder, LIMIT)
    assert content(folder) == expected


def test_each_ranking_has_its_best(tmp_path: Path) -> None:
    shards = random_shards(9, scored=True)
    writer = DetectionWriter(tmp_path / "s", categories=CATEGORIES, role="detections")
    for k, shard in enumerate(shards):
        writer.write_shard(k, shard)
    every = [one for shard in shards for one in shard]
    labels = np.concatenate([one.labels for one in every])
    columns = ("scores", "mask_scores")
    wanted = {
        (name, label): np.sort(
            np.concatenate([getattr(one, name) for one in every])[labels == label]
        )[-LIMIT:]
        for name in columns
        for label in range(3)
    }
    cut_store(tmp_path / "s", LIMIT)
    left = list(DetectionStore.open(tmp_path / "s"))
    assert [one.image_id for one in left] == [one.image_id for one in every]
    for (name, label), best in wanted.items():
        values = np.concatenate([getattr(one, name)[one.labels == label] for one in left])
        np.testing.assert_array_equal(np.sort(values)[-LIMIT:], best)
        assert LIMIT <= len(values) <= 2 * LIMIT
