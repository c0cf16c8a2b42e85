"""``import-weights``: a checkpoint of another toolbox as a model that every stage takes."""

from typing import Any

from lvistk.artifacts import StageFolder
from lvistk.config.importing import ImportWeightsInputs, ImportWeightsSettings
from lvistk.stages.specifications.stage import Stage


def run(
    settings: ImportWeightsSettings, inputs: ImportWeightsInputs, out: StageFolder
) -> dict[str, Any]:
    from lvistk.stages import import_weights  # imports torch

    return import_weights.run(settings, inputs, out)


IMPORT_WEIGHTS = Stage(
    command="import-weights",
    help="Make a model of a checkpoint of detectron2, mmdetection or torchvision.",
    settings=ImportWeightsSettings,
    inputs=ImportWeightsInputs,
    outputs=("model.safetensors", "import.json"),
    run=run,
    options={
        "toolbox": "Which toolbox wrote the checkpoint; auto: known by its names.",
        "labels": "Rows of the last layers that are taken over: same (by category id), by_name, "
        "or leave_out.",
        "categories_order": "Order of the checkpoint's categories: id, or file.",
        "style": "Input of the backbone: pytorch, caffe (MSRA's), bgr (Caffe2's ResNeXts), or auto.",
        "drop": "Leave out names that begin so; may be repeated.",
    },
)
