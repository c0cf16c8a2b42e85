"""The learning rate of every step: warm-up, then steps or a cosine, counted in epochs."""

import bisect
import itertools
import math
from collections.abc import Sequence

from lvistk.config.train import OptimSettings


class Schedule:
    """Factor on the base rate at each step of a run whose epochs need not be equally long.

    steps_per_epoch: steps of each epoch, all epochs (repeat factor sampling may draw another number
    of images every time). A milestone in ``step_epochs`` is the end of that epoch; one at or after
    the last epoch is never reached.
    """

    def __init__(self, settings: OptimSettings, *, steps_per_epoch: Sequence[int]) -> None:
        self.epoch_ends = tuple(itertools.accumulate(steps_per_epoch))
        self.total_steps = self.epoch_ends[-1] if self.epoch_ends else 0
        self._settings = settings
        inside = [e for e in settings.step_epochs if 0 < e < len(self.epoch_ends)]
        self._milestones = sorted(self.epoch_ends[e - 1] for e in inside)

    def epoch_and_step(self, step: int) -> tuple[int, int]:
        """Epoch that ``step`` (0 is the first) belongs to, and its number within that epoch."""
        epoch = bisect.bisect_right(self.epoch_ends, step)
        return epoch, step - (self.epoch_ends[epoch - 1] if epoch else 0)

    def epoch_of(self, step: int) -> float:
        """Epochs done after ``step`` steps, with a fraction."""
        epoch, within = self.epoch_and_step(step)
        if epoch == len(self.epoch_ends):
            return float(epoch)
        start = self.epoch_ends[epoch - 1] if epoch else 0
        return epoch + within / (self.epoch_ends[epoch] - start)

    def factor(self, step: int) -> float:
        """Factor on the base rate at ``step``, 0 to 1: warm-up times decay."""
        return self._warmup(step) * self._decay(step)

    def _warmup(self, step: int) -> float:
        steps, start = self._settings.warmup_steps, self._settings.warmup_factor
        return 1.0 if step >= steps else start + (1 - start) * step / steps

    def _decay(self, step: int) -> float:
        if self._settings.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * step / max(self.total_steps, 1)))
        return self._settings.step_factor ** bisect.bisect_right(self._milestones, step)
