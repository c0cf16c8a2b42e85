"""What all parts of a plan go by: data, machine, wishes, and what follows from them at any image size."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lvistk.planning import rules
from lvistk.planning.cost import batch_aspect
from lvistk.planning.fingerprint import Fingerprint
from lvistk.planning.machine import Machine
from lvistk.planning.planned import Wishes

EXHAUSTIVE = 0.99
"""Where so many of the absent categories are verified to be absent, no annotation is missing."""


@dataclass(frozen=True, eq=False)
class Basis:
    """One data set, machine and wish."""

    fp: Fingerprint
    machine: Machine
    wishes: Wishes

    @cached_property
    def tail(self) -> rules.Tail:
        return rules.tail(self.fp)

    @cached_property
    def batch(self) -> rules.Reasoned:
        return rules.batch_size(self.fp, self.machine)

    @cached_property
    def aspect(self) -> float:
        """Longer side over shorter side of the usual image."""
        return float(np.median(self.fp.aspects))

    @cached_property
    def batch_aspect(self) -> float:
        """The same of a batch, which is padded to its largest image."""
        return batch_aspect(self.fp.aspects, int(self.batch.value))

    @property
    def epoch_images(self) -> float:
        """Images of an epoch, repeats included."""
        return self.fp.images * self.tail.growth

    @property
    def epoch_steps(self) -> int:
        return max(1, math.ceil(self.epoch_images / self.batch.value))

    @property
    def may_miss(self) -> bool:
        """Whether annotations may be missing."""
        return self.fp.exhaustive < EXHAUSTIVE

    @property
    def rounds(self) -> int:
        """Trainings of stage 1: a second one where self-training has something to add."""
        return 2 if self.may_miss or self.wishes.pool else 1

    @property
    def on_cpu(self) -> bool:
        return self.machine.kind == "cpu"

    @property
    def wanted_steps(self) -> rules.Reasoned:
        """Steps that the schedule should have."""
        start = self.wishes.start
        return rules.wanted_steps(self.epoch_images, batch=self.batch.value, start=start)

    @property
    def least_steps(self) -> float:
        """Steps that the schedule must have."""
        return rules.least_steps(self.wishes.start, batch=self.batch.value)

    def epochs(self, steps: float) -> int:
        """Whole epochs that come nearest to so many steps without exceeding them, at least one."""
        return max(1, math.floor(steps / self.epoch_steps + 0.01))

    def whole_epochs(self, steps: float) -> int:
        """The steps of these epochs."""
        return self.epochs(steps) * self.epoch_steps

    def enough_epochs(self, steps: float) -> int:
        """The steps of the fewest whole epochs that hold so many."""
        return math.ceil(steps / self.epoch_steps) * self.epoch_steps

    def long_edge(self, size: float) -> int:
        """Limit of the longer side where the shorter one is ``size``."""
        return int(rules.long_edge(self.fp, size).value)

    @property
    def most_detections(self) -> int:
        """Detections kept per image."""
        return 100 if self.on_cpu else 300
