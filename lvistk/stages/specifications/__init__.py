"""The specification of every stage, in the order of the method; a stage is known by its command."""

from collections.abc import Callable, Iterator, Mapping

from lvistk.stages.specifications.stage import Stage


def _train_repr() -> Stage:
    from lvistk.stages.specifications.train_repr import TRAIN_REPR

    return TRAIN_REPR


def _pseudo_label() -> Stage:
    from lvistk.stages.specifications.pseudo_label import PSEUDO_LABEL

    return PSEUDO_LABEL


def _filter_missing() -> Stage:
    from lvistk.stages.specifications.filter_missing import FILTER_MISSING

    return FILTER_MISSING


def _finetune() -> Stage:
    from lvistk.stages.specifications.finetune import FINETUNE

    return FINETUNE


def _tta_infer() -> Stage:
    from lvistk.stages.specifications.tta_infer import TTA_INFER

    return TTA_INFER


def _predict() -> Stage:
    from lvistk.stages.specifications.predict import PREDICT

    return PREDICT


def _evaluate() -> Stage:
    from lvistk.stages.specifications.evaluate import EVALUATE

    return EVALUATE


def _import_weights() -> Stage:
    from lvistk.stages.specifications.import_weights import IMPORT_WEIGHTS

    return IMPORT_WEIGHTS


class _Stages(Mapping[str, Stage]):
    """Stages by command, each imported when it is asked for: one stage needs few of all settings."""

    def __init__(self, imports: Mapping[str, Callable[[], Stage]]) -> None:
        self._imports = imports

    def __getitem__(self, command: str) -> Stage:
        return self._imports[command]()

    def __contains__(self, command: object) -> bool:
        return command in self._imports

    def __iter__(self) -> Iterator[str]:
        return iter(self._imports)

    def __len__(self) -> int:
        return len(self._imports)


STAGES: Mapping[str, Stage] = _Stages(
    {
        "train-repr": _train_repr,
        "pseudo-label": _pseudo_label,
        "filter-missing": _filter_missing,
        "finetune": _finetune,
        "tta-infer": _tta_infer,
        "predict": _predict,
        "evaluate": _evaluate,
        "import-weights": _import_weights,
    }
)
