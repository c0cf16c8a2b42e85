"""Stops a run whose loss or gradient is no longer finite, naming the losses and the images."""

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lvistk.errors import UserError


class NotFiniteError(UserError):
    """A loss or gradient of ``step`` (0 is the first) is not finite."""

    def __init__(self, message: str, *, step: int) -> None:
        super().__init__(message)
        self.step = step


@dataclasses.dataclass(frozen=True)
class _Watched:
    step: int
    values: dict[str, Tensor]
    image_ids: tuple[int, ...]


class FiniteGuard:
    """Looks at every step's values; on a GPU, only ``check`` waits for the device.

    The losses of all steps since the last check are kept (a few numbers each), so that the step that
    broke is named even when it is noticed later. On a CPU each ``watch`` checks at once, before the
    step changes a weight.
    """

    def __init__(self, device: torch.device) -> None:
        self._waits = device.type != "cpu"
        self._watched: deque[_Watched] = deque()

    def watch(self, step: int, values: Mapping[str, Tensor], image_ids: Sequence[int]) -> None:
        """Remember 0-d ``values`` (losses, or a gradient norm) of a batch of ``image_ids``."""
        kept = {name: value.detach() for name, value in values.items()}
        self._watched.append(_Watched(step, kept, tuple(image_ids)))
        if not self._waits:
            self.check()

    def check(self) -> None:
        """Raise ``NotFiniteError`` for the first remembered step with a value that is not finite."""
        watched = list(self._watched)
        self._watched.clear()
        numbers = [value.float() for entry in watched for value in entry.values.values()]
        if not numbers or bool(torch.stack(numbers).isfinite().all()):
            return
        for entry in watched:
            read = {name: float(value) for name, value in entry.values.items()}
            bad = [name for name, value in read.items() if not _is_finite(value)]
            if bad:
                raise NotFiniteError(_message(entry, read, bad), step=entry.step)


def _message(entry: _Watched, read: Mapping[str, float], bad: Sequence[str]) -> str:
    all_parts = ", ".join(f"{name} {value:.4g}" for name, value in read.items())
    ids = ", ".join(map(str, entry.image_ids))
    return (
        f"step {entry.step + 1}: {', '.join(bad)} not finite ({all_parts}) on images {ids}; look at their "
        "annotations, or go on from the last checkpoint with a lower optim.lr or with optim.clip_norm "
        "(--resume-with-changes; --force starts anew)"
    )


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")
