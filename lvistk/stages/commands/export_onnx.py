"""A model as an ONNX file, checked against torch."""

import dataclasses
import re
from pathlib import Path

import torch

from lvistk import console
from lvistk.config.inference import PLAIN_MERGE, ViewSettings
from lvistk.data.images.listed_images import ListedImages
from lvistk.errors import UserError
from lvistk.importing.any_model import load_any_model
from lvistk.inference.onnx.check import LEAST_SCORE, OnnxModel, check_onnx
from lvistk.inference.onnx.write import detector_of, require_onnx, write_onnx
from lvistk.inference.views import Size, plan_views
from lvistk.whole_file import whole_file

MOST_CHECKED = 8
"""Images that a file is compared on."""


def write_checked(
    source: Path, out: Path, *, size: str, images: Path | None, min_score: float
) -> str:
    """Write the model of ``source`` as ONNX and compare it with torch; says how well they agree.

    size: ``HEIGHTxWIDTH`` of the only images that the file takes, or ``dynamic``.
    images: folder, glob or list whose first images both are run on; None: no comparison.
    min_score: detections that score less are left out; 0: less than ``LEAST_SCORE``.

    Raises ``UserError``, and leaves no file, where they disagree by more than the tolerances.
    """
    require_onnx()
    fixed = _size(size)
    loaded = load_any_model(source, device=torch.device("cpu"))
    merge = dataclasses.replace(PLAIN_MERGE, score_threshold=min_score or LEAST_SCORE)
    detector = detector_of(loaded.network, merge)
    edges = ViewSettings(short_edges=(loaded.size.short_edge,), long_edge=loaded.size.long_edge)
    view = plan_views(edges)[0]
    with whole_file(out) as temporary:
        write_onnx(detector, temporary, size=fixed, trained=loaded.size)
        console.say(f"{out}: {temporary.stat().st_size / 1e6:.1f} MB, {_said(fixed)}")
        if images is None:
            OnnxModel(temporary)
            return "not compared with torch: give --images, a folder of images"
        listed = ListedImages([images])
        paths = [listed.path(k) for k in range(min(len(listed), MOST_CHECKED))]
        agreement = check_onnx(temporary, detector, paths, view=view, size=fixed)
        if not agreement.is_good:
            raise UserError(f"{out}: not written, it disagrees with torch: {agreement.text()}")
    return f"as torch: {agreement.text()}"


def _size(text: str) -> Size | None:
    if text == "dynamic":
        return None
    sides = re.fullmatch(r"(\d+)x(\d+)", text)
    if sides is None or min(int(side) for side in sides.groups()) < 32:
        raise UserError(f"--size {text}: write HEIGHTxWIDTH, each at least 32, or dynamic")
    return int(sides[1]), int(sides[2])


def _said(size: Size | None) -> str:
    return "for images of any size" if size is None else f"for images up to {size[0]}x{size[1]}"
