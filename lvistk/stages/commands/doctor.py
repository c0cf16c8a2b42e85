"""``lvistk doctor``: versions, devices, codecs, the kernels' cache, and a small model trained and run."""

import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any, NamedTuple

from lvistk import console
from lvistk.errors import UserError

PACKAGES = (
    "lvistk",
    "torch",
    "torchvision",
    "numpy",
    "numba",
    "opencv-python",
    "h5py",
    "msgspec",
    "safetensors",
    "pycocotools",
    "timm",
    "tensorboard",
)
OPTIONAL = ("timm", "tensorboard")
SUFFIXES = (".jpg", ".png", ".webp", ".tiff", ".bmp")
TOLERANCE = 1e-3
"""Largest relative difference of a loss on a GPU to that on the CPU; TF32 and order of sums make some."""


class Finding(NamedTuple):
    """The result of one check.

    what: was checked
    result: in words
    ok: False for what has to be mended; None for a fact that is neither good nor bad
    """

    what: str
    result: str
    ok: bool | None = None


def run() -> None:
    """Print all findings; a ``UserError`` if something has to be mended."""
    findings = list(examine())
    if console.shows_json():
        console.say_json([one._asdict() for one in findings])
    else:
        rows = [(f.what, f.result, {None: "", True: "ok", False: "FAILED"}[f.ok]) for f in findings]
        console.table("lvistk doctor", ("what", "result", ""), rows, left=3)
    failed = [one.what for one in findings if one.ok is False]
    if failed:
        raise UserError(
            f"doctor: {len(failed)} of {len(findings)} checks failed: {', '.join(failed)}"
        )


def examine() -> Iterator[Finding]:
    """Every check, the quick ones first; the self tests take up to a minute."""
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        yield _version(package)
    yield Finding("cpu", f"{len(os.sched_getaffinity(0))} cores, {_memory_gib():.1f} GiB of memory")
    yield from _checked("codecs", _codecs)
    yield from _checked("kernel cache", _kernel_cache)
    yield from _checked("evaluation", _evaluation)
    import torch  # after the quick checks, since it takes seconds

    devices = [torch.device("cpu")]
    devices += [torch.device("cuda", k) for k in range(torch.cuda.device_count())]
    for device in devices:
        if device.type == "cuda":
            facts = torch.cuda.get_device_properties(device)
            memory = facts.total_memory / 2**30
            yield Finding(str(device), f"{facts.name}, {memory:.1f} GiB, CUDA {torch.version.cuda}")
        yield from _checked(f"model on {device}", lambda device=device: _small_model(device))
    if len(devices) == 1:
        yield Finding("gpu", "none that torch can use")


def _checked(what: str, check: Callable[[], str]) -> Iterator[Finding]:
    """The check's result in words, or what it raised."""
    try:
        yield Finding(what, check(), True)
    except Exception as error:  # whatever is broken on this machine, the other checks go on
        yield Finding(what, f"{type(error).__name__}: {error}".splitlines()[0], False)


def _version(package: str) -> Finding:
    try:
        return Finding(package, metadata.version(package))
    except metadata.PackageNotFoundError:
        optional = package in OPTIONAL
        text = "not installed (optional)" if optional else "not installed"
        return Finding(package, text, None if optional else False)


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _codecs() -> str:
    """Encode and decode a picture in every format that images may have."""
    import cv2
    import numpy as np

    picture = np.full((16, 24, 3), 128, np.uint8)
    for suffix in SUFFIXES:
        done, data = cv2.imencode(suffix, picture)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
        if decoded is None or np.abs(decoded.astype(int) - 128).max() > 8:
            raise RuntimeError(f"OpenCV cannot write and read {suffix}")
    return f"OpenCV reads {', '.join(suffix[1:] for suffix in SUFFIXES)}"


def _kernel_cache() -> str:
    from lvistk.jit import cache_folder, is_compiled

    folder = cache_folder()
    if folder is None:
        raise RuntimeError("no folder for compiled kernels; name one in NUMBA_CACHE_DIR")
    state = "compiled" if is_compiled() else "the first evaluation compiles (about 20 s)"
    return f"{folder}: {state}"


def _evaluation() -> str:
    """Evaluate one perfect detection of one box, in files."""
    import json
    import tempfile
    from pathlib import Path

    from lvistk.config.evaluation import EvaluateSettings
    from lvistk.evaluation.evaluate import Results, evaluate

    box = {"image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 10]}
    lists = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    corners = [4, 4, 24, 4, 24, 14, 4, 14]
    gt = {
        "images": [{"id": 1, "width": 40, "height": 30, "file_name": "a.jpg", **lists}],
        "annotations": [{"id": 1, "area": 200, "segmentation": [corners], **box}],
        "categories": [{"id": 1, "name": "box", "frequency": "f"}],
    }
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "gt.json"), Path(folder, "results.json")
        files[0].write_text(json.dumps(gt))
        files[1].write_text(json.dumps([{**box, "score": 0.5}]))
        settings = EvaluateSettings(boundary=False, fixed=False)
        score = evaluate(files[0], Results(files[1]), settings).metrics["bbox"]["AP"]
    if abs(score - 1) > 1e-9:
        raise RuntimeError(f"a perfect detection has AP {score}")
    return f"a perfect detection has AP 1 ({time.monotonic() - started:.1f} s)"


def _small_model(device: Any) -> str:
    """Train a small model for three steps and detect with it; its first loss must equal the CPU's."""
    import torch

    started = time.monotonic()
    first, last, count = _train_and_detect(device)
    if not math.isfinite(last):
        raise RuntimeError(f"the loss became {last}")
    if device.type != "cpu":
        expected, _, _ = _train_and_detect(torch.device("cpu"))
        if abs(first - expected) > TOLERANCE * abs(expected):
            raise RuntimeError(f"the loss is {first:.5f}, on the CPU {expected:.5f}")
    seconds = time.monotonic() - started
    return f"loss {first:.3f}, after 3 steps {last:.3f}, {count} boxes ({seconds:.1f} s)"


def _train_and_detect(device: Any) -> tuple[float, float, int]:
    """First and last loss of three steps on two images of noise, and the boxes detected afterwards."""
    import numpy as np
    import torch

    from lvistk.config.load import update
    from lvistk.config.model import ModelSettings
    from lvistk.masks.instance_masks import ImageMasks
    from lvistk.masks.polygons import rectangles
    from lvistk.models.build import build_model
    from lvistk.structures.categories import Categories
    from lvistk.structures.image_batch import ImageBatch
    from lvistk.structures.targets import Targets

    table = {
        "backbone": {"name": "resnet18", "width": 0.25, "norm": "gn", "frozen_stages": 0},
        "fpn": {"channels": 16},
        "rpn": {"post_nms_train": 100, "post_nms_test": 100},
        "box": {"fc_channels": 32, "batch_per_image": 64},
        "mask": {"channels": 16},
        "classifier": {"kind": "softmax"},
    }
    torch.manual_seed(0)
    counts = np.array([9, 9])
    categories = Categories(
        ids=np.array([1, 2]),
        names=("a", "b"),
        frequency=np.array(["f", "f"]),
        image_count=counts,
        instance_count=counts,
        annotated_images=9,
    )
    model = build_model(update(ModelSettings(), table, where="doctor"), categories).to(device)
    boxes = np.array([[10, 10, 60, 50], [70, 30, 120, 110]], np.float32)
    none = torch.zeros(0, dtype=torch.int64)
    targets = [
        Targets(
            boxes=torch.from_numpy(boxes),
            labels=torch.tensor([0, 1]),
            masks=ImageMasks.build(rectangles(boxes), boxes=boxes, size=(128, 128)),
            area_ratio=torch.ones(2),
            ignore_boxes=torch.zeros(0, 4),
            negative_labels=none,
            not_exhaustive_labels=none,
            seed=seed,
        ).to(device)
        for seed in (1, 2)
    ]
    noise = torch.randint(256, (2, 3, 128, 128), dtype=torch.uint8)
    batch = ImageBatch.stack(list(noise)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(3):
        loss = torch.stack(list(model.losses(batch, targets).values())).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        output = model.detect_boxes(batch)
    return losses[0], losses[-1], sum(map(len, output.boxes))
