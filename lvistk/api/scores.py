"""Evaluation in Python: files, or ground truth and results in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lvistk import console
from lvistk.config.evaluation import EvaluateSettings
from lvistk.errors import UserError
from lvistk.masks import rle

if TYPE_CHECKING:
    from lvistk.api.detections import ImageDetections
    from lvistk.evaluation.outcome import Outcome

Score = float | None
"""0 to 1; None where nothing defines it, as APr without rare categories."""
COLUMNS = 7
"""Of results as an array: image_id, x, y, width, height, score, category_id."""


class Scores:
    """The scores of an evaluation.

    metrics: what ``metrics.json`` holds: a table of scores for each of ``segm``, ``bbox``, ``boundary``,
        ``segm_fixed``, ``bbox_fixed``, and the gap, the area ratios and the warnings.
    per_category: one table per category, as ``per_category.json`` holds them.
    """

    def __init__(self, metrics: dict[str, Any], per_category: list[dict[str, Any]]) -> None:
        self.metrics = metrics
        self.per_category = per_category

    @property
    def segm(self) -> dict[str, Score]:
        """Scores of masks: AP, AP50, AP75, APs, APm, APl, APr, APc, APf, and average recall."""
        return self._table("segm", "masks")

    @property
    def bbox(self) -> dict[str, Score]:
        """Scores of boxes, by the same names."""
        return self._table("bbox", "boxes")

    @property
    def boundary(self) -> dict[str, Score]:
        """Scores of masks by the smaller of mask IoU and boundary IoU."""
        return self._table("boundary", "boundaries")

    @property
    def warnings(self) -> list[str]:
        """What the evaluation left out, a line each."""
        return self.metrics["warnings"]

    def _table(self, name: str, what: str) -> dict[str, Score]:
        if name not in self.metrics:
            known = [key for key in ("segm", "bbox", "boundary") if key in self.metrics]
            raise UserError(f"{what} were not evaluated; there are scores of {', '.join(known)}")
        return self.metrics[name]

    def __repr__(self) -> str:
        """``Scores(segm AP 25.1, bbox AP 27.0)``, in percent."""
        shown = [
            f"{name} AP {console.cell(None if one is None else 100 * one, digits=1)}"
            for name in ("segm", "bbox")
            if name in self.metrics and [one := self.metrics[name]["AP"]]
        ]
        return f"Scores({', '.join(shown)})"


def evaluate(
    gt: "str | Path | Mapping[str, Any]",
    results: "str | Path | Sequence[Mapping[str, Any]] | Sequence[ImageDetections] | np.ndarray",
    *,
    boxes: "str | Path | None" = None,
    settings: EvaluateSettings | None = None,
) -> Scores:
    """Scores by the official LVIS protocol, equal to lvis-api's.

    gt: an LVIS or COCO annotation file, or its content: a table of images, annotations and categories.
    results: a results JSON, a detection store, or a ``tta-infer`` folder; or records of results
        (segmentation: RLE with counts as text or bytes, polygons, or a bool array (H, W)); or detections of
        a model; or an array (N, 7) of image_id, x, y, width, height, score, category_id.
    boxes: a second results JSON, where boxes are in a file of their own.
    settings: by default those of ``lvistk evaluate``.

    Raises ``UserError`` for anything wrong with the files, naming file and record.
    """
    if isinstance(results, Mapping):
        raise UserError("results: a table; give a list of records, detections, or an array (N, 7)")
    with TemporaryDirectory() as folder:
        try:
            return _evaluate_in(_Files(Path(folder)), gt, results, boxes=boxes, settings=settings)
        except UserError as error:  # what was in memory is named without the folder
            raise UserError(str(error).replace(f"{folder}/", "")) from None


def _evaluate_in(
    files: "_Files",
    gt: Any,
    results: Any,
    *,
    boxes: "str | Path | None",
    settings: EvaluateSettings | None,
) -> Scores:
    """``evaluate``, with files for what is in memory."""
    gt_path = Path(gt) if isinstance(gt, str | Path) else files.gt(gt)
    second = None if boxes is None else Path(boxes)
    if isinstance(results, str | Path):
        first = Path(results)
    elif isinstance(results, np.ndarray):
        first = files.write("results.json", _records_of_array(results))
    elif results and not isinstance(results[0], Mapping):
        first, second = files.detections(results)
    else:
        first = files.write("results.json", [_with_text(record) for record in results])
    return _scores(_evaluate(gt_path, first, second, settings))


class _Files:
    """What is in memory as the files that the evaluation reads, in a folder that goes afterwards."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def gt(self, table: Mapping[str, Any]) -> Path:
        annotations = [_with_text(record) for record in table.get("annotations", ())]
        return self.write("gt.json", {**table, "annotations": annotations})

    def detections(self, images: Any) -> tuple[Path, Path | None]:
        """Masks, ranked by their scores and without boxes, and boxes."""
        boxes = [record for image in images for record in image.to_lvis(kind="bbox")]
        path = self.write("boxes.json", boxes)
        if any(image.rle is None for image in images):
            return path, None
        masks = [record for image in images for record in image.to_lvis(kind="segm")]
        return self.write("masks.json", masks), path

    def write(self, name: str, content: Any) -> Path:
        path = self._folder / name
        path.write_bytes(msgspec.json.encode(content, enc_hook=_plain))
        return path


def _evaluate(
    gt: Path, results: Path, boxes: Path | None, settings: EvaluateSettings | None
) -> "Outcome":
    from lvistk.evaluation import evaluate as evaluation  # imports numba
    from lvistk.jit import is_compiled

    if not is_compiled():
        console.say("compiling the evaluation kernels, once (about 20 s)")
    chosen = settings or EvaluateSettings()
    return evaluation.evaluate(gt, evaluation.Results(results, boxes), chosen)


def _scores(outcome: "Outcome") -> Scores:
    from lvistk.evaluation.tables import per_category

    return Scores(outcome.metrics, list(per_category(outcome)))


def _records_of_array(rows: np.ndarray) -> list[dict[str, Any]]:
    if rows.ndim != 2 or rows.shape[1] != COLUMNS:
        raise UserError(
            f"results: an array {rows.shape}; give (N, 7): image_id, x, y, width, height, score, category_id"
        )
    broken = np.flatnonzero(~np.isfinite(rows.astype(float)).all(1))
    if len(broken):
        raise UserError(f"results: row {broken[0]} of the array holds a number that is not finite")
    return [
        {"image_id": int(row[0]), "bbox": row[1:5], "score": row[5], "category_id": int(row[6])}
        for row in rows.astype(float).tolist()
    ]


def _with_text(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record whose RLE is text, where pycocotools gives bytes."""
    mask = record.get("segmentation")
    if isinstance(mask, Mapping) and isinstance(mask.get("counts"), bytes):
        return {**record, "segmentation": {**mask, "counts": mask["counts"].decode("ascii")}}
    return record


def _plain(value: Any) -> Any:
    """Numpy's values, bytes and masks as JSON has them."""
    if isinstance(value, np.ndarray) and value.dtype == bool and value.ndim == 2:
        counts = rle.encode(value).decode("ascii")
        return {"size": list(value.shape), "counts": counts}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise UserError(f"results or ground truth hold a value of type {type(value).__name__}")
