"""What a small evaluation doesn't pay for: parts of the program that its input has no use for."""

import json
import subprocess
import sys
from pathlib import Path

EVALUATE_BOXES = """
import sys
from pathlib import Path
from lvistk.config.evaluation import EvaluateSettings
from lvistk.evaluation import block_mask
from lvistk.evaluation.evaluate import Results, evaluate
gt, results = map(Path, sys.argv[1:])
outcome = evaluate(gt, Results(results), EvaluateSettings())
assert outcome.metrics["bbox"]["AP"] > 0.999, outcome.metrics
assert "h5py" not in sys.modules
assert not block_mask._spans_of_block.signatures
"""


def test_boxes_from_json_need_neither_hdf5_nor_the_kernel_of_masks(tmp_path: Path) -> None:
    box = [1.0, 2.0, 30.0, 40.0]
    gt, results = tmp_path / "gt.json", tmp_path / "dt.json"
    image = {"id": 1, "height": 80, "width": 90}
    image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 1200.0}
    one["segmentation"] = [[1, 2, 31, 2, 31, 42, 1, 42]]
    category = {"id": 1, "name": "cup", "frequency": "f"}
    document = {"images": [image], "annotations": [one], "categories": [category]}
    gt.write_text(json.dumps(document))
    detection = {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9}
    results.write_text(json.dumps([detection]))
    command = [sys.executable, "-c", EVALUATE_BOXES, str(gt), str(results)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
