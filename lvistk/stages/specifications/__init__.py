"""The specification of every stage, in the order of the method; a stage is known by its command."""

from lvistk.stages.specifications.evaluate import EVALUATE
from lvistk.stages.specifications.filter_missing import FILTER_MISSING
from lvistk.stages.specifications.finetune import FINETUNE
from lvistk.stages.specifications.import_weights import IMPORT_WEIGHTS
from lvistk.stages.specifications.pseudo_label import PSEUDO_LABEL
from lvistk.stages.specifications.stage import Stage
from lvistk.stages.specifications.train_repr import TRAIN_REPR
from lvistk.stages.specifications.tta_infer import TTA_INFER

STAGES: dict[str, Stage] = {
    stage.command: stage
    for stage in (
        TRAIN_REPR,
        PSEUDO_LABEL,
        FILTER_MISSING,
        FINETUNE,
        TTA_INFER,
        EVALUATE,
        IMPORT_WEIGHTS,
    )
}
