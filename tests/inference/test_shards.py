import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.data.exchange.result_records import box_records, mask_records
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.errors import UserError
from lvistk.inference.image_batches import Image
from lvistk.inference.predict import Predictor
from lvistk.inference.shards import ImageList, left_out_images, own_shards, write_shards
from lvistk.inference.views import plan_views
from lvistk.masks import rle
from lvistk.selftrain.thresholds import group_thresholds
from tests.inference.colours import CATEGORIES, ColourDetector, paint, write

RANK = """
import sys
from pathlib import Path
import numpy as np
import torch
from lvistk.inference.image_batches import Image
from lvistk.inference.shards import ImageList
from tests.inference.test_shards import fill
root, rank = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
meeting = (root / "meeting").as_uri()
torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
images = ImageList(np.arange(100, 105), lambda k: Image(100 + k, root / "images" / f"{k}.png"))
fill(root / f"rank{rank}", images)
torch.distributed.destroy_process_group()
"""
KINDS = ((0,), (0, 1), (), (2,), (0, 1, 2))


@pytest.fixture
def images(tmp_path: Path) -> ImageList:
    paths = [
        write(tmp_path / "images" / f"{k}.png", paint(90, 120, kinds=kinds))
        for k, kinds in enumerate(KINDS)
    ]
    return ImageList(100 + np.arange(len(paths)), lambda k: Image(100 + k, paths[k]))


def predictor(model: ColourDetector | None = None, *, max_unreadable: float = 0.01) -> Predictor:
    return Predictor(
        model or ColourDetector(),
        plan_views(ViewSettings(short_edges=(96,))),
        MergeSettings(),
        PredictSettings(shard_images=2, max_unreadable=max_unreadable),
        torch.device("cpu"),
    )


def fill(
    folder: Path,
    images: ImageList,
    model: ColourDetector | None = None,
    *,
    max_unreadable: float = 0.01,
) -> DetectionStore:
    writer = DetectionWriter(folder, categories=CATEGORIES, role="detections")
    chosen = predictor(model, max_unreadable=max_unreadable)
    write_shards(chosen, images, writer=writer, label="test")
    return DetectionStore.open(folder)


def test_shards_hold_every_image(tmp_path: Path, images: ImageList) -> None:
    store = fill(tmp_path / "a", images)
    assert [p.name for p in sorted((tmp_path / "a").iterdir())] == [
        "00000.h5",
        "00001.h5",
        "00002.h5",
    ]
    assert store.image_ids.tolist() == [100, 101, 102, 103, 104]
    found = [sorted(store[row].labels.tolist()) for row in range(5)]
    assert found == [list(kinds) for kinds in KINDS]
    assert store.category_ids.tolist() == [2, 7, 9]


def test_shards_that_are_there_are_left_alone(tmp_path: Path, images: ImageList) -> None:
    whole = fill(tmp_path / "a", images)
    first = (tmp_path / "a" / "00001.h5").read_bytes()
    (tmp_path / "a" / "00001.h5").unlink()
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").iterdir()}
    model = ColourDetector()
    again = fill(tmp_path / "a", images, model)
    assert model.backbone_runs == 2  # the two images of the shard that was missing
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    assert (tmp_path / "a" / "00001.h5").read_bytes() == first
    np.testing.assert_array_equal(whole.image_ids, again.image_ids)


def test_finished_shards_are_told_in_their_order(tmp_path: Path, images: ImageList) -> None:
    """Those that were there already too, and each when it is complete."""
    fill(tmp_path / "a", images)
    (tmp_path / "a" / "00001.h5").unlink()
    told: list[tuple[str, bool]] = []
    write_shards(
        predictor(),
        images,
        writer=DetectionWriter(tmp_path / "a", categories=CATEGORIES, role="detections"),
        label="test",
        finished=lambda path: told.append((path.name, path.is_file())),
    )
    assert told == [(f"0000{k}.h5", True) for k in range(3)]


def test_names_and_rotations_are_stored(tmp_path: Path, images: ImageList) -> None:
    turned = ImageList(
        np.arange(2),
        lambda k: Image(k, images.image(k).path, rotation=90 * k),
        name=lambda k: f"pool/{k}.png",
    )
    store = fill(tmp_path / "a", turned)
    assert [store.name(row) for row in range(2)] == ["pool/0.png", "pool/1.png"]
    assert [store.rotation(row) for row in range(2)] == [0, 90]
    assert [store[row].size for row in range(2)] == [(90, 120), (120, 90)]


def test_too_many_broken_images_end_the_run(tmp_path: Path, images: ImageList) -> None:
    for k in (2, 3):
        images.image(k).path.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2 of 5 images cannot be read, more than .*3\.png"):
        fill(tmp_path / "a", images)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["00000.h5"]


def test_none_is_allowed_at_a_share_of_0(tmp_path: Path, images: ImageList) -> None:
    images.image(3).path.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^[^ ]*3\.png"):
        fill(tmp_path / "a", images, max_unreadable=0.0)


def test_a_broken_image_is_left_out_and_told(
    tmp_path: Path, images: ImageList, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = images.image(3).path.read_bytes()
    images.image(3).path.write_bytes(b"no image")
    store = fill(tmp_path / "a", images)
    assert store.image_ids.tolist() == [100, 101, 102, 104]
    assert "left out" in capsys.readouterr().err
    (row,) = left_out_images(images, store.image_ids, max_pixels=10**6)
    assert row.image_id == 103 and "3.png" in row.reason and not row.excluded
    before = {p: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    model = ColourDetector()
    fill(tmp_path / "a", images, model)  # resumed: nothing to do
    assert model.backbone_runs == 0
    images.image(3).path.write_bytes(sound)
    again = fill(tmp_path / "a", images, model)  # mended: its shard alone is made again
    assert model.backbone_runs == 2 and again.image_ids.tolist() == [100, 101, 102, 103, 104]
    changed = [p.name for p, data in before.items() if p.read_bytes() != data]
    assert changed == ["00001.h5"]
    assert left_out_images(images, again.image_ids, max_pixels=10**6) == []


def test_a_list_that_changed_is_noticed(tmp_path: Path, images: ImageList) -> None:
    """Images added at the end are detected; others shift the shards, and the run refuses."""
    fill(tmp_path / "a", part(images, [0, 1, 2, 3]))
    (tmp_path / "a" / "00001.h5").unlink()
    for now, gone in (([1, 2, 3, 4], 1), ([4, 0, 1, 2, 3], 1), ([2, 3, 4], 2)):
        with pytest.raises(UserError, match=f"changed since this run began: {gone} that"):
            fill(tmp_path / "a", part(images, now))
    store = fill(tmp_path / "a", part(images, [0, 1, 2, 3, 4]))
    assert store.image_ids.tolist() == [100, 101, 102, 103, 104]


def test_an_image_added_to_a_finished_shard_is_detected(tmp_path: Path, images: ImageList) -> None:
    fill(tmp_path / "a", part(images, [0, 1, 2]))
    store = fill(tmp_path / "a", part(images, [0, 1, 2, 3]))
    assert store.image_ids.tolist() == [100, 101, 102, 103]


def part(images: ImageList, chosen: list[int]) -> ImageList:
    return ImageList(images.ids[chosen], lambda k: images.image(chosen[k]))


def test_level_moves_do_not_depend_on_a_resume(tmp_path: Path, images: ImageList) -> None:
    whole = fill(tmp_path / "a", images).level_moved()
    (tmp_path / "a" / "00001.h5").unlink()
    assert fill(tmp_path / "a", images).level_moved() == whole == 0.25


@pytest.mark.parametrize("what", ["inference_features", "predict_masks"])
def test_numbers_that_are_not_finite_end_in_one_line(
    what: str, tmp_path: Path, images: ImageList
) -> None:
    with pytest.raises(UserError, match=r"\.png: the model's (boxes|masks) .*not finite"):
        fill(tmp_path / "a", images, Damaged(what))
    assert not (tmp_path / "a").exists()


class Damaged(ColourDetector):
    """NaN in one of its outputs, as weights of a run that diverged give."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def inference_features(self, batch):
        (features,) = super().inference_features(batch)
        return [features * np.nan if self._what == "inference_features" else features]

    def detect_boxes(self, batch):
        output = super().detect_boxes(batch)
        if self._what == "inference_features":
            output.boxes = [boxes[:0] for boxes in output.boxes]
            output.scores = [scores[:0] for scores in output.scores]
        return output

    def predict_masks(self, features, boxes, labels):
        outputs = super().predict_masks(features, boxes, labels)
        for output in outputs:
            output.probs = output.probs * np.nan
        return outputs


def test_every_image_has_one_shard_of_one_rank() -> None:
    own = [own_shards(11, size=3, rank=rank, world_size=3) for rank in range(3)]
    assert own[0] == {0: range(3), 3: range(9, 11)}
    assert own[1] == {1: range(3, 6)}
    assert own[2] == {2: range(6, 9)}
    assert own_shards(0, size=3, rank=0, world_size=1) == {}


@pytest.mark.slow
def test_ranks_write_their_own_shards(tmp_path: Path, images: ImageList) -> None:
    """Two processes give the files that one gives."""
    fill(tmp_path / "alone", images)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(tmp_path), str(rank)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    written = [sorted(p.name for p in (tmp_path / f"rank{k}").iterdir()) for k in range(2)]
    assert written == [["00000.h5", "00002.h5"], ["00001.h5"]]
    for rank, names in enumerate(written):
        for name in names:
            same = (tmp_path / f"rank{rank}" / name).read_bytes()
            assert same == (tmp_path / "alone" / name).read_bytes()


def test_results_records(tmp_path: Path, images: ImageList) -> None:
    store = fill(tmp_path / "a", images, ColourDetector(mask_iou=True))
    masks, boxes = list(mask_records(store)), list(box_records(store))
    assert len(masks) == len(boxes) == sum(len(kinds) for kinds in KINDS)
    assert {m["image_id"] for m in masks} == {100, 101, 103, 104}
    assert "bbox" not in masks[0] and "segmentation" not in boxes[0]
    last = [m for m in masks if m["image_id"] == 104]
    assert [m["category_id"] for m in last] == [2, 7, 9]
    assert [m["score"] for m in last] == pytest.approx([0.45, 0.4, 0.35])
    assert last[0]["segmentation"]["size"] == [90, 120]
    counts = last[0]["segmentation"]["counts"].encode()
    tight = rle.boxes([counts], (90, 120))[0]
    x, y, width, height = boxes[-3]["bbox"]
    np.testing.assert_allclose([x, y, x + width, y + height], tight, atol=2)
    assert boxes[-3]["score"] == pytest.approx(0.9)


def test_categories_have_thresholds_of_their_own(tmp_path: Path, images: ImageList) -> None:
    """Scores are .9, .8 and .7; the rare category must reach .85."""
    chosen = predictor()
    chosen.thresholds = group_thresholds(CATEGORIES, (0.85, 0.6, 0.6), other=0.5)
    writer = DetectionWriter(tmp_path / "a", categories=CATEGORIES, role="pseudo")
    write_shards(chosen, images, writer=writer, label="test")
    store = DetectionStore.open(tmp_path / "a")
    assert [sorted(one.labels.tolist()) for one in store] == [[0], [0], [], [2], [0, 2]]
