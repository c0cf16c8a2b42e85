"""Write a model as an ONNX file, and say in it what one needs to use it."""

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import torch

from lvistk import __version__
from lvistk.config.inference import MergeSettings
from lvistk.errors import UserError
from lvistk.inference.onnx.graph import OnnxDetector
from lvistk.inference.views import Size
from lvistk.models.mask_rcnn import MaskRCNN
from lvistk.models.model_file import InputSize
from lvistk.whole_file import whole_file

OPSET = 17
KEY = "lvistk"
"""The file's metadata under this name are JSON."""
EXAMPLE = (224, 320)
"""Height and width of the image that the graph is traced with, where it takes any."""


def detector_of(model: MaskRCNN, merge: MergeSettings) -> OnnxDetector:
    """The function that the file will hold, in eval mode on the CPU; ``model`` stays as it is."""
    return OnnxDetector(copy.deepcopy(model).cpu(), merge).eval()  # pyright: ignore[reportArgumentType]  # the same class


def write_onnx(
    detector: OnnxDetector, path: Path, *, size: Size | None, trained: InputSize
) -> dict[str, Any]:
    """Write ``detector`` to ``path``, whole or not at all; returns its metadata.

    size: height and width of the only images that it takes; None for any.
    trained: sides that images should be resized to.

    Raises ``UserError`` where the package onnx is not installed, or the model cannot be expressed.
    """
    onnx = require_onnx()
    height, width = size or EXAMPLE
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    outputs = output_names(detector)
    dynamic = {name: {0: "detections"} for name in outputs}
    if size is None:
        dynamic["image"] = {1: "height", 2: "width"}
    table = metadata(detector, size=size, trained=trained)
    with whole_file(path) as temporary:
        try:
            _trace(detector, (image, torch.tensor([height, width])), temporary, outputs, dynamic)
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{path}: this model cannot be written as ONNX: {reason}") from error
        proto = onnx.load(str(temporary))
        proto.metadata_props.add(key=KEY, value=json.dumps(table))
        onnx.checker.check_model(proto)
        temporary.write_bytes(proto.SerializeToString())
    return table


def require_onnx() -> Any:
    """The package onnx; a ``UserError`` where it is not installed."""
    try:
        import onnx  # pyright: ignore[reportMissingImports]  # an extra
    except ModuleNotFoundError:
        raise UserError(
            "--as onnx needs the packages onnx and onnxruntime: pip install 'lvistk[onnx]'"
        ) from None
    return onnx


def output_names(detector: OnnxDetector) -> list[str]:
    """Names of the graph's outputs, in order."""
    mask = detector.model.settings.mask
    names = ["boxes", "scores", "labels"]
    if mask.enabled:
        names.append("masks")
        names += ["mask_scores"] if mask.mask_iou else []
    return names


def metadata(detector: OnnxDetector, *, size: Size | None, trained: InputSize) -> dict[str, Any]:
    """What a user of the file has to know, as JSON values."""
    categories = detector.model.categories
    return {
        "version": __version__,
        "names": list(categories.names),
        "category_ids": categories.ids.tolist(),
        "short_edge": trained.short_edge,
        "long_edge": trained.long_edge,
        "size": None if size is None else list(size),
        "score_threshold": detector.merge.score_threshold,
        "nms_iou": detector.merge.nms_iou,
        "max_detections": detector.merge.max_detections,
        "mask_threshold": detector.merge.mask_threshold,
    }


def _trace(
    detector: OnnxDetector,
    example: tuple[torch.Tensor, ...],
    path: Path,
    outputs: list[str],
    dynamic: dict[str, dict[int, str]],
) -> None:
    """By the exporter that records a run: numbers of boxes depend on values, which the newer one refuses."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the exporter, about itself and about each constant
        torch.onnx.export(
            detector,
            example,
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image", "size"],
            output_names=outputs,
            dynamic_axes=dynamic,
        )
