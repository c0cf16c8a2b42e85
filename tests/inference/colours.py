"""A detector without weights for images of plain colours, and such images.

Label c is whatever has the c-th colour; its box is tight, its mask exact up to the view's pixels. So what
inference does around a model can be compared with the ground truth.
"""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from lvistk.config.model import MaskHeadSettings, ModelSettings
from lvistk.structures.categories import Categories
from lvistk.structures.image_batch import ImageBatch

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
CATEGORIES = Categories(
    ids=np.array([2, 7, 9]),
    names=("hook", "disk", "bar"),
    frequency=np.array(["f", "r", "c"]),
    image_count=np.array([200, 4, 40]),
    instance_count=np.array([300, 4, 50]),
)


class ColourDetector(nn.Module):
    """Implements ``inference.multi_view.Detector``; ``backbone_runs`` counts the passes over an image."""

    def __init__(self, *, mask_iou: bool = False, masks: bool = True) -> None:
        super().__init__()
        mask = MaskHeadSettings(mask_iou=mask_iou, enabled=masks)
        self.settings = ModelSettings(mask=mask)
        self.categories = CATEGORIES
        self.backbone_runs = 0

    def inference_features(self, batch: ImageBatch) -> list[Tensor]:
        self.backbone_runs += 1
        palette = torch.from_numpy(COLOURS).float()[None, :, :, None, None]
        distance = (batch.images[:, None].float() - palette).abs().amax(2)  # (B, C, H, W)
        return [(distance < 128).float()]

    def detect_boxes(self, batch: ImageBatch) -> SimpleNamespace:
        features = self.inference_features(batch)
        boxes = [torch.stack([_tight(m) for m in maps]) for maps in features[0]]  # (C, 4) each
        scores = [torch.diag(torch.tensor([0.9, 0.8, 0.7])) for _ in boxes]
        return SimpleNamespace(features=features, boxes=boxes, scores=scores, proposals=boxes)

    def predict_masks(self, features, boxes, labels):
        outputs = []
        for maps, of_image, kinds in zip(features[0], boxes, labels, strict=True):
            limit = torch.tensor(maps.shape[:0:-1]).repeat(2)
            assert ((of_image >= -1e-3) & (of_image <= limit + 1e-3)).all(), "box beyond its view"
            rows = torch.cat([kinds[:, None].float(), of_image], 1)
            probs = roi_align(maps[:, None], rows, (28, 28), aligned=True)[:, 0]
            iou = torch.full((len(kinds),), 0.5) if self.settings.mask.mask_iou else None
            outputs.append(SimpleNamespace(probs=probs, iou=iou, moved=0.25))
        return outputs


def _tight(mask: Tensor) -> Tensor:
    rows, columns = torch.nonzero(mask.any(1)).flatten(), torch.nonzero(mask.any(0)).flatten()
    if not len(rows):
        return torch.zeros(4)
    corners = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return torch.stack(corners).float()


def paint(height: int, width: int, *, kinds: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    """An image (H, W, 3) RGB with a hook (L-shaped, so that a flip shows), a disk and a bar."""
    image = np.full((height, width, 3), 128, np.uint8)
    if 0 in kinds:
        image[height // 8 : height // 2, width // 8 : width // 4] = COLOURS[0]
        image[height * 3 // 8 : height // 2, width // 8 : width * 3 // 8] = COLOURS[0]
    if 1 in kinds:
        centre = (width * 3 // 4, height // 3)
        cv2.circle(image, centre, min(height, width) // 8, COLOURS[1].tolist(), -1)
    if 2 in kinds:
        image[height * 3 // 4 : height * 7 // 8, width // 16 : width * 15 // 16] = COLOURS[2]
    return image


def gt(image: np.ndarray, label: int) -> np.ndarray:
    """Bitmap (H, W) of a label in a painted image."""
    return (image == COLOURS[label]).all(2)


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path
