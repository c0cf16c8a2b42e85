"""Labels a pool of tiny images with the detector of plain colours; a test starts, kills and resumes it.

    python -m tests.faults.pool_run POOL OUT

Prints the peak memory of the process in MB after its first shard and at its end.
"""

import resource
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from lvistk.config.inference import MergeSettings, PredictSettings, ViewSettings
from lvistk.data.pool.open_images import OpenImages
from lvistk.data.store.detection_store import DetectionWriter
from lvistk.inference.image_batches import Image
from lvistk.inference.predict import Predictor
from lvistk.inference.shards import ImageList, write_shards
from lvistk.inference.views import plan_views
from tests.inference.colours import CATEGORIES, ColourDetector, paint

SIDE = 24
PICTURES = 64
SHARD = 250


class MeasuredWriter(DetectionWriter):
    """Notes the peak memory after the first shard."""

    after_first = 0

    def write_shard(self, *arguments, **options) -> None:
        super().write_shard(*arguments, **options)
        self.after_first = self.after_first or peak_mb()


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def write_pool(folder: Path, count: int) -> None:
    """``count`` images in sixteen folders as Open Images has them; one in 5000 is broken."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(PICTURES):
        kinds = tuple(np.flatnonzero(rng.random(3) < 0.6).tolist())
        image = paint(
            int(rng.integers(SIDE, 2 * SIDE)), int(rng.integers(SIDE, 2 * SIDE)), kinds=kinds
        )
        drawn.append(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())
    for k in range(16):
        (folder / f"train_{k:x}").mkdir(parents=True, exist_ok=True)
    for k in range(count):
        name = f"{(k * 0x9E3779B97F4A7C15) % 2**64:016x}"
        data = b"no image" if k % 5000 == 4999 else drawn[k % PICTURES]
        (folder / f"train_{name[0]}" / f"{name}.png").write_bytes(data)


def label(pool_folder: Path, out: Path) -> MeasuredWriter:
    """Label the whole pool, or what is left of it."""
    torch.set_num_threads(1)
    pool = OpenImages.open(pool_folder, cache=out.parent / "cache")
    images = ImageList(
        np.asarray(pool.ids).view(np.int64),
        lambda k: Image(pool.image_id(k), pool.path(k), rotation=pool.rotation(k)),
        name=pool.name,
    )
    predictor = Predictor(
        ColourDetector(),
        plan_views(ViewSettings(short_edges=(SIDE,))),
        MergeSettings(soft_nms="none"),
        PredictSettings(shard_images=SHARD, batch_size=1, workers=0),
        torch.device("cpu"),
    )
    writer = MeasuredWriter(out, categories=CATEGORIES, role="pseudo")
    write_shards(predictor, images, writer=writer, label="pool")
    return writer


if __name__ == "__main__":
    made = label(Path(sys.argv[1]), Path(sys.argv[2]))
    print(made.after_first, peak_mb())
