"""Results files that grow with the shards of a store."""

import json
from pathlib import Path

import numpy as np
import pytest

from lvistk.data.exchange.result_records import box_records, mask_records
from lvistk.data.index.lvis_write import write_results
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.stages.inference.results_files import BOXES, MASKS, results_files
from lvistk.structures.detections import Detections
from tests.inference.colours import CATEGORIES


def detections(image_id: int, count: int) -> Detections:
    corner = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    bitmap = np.zeros((8, 8), bool)
    bitmap[2:5, 2:5] = True
    return Detections(
        image_id=image_id,
        size=(8, 8),
        boxes=np.concatenate([corner, corner + 3], axis=1),
        scores=np.linspace(0.9, 0.1, count, dtype=np.float32),
        labels=np.zeros(count, np.int32),
        masks=[rle.encode(bitmap)] * count,
    )


def store_of(folder: Path) -> DetectionStore:
    """Three shards, of which one has no detection."""
    writer = DetectionWriter(folder, categories=CATEGORIES, role="detections")
    for shard, counts in enumerate(((2, 0), (0,), (3,))):
        writer.write_shard(shard, [detections(10 * shard + k, n) for k, n in enumerate(counts)])
    return DetectionStore.open(folder)


def test_shards_in_turn_give_the_files_of_the_whole_store(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store")
    write_results(tmp_path / BOXES, box_records(store))
    write_results(tmp_path / MASKS, mask_records(store))
    out = tmp_path / "out"
    with results_files(out, masks=True) as add:
        for shard in store.shards:
            add(shard.path)
        assert not (out / BOXES).exists() and not (out / MASKS).exists()
    for name in (BOXES, MASKS):
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes()
        assert len(json.loads((out / name).read_text())) == 5


def test_an_error_leaves_no_file_and_a_model_without_masks_has_one(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store")
    paths = [store.shards[0].path, tmp_path / "no.h5"]
    with pytest.raises(UserError), results_files(tmp_path / "out", masks=True) as add:
        list(map(add, paths))
    assert list((tmp_path / "out").iterdir()) == []
    with results_files(tmp_path / "out", masks=False):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == [BOXES]
    assert json.loads((tmp_path / "out" / BOXES).read_text()) == []
