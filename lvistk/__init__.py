"""lvistk: instance segmentation with a large, long-tailed vocabulary.

The names below are imported when they are first asked for, so that ``import lvistk`` stays without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvistk.api.detections import ImageDetections
    from lvistk.api.model import Model, load
    from lvistk.api.pictures import Picture
    from lvistk.api.scores import Scores, evaluate
    from lvistk.api.training import StageResult, run, train
    from lvistk.errors import UserError

__version__ = "0.2.0"
__all__ = [
    "ImageDetections",
    "Model",
    "Picture",
    "Scores",
    "StageResult",
    "UserError",
    "evaluate",
    "load",
    "run",
    "train",
]
_HOMES = {
    "ImageDetections": "lvistk.api.detections",
    "Model": "lvistk.api.model",
    "Picture": "lvistk.api.pictures",
    "Scores": "lvistk.api.scores",
    "StageResult": "lvistk.api.training",
    "UserError": "lvistk.errors",
    "evaluate": "lvistk.api.scores",
    "load": "lvistk.api.model",
    "run": "lvistk.api.training",
    "train": "lvistk.api.training",
}


def __getattr__(name: str) -> Any:
    """A name of the Python face, from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lvistk' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
