"""Everything that a training step changes, gathered for a checkpoint and put back from one."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lvistk.engine.checkpoint import Checkpoint
from lvistk.engine.ema import AveragedWeights
from lvistk.errors import UserError


class TrainingState:
    """Model (its buffers hold the counters of EQL v2 and Seesaw), optimiser, scaler, averages, step.

    Random states are not in it: every random choice of a step is drawn from generators that are
    seeded by (seed, epoch, sample) or (seed, step, rank), so there is nothing to put back. The rate is
    a function of the step.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: Optimizer,
        scaler: torch.amp.GradScaler,
        averages: AveragedWeights | None,
    ) -> None:
        self.model, self.optimizer, self.scaler = model, optimizer, scaler
        self.averages = averages
        self.step = 0

    def gather(self) -> Checkpoint:
        """Tensors under ``model.``, ``optimizer.PARAMETER.`` and ``average.``; JSON for the rest."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        names: dict[Tensor, str] = {p: name for name, p in self.model.named_parameters()}
        for parameter, values in self.optimizer.state.items():
            for key, value in values.items():
                if value is not None:  # momentum of a parameter that has had no gradient yet
                    tensors[f"optimizer.{names[parameter]}.{key}"] = value
        if self.averages is not None:
            tensors |= {f"average.{name}": v for name, v in self.averages.averages.items()}
        return Checkpoint(tensors, {"step": self.step, "scaler": self.scaler.state_dict()})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue as the run that gathered ``checkpoint``."""
        parts = _by_prefix(checkpoint.tensors)
        try:
            self.model.load_state_dict(parts["model"])
        except RuntimeError as error:
            raise UserError(f"the checkpoint is of another model: {error}") from None
        self._restore_optimizer(parts["optimizer"])
        if self.averages is not None:
            self.averages.load(parts["average"])
        if checkpoint.table["scaler"]:  # empty of a run that was not in fp16
            self.scaler.load_state_dict(checkpoint.table["scaler"])
        self.step = checkpoint.table["step"]

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        values: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            parameter, _, key = name.rpartition(".")
            values.setdefault(parameter, {})[key] = tensor
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        order = [names[p] for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[str, Any] = self.optimizer.state_dict()
        state["state"] = {i: values[name] for i, name in enumerate(order) if name in values}
        self.optimizer.load_state_dict(state)


def _by_prefix(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "average": {}}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(".")
        parts[prefix][rest] = tensor
    return parts
