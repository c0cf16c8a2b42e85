"""Loading: the same samples for any workers, ranks and starts; broken images; what a batch holds."""

import multiprocessing
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lvistk.config.train import (
    AugmentSettings,
    LoaderSettings,
    SamplerSettings,
    SelfTrainSettings,
)
from lvistk.data.index.annotation_index import AnnotationIndex
from lvistk.data.store.detection_store import DetectionStore, DetectionWriter
from lvistk.data.training.dataset import TrainingData
from lvistk.data.training.loader import TrainLoader
from lvistk.errors import UserError
from lvistk.masks import rle
from lvistk.masks.instance_masks import FrameMasks, ImageMasks
from lvistk.structures.detections import Detections
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets
from tests.data.small_data import small_index, training_data

Batch = tuple[ImageBatch, list[Targets]]
VARIED = AugmentSettings(
    short_edges=(48, 64, 80),
    long_edge=120,
    rotate_probability=0.5,
    mosaic_probability=0.5,
    mosaic_size=(96, 128),
    instaboost_probability=0.3,
    copy_paste_probability=0.3,
    colour=0.5,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def index(folder: Path) -> AnnotationIndex:
    return small_index(folder, count=14, empty=2)


@pytest.fixture(scope="module")
def data(index: AnnotationIndex, folder: Path) -> TrainingData:
    return training_data(index, folder, augment=VARIED)


def loader(data: TrainingData, *, batch: int = 4, workers: int = 0, **more) -> TrainLoader:
    settings = LoaderSettings(workers=workers)
    return TrainLoader(data, batch_size_per_rank=batch, settings=settings, **more)


def images(batches: Iterator[Batch]) -> list[tuple[torch.Tensor, Targets]]:
    """The samples of batches, each without its padding."""
    found = []
    for batch, targets in batches:
        for image, size, target in zip(batch.images, batch.size_list(), targets, strict=True):
            assert not image[:, size[0] :].any() and not image[:, :, size[1] :].any()
            found.append((image[:, : size[0], : size[1]], target))
    return found


def assert_same(one: list, other: list) -> None:
    assert len(one) == len(other)
    for (image_a, a), (image_b, b) in zip(one, other, strict=True):
        assert torch.equal(image_a, image_b)
        assert (a.seed, a.image_id, a.loss_weight) == (b.seed, b.image_id, b.loss_weight)
        for name in ("boxes", "labels", "area_ratio", "ignore_boxes", "negative_labels"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name
        everyone = torch.arange(len(a))
        assert torch.equal(a.masks.crop(everyone, a.boxes, 14), b.masks.crop(everyone, b.boxes, 14))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # 4 workers on 2 cores are meant
@pytest.mark.parametrize("workers", [1, 4])
def test_workers_change_nothing(data: TrainingData, workers: int) -> None:
    alone, many = loader(data), loader(data, workers=workers)
    for epoch in (0, 1):
        assert_same(images(alone.epoch(epoch)), images(many.epoch(epoch)))


def test_after_the_strong_epochs_images_are_whole_and_single(
    index: AnnotationIndex, folder: Path
) -> None:
    strong = training_data(index, folder, augment=VARIED)
    plain = AugmentSettings(short_edges=(48, 64, 80), long_edge=120, colour=0.5)
    once = training_data(index, folder, augment=replace(VARIED, strong_epochs=1))
    never = training_data(index, folder, augment=plain)
    assert_same(images(loader(strong).epoch(0)), images(loader(once).epoch(0)))
    assert_same(images(loader(never).epoch(1)), images(loader(once).epoch(1)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_epoch_goes_on_where_it_stopped(data: TrainingData, workers: int) -> None:
    whole = images(loader(data, workers=workers).epoch(2))
    resumed = loader(data, workers=workers)
    started = resumed.epoch(2)  # left after one batch, as by a stop
    next(started)
    assert_same(whole[8:], images(resumed.epoch(2, start_sample=8)))
    assert len(whole) == resumed.len_epoch(2)


def test_a_closed_loader_has_no_workers_and_starts_anew(data: TrainingData) -> None:
    alone, closed = loader(data), loader(data, workers=2)
    before = set(multiprocessing.active_children())
    started = closed.epoch(0)  # left after one batch, and still referred to
    next(started)
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    closed.close()
    assert not workers & set(multiprocessing.active_children())
    closed.close()  # nothing to do
    assert_same(images(alone.epoch(1)), images(closed.epoch(1)))
    closed.close()


def test_two_ranks_together_see_what_one_does(data: TrainingData) -> None:
    one = images(loader(data, batch=4).epoch(1))
    ranks = [images(loader(data, batch=2, rank=r, world_size=2).epoch(1)) for r in range(2)]
    joined = [
        sample
        for start in range(0, len(ranks[0]), 2)
        for rank in ranks
        for sample in rank[start : start + 2]
    ]
    assert_same(one, joined)


def test_data_handed_to_another_process_gives_the_same_samples(data: TrainingData) -> None:
    """What spawned workers get is the pickle, with the index reopened by its path."""
    frozen = pickle.dumps(data)
    assert len(frozen) < 20_000
    assert_same(images(loader(data).epoch(0)), images(loader(pickle.loads(frozen)).epoch(0)))


def test_epochs_and_seeds_differ(index: AnnotationIndex, folder: Path, data: TrainingData) -> None:
    first, second = (images(loader(data).epoch(e)) for e in (0, 1))
    assert len({target.seed for _, target in first + second}) == len(first) + len(second)
    other = training_data(index, folder, augment=VARIED, seed=1)
    assert images(loader(other).epoch(0))[0][1].seed != first[0][1].seed


def test_what_a_sample_holds(data: TrainingData) -> None:
    samples = images(loader(data).epoch(0))
    mosaics = [image.shape[1:] == (96, 128) for image, _ in samples]
    assert 0.2 < np.mean(mosaics) < 0.8
    for image, target in samples:
        height, width = image.shape[1:]
        assert image.dtype == torch.uint8 and target.boxes.dtype == torch.float32
        assert target.labels.dtype == torch.int64 and len(target.masks) == len(target)
        assert (target.boxes >= 0).all() and (target.boxes[:, 2] <= width).all()
        assert (target.boxes[:, 3] <= height).all()
        assert ((target.area_ratio > 0) & (target.area_ratio <= 1)).all()
        assert not set(target.negative_labels.tolist()) & set(target.labels.tolist())
        masks = target.masks.crop(torch.arange(len(target)), target.boxes, 32)
        off = (masks.mean(dim=(1, 2)) - target.area_ratio).abs()  # the box is tight on the mask
        sides = (target.boxes[:, 2:] - target.boxes[:, :2]).amin(1)
        assert (off[sides > 8] < 0.12).all()


def test_colours_lie_where_the_masks_are(index: AnnotationIndex, folder: Path) -> None:
    """Pixels under an object's mask have its colour, but for those under a later object."""
    plain = AugmentSettings(short_edges=(160,), long_edge=400, rotate_probability=1.0)
    data = training_data(index, folder, augment=plain)
    checked = 0
    for image, target in images(loader(data).epoch(0)):
        annotated = index.annotations(index.index_of(target.image_id))
        if len(annotated) != 1 or annotated.areas[0] < 200:
            continue
        box = target.boxes[0]
        mask = target.masks.crop(torch.zeros(1, dtype=torch.int64), target.boxes, 64)[0] > 0
        steps = (torch.arange(64) + 0.5) / 64
        rows = (box[1] + steps * (box[3] - box[1])).long()
        columns = (box[0] + steps * (box[2] - box[0])).long()
        pixels = image[:, rows][:, :, columns].float()
        coloured = pixels.amax(0) - pixels.amin(0) > 60
        assert (coloured == mask).float().mean() > 0.85  # the painted rim is a pixel wide
        checked += 1
    assert checked > 0


def test_a_pinned_device_gets_frames(data: TrainingData) -> None:
    on_device = loader(data, device=torch.device("cuda"), workers=1)
    assert all(
        isinstance(t.masks, FrameMasks) for _, targets in on_device.epoch(0) for t in targets
    )
    assert all(isinstance(t.masks, ImageMasks) for _, ts in loader(data).epoch(0) for t in ts)


def test_missing_annotations_become_tight_ignore_boxes(
    index: AnnotationIndex, folder: Path, tmp_path: Path
) -> None:
    size = (int(index.heights[0]), int(index.widths[0]))
    bitmap = np.zeros(size, np.uint8)
    bitmap[10:20, 5:25] = 1
    counts = rle.encode(bitmap)
    found = Detections(
        image_id=int(index.image_ids[0]),
        size=size,
        boxes=np.array([[4, 9, 27, 22], [0, 0, 9, 9]], np.float32),
        scores=np.array([0.9, 0.1], np.float32),
        labels=np.zeros(2, np.int32),
        masks=[counts, counts],
    )
    DetectionWriter(tmp_path / "m.h5", categories=index.categories, role="missing").write_shard(
        0, [found]
    )
    data = training_data(
        index,
        folder,
        augment=AugmentSettings(short_edges=(2 * min(size),), long_edge=999, flip=0.0),
        missing=DetectionStore.open(tmp_path / "m.h5"),
        selftrain=SelfTrainSettings(missing_score=0.5),
    )
    ignored = {t.image_id: t.ignore_boxes.numpy() for _, t in images(loader(data).epoch(0))}
    assert sum(len(boxes) for boxes in ignored.values()) == 1
    np.testing.assert_allclose(ignored[found.image_id], [[10, 20, 50, 40]], atol=0.5)


@pytest.fixture
def broken(tmp_path: Path) -> tuple[AnnotationIndex, Path]:
    index = small_index(tmp_path, count=6, seed=3)
    (tmp_path / "train2017" / f"{2:012d}.jpg").write_text("no image")
    (tmp_path / "train2017" / f"{5:012d}.jpg").unlink()
    return index, tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_fails_in_one_line(
    broken: tuple[AnnotationIndex, Path], workers: int
) -> None:
    data = training_data(*broken)
    with pytest.raises(UserError, match=r"00000000000[25]\.jpg") as caught:
        images(loader(data, workers=workers).epoch(0))
    assert "\n" not in str(caught.value)


def test_a_process_ends_though_a_loader_was_never_closed(data: TrainingData) -> None:
    """Workers ignore SIGTERM; a loader that the garbage collector took does not tell them to leave."""
    script = """
import gc, pickle, sys
from lvistk.config.train import LoaderSettings
from lvistk.data.training.loader import TrainLoader

def abandon(data):
    loader = TrainLoader(data, batch_size_per_rank=2, settings=LoaderSettings(workers=1))
    kept = [next(loader.epoch(0)), loader, loader._loader._iterator]
    kept.append(kept)

abandon(pickle.load(sys.stdin.buffer))
gc.collect()
print("abandoned")
"""
    command = [sys.executable, "-c", script]
    said = subprocess.run(
        command, input=pickle.dumps(data), capture_output=True, timeout=120, check=True
    )
    assert said.stdout == b"abandoned\n"
    assert b"Traceback" not in said.stderr


def test_a_broken_image_is_skipped_and_counted(
    broken: tuple[AnnotationIndex, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = AugmentSettings(short_edges=(64,))
    data = training_data(
        *broken, defects="skip", augment=plain, sampler=SamplerSettings(repeat="none")
    )
    runs = [images(loader(data, workers=w, batch=2).epoch(0)) for w in (0, 2)]
    assert_same(*runs)
    seen = sorted(target.image_id for _, target in runs[0])
    assert seen == [1, 3, 3, 4, 6, 6]  # the image after a broken one stands in for it
    skipping = loader(data, batch=2)
    list(skipping.epoch(0))
    assert sorted(skipping.skipped.values()) == [1, 1]
    assert capsys.readouterr().err.count("skipped:") >= 2


def test_starting_inside_a_batch_is_refused(data: TrainingData) -> None:
    with pytest.raises(UserError, match="does not begin a batch"):
        next(loader(data).epoch(0, start_sample=3))


def test_the_user_hears_of_the_repeat_factors(
    data: TrainingData, capsys: pytest.CaptureFixture[str]
) -> None:
    loader(data).report()
    assert "categories are in fewer than 4" in capsys.readouterr().out
