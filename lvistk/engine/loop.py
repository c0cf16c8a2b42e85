"""The one training loop, of both stages: step, log, evaluate, checkpoint, resume."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from lvistk import console, distributed
from lvistk.config.train import LoopSettings, OptimSettings
from lvistk.engine.checkpoint import read_newest, write_checkpoint
from lvistk.engine.ema import AveragedWeights
from lvistk.engine.guard import FiniteGuard
from lvistk.engine.meter import Meter
from lvistk.engine.optimizer import base_rate, build_optimizer, set_rate
from lvistk.engine.precision import autocast, gradient_scaler
from lvistk.engine.schedule import Schedule
from lvistk.engine.state import TrainingState
from lvistk.engine.stopping import StopRequest, stop_requests
from lvistk.errors import UserError
from lvistk.structures.image_batch import ImageBatch
from lvistk.structures.targets import Targets

Part = tuple[ImageBatch, list[Targets]]
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"


class Batches(Protocol):
    """Training data; a batch here is what one rank runs at once (the loop's batch over ranks and parts)."""

    def len_epoch(self, epoch: int) -> int:
        """Samples of an epoch, over all ranks."""
        ...

    def epoch(self, epoch: int, start_sample: int = 0) -> Iterator[Part]:
        """This rank's parts of an epoch, from the global sample ``start_sample`` on."""
        ...


@dataclass(frozen=True)
class Job:
    """What a stage asks the loop to do.

    ``model(batch, targets)`` gives a dict of 0-d losses whose sum is minimised. ``frozen`` modules stay
    in eval mode. ``evaluate(model)`` is called on every rank every ``loop.evaluate_epochs`` epochs; the
    numbers that it returns on the main one are logged under their names.
    """

    model: nn.Module
    batches: Batches
    optim: OptimSettings
    loop: LoopSettings
    folder: Path
    device: torch.device
    seed: int = 0
    frozen: Sequence[nn.Module] = ()
    evaluate: Callable[[nn.Module], dict[str, float | None]] | None = None


def train(job: Job) -> nn.Module:
    """Train ``job.model`` to the end, from the newest checkpoint in the folder if there is one.

    Returns it with its final weights (the averaged ones with ``ema_decay``). SIGTERM or Ctrl-C writes a
    last checkpoint and ends the process with code 128 + signal; raises ``UserError`` when a loss is no
    longer finite, or when an epoch holds less than one batch.
    """
    run = _Run(job)
    done, total = run.state.step, run.last_step
    with stop_requests() as stop, console.progress("train", total, done=done) as bar:
        for parts, waited in run.remaining():
            values = run.step(parts)
            run.meter.add(values, images=job.loop.batch_size, waited=waited)
            bar.advance(note=run.log())
            run.evaluate_if_due()
            run.checkpoint_if_due(stop)
    run.meter.close()
    if run.state.averages is not None:
        run.state.averages.copy_to_model()
    return job.model


class _Run:
    def __init__(self, job: Job) -> None:
        self.job, loop, model = job, job.loop, job.model
        job.folder.mkdir(parents=True, exist_ok=True)
        model.to(job.device)
        if loop.channels_last:
            model.to(memory_format=torch.channels_last)
        self.schedule = Schedule(job.optim, steps_per_epoch=_steps_per_epoch(job))
        total = self.schedule.total_steps
        self.last_step = min(total, loop.max_steps) if loop.max_steps else total
        self.rate = base_rate(job.optim, batch_size=loop.batch_size)
        self.state = TrainingState(
            model,
            optimizer=build_optimizer(model, job.optim),
            scaler=gradient_scaler(loop.precision, device=job.device),
            averages=AveragedWeights(model, decay=loop.ema_decay) if loop.ema_decay else None,
        )
        self._saved = -1
        self._resume()
        self.guard = FiniteGuard(job.device)
        board = job.folder / "tensorboard" if loop.tensorboard else None
        keep = self.state.step if console.is_main_process() else None
        log = console.MetricsLog(job.folder / METRICS, keep_steps=keep)
        self.meter = Meter(log, device=job.device, tensorboard=board)
        self.note = ""
        self.forward = _parallel(model, job.device)
        self._to_training_mode()

    def _resume(self) -> None:
        found = read_newest(self.job.folder / CHECKPOINTS)
        if found is not None:
            self.state.restore(found)
            self._saved = self.state.step
            console.say(f"resuming after step {self.state.step} of {self.last_step}")

    def _to_training_mode(self) -> None:
        self.job.model.train()
        for module in self.job.frozen:
            module.eval()

    def remaining(self) -> Iterator[tuple[list[Part], float]]:
        """The parts of every step still to do, and the seconds waited for them."""
        loop = self.job.loop
        while self.state.step < self.last_step:
            epoch, within = self.schedule.place(self.state.step)
            batches = self.job.batches.epoch(epoch, within * loop.batch_size)
            for _ in range(min(self.schedule.epoch_ends[epoch], self.last_step) - self.state.step):
                started = time.perf_counter()
                parts = [next(batches) for _ in range(loop.accumulate)]
                yield parts, time.perf_counter() - started

    def step(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """One update of the weights; returns the mean losses of ``parts``, and the gradient norm."""
        state, optim = self.state, self.job.optim
        torch.manual_seed(_step_seed(self.job.seed, step=state.step, rank=distributed.rank()))
        set_rate(state.optimizer, self.rate * self.schedule.factor(state.step))
        values = self._backward(parts)
        if optim.clip_norm:
            state.scaler.unscale_(state.optimizer)
            norm = clip_grad_norm_(self.job.model.parameters(), optim.clip_norm)
            if not state.scaler.is_enabled():  # the scaler skips a step whose gradient overflows
                self.guard.watch(state.step, {**values, "grad_norm": norm}, _image_ids(parts))
            values["grad_norm"] = norm
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)  # here, so that no forward pass carries them
        if state.averages is not None:
            state.averages.update(updates=state.step)
        state.step += 1
        return values

    def _backward(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        loop, device = self.job.loop, self.job.device
        sums: dict[str, Tensor] = {}
        for number, (batch, targets) in enumerate(parts, start=1):
            batch = batch.to(device, channels_last=loop.channels_last)
            targets = [target.to(device) for target in targets]
            with _synchronised(self.forward, last=number == len(parts)):
                with autocast(loop.precision, device=device):
                    losses = self.forward(batch, targets)
                self.guard.watch(self.state.step, losses, [t.image_id for t in targets])
                total = torch.stack(list(losses.values())).sum() / len(parts)
                self.state.scaler.scale(total).backward()
            for name, value in {**losses, "loss": total * len(parts)}.items():
                value = value.detach() / len(parts)
                sums[name] = sums[name] + value if name in sums else value
        return sums

    def log(self) -> str:
        """Write a metrics row when it is due; returns the note beside the progress bar."""
        step = self.state.step
        if step % self.job.loop.log_steps == 0 or step == self.last_step:
            self.guard.check()
            rate = self.state.optimizer.param_groups[0]["lr"]
            row = self.meter.write(step=step, epoch=self.schedule.epoch_of(step), rate=rate)
            share, memory = row["data_share"], row["memory_gib"]
            self.note = (
                f"loss {row['loss']:.3f} lr {rate:.2g} {row['photos_per_s']:.1f} images/s "
                f"data {share:.0%} {memory:.1f} GiB"
            )
        return self.note

    def evaluate_if_due(self) -> None:
        epoch, within = self.schedule.place(self.state.step)
        every, evaluate = self.job.loop.evaluate_epochs, self.job.evaluate
        if evaluate is None or not every or within or epoch % every:
            return
        averages, started = self.state.averages, time.perf_counter()
        with averages.in_model() if averages is not None else contextlib.nullcontext():
            self.job.model.eval()
            numbers = evaluate(self.job.model)
        self._to_training_mode()
        self.meter.write_row({"step": self.state.step, "epoch": epoch, **numbers})
        self.meter.leave_out(time.perf_counter() - started)

    def checkpoint_if_due(self, stop: StopRequest) -> None:
        """Save every ``checkpoint_steps``, at the end, and when asked to stop (then leave)."""
        signal, step = stop.agreed(), self.state.step
        due = step % self.job.loop.checkpoint_steps == 0 or step == self.last_step
        if (due or signal) and step != self._saved:
            self.guard.check()
            if console.is_main_process():
                folder, keep = self.job.folder / CHECKPOINTS, self.job.loop.checkpoints_kept
                write_checkpoint(folder, step=step, keep=keep, **self.state.gather()._asdict())
            self._saved = step
        if signal:
            console.warn(f"stopped after step {step} of {self.last_step}; run again to resume")
            raise SystemExit(128 + signal)


def _steps_per_epoch(job: Job) -> list[int]:
    batch, world = job.loop.batch_size, distributed.world_size()
    if batch % (world * job.loop.accumulate):
        raise UserError(
            f"loop.batch_size = {batch} does not divide over {world} process(es) in "
            f"loop.accumulate = {job.loop.accumulate} parts; make it a multiple"
        )
    steps = [job.batches.len_epoch(epoch) // batch for epoch in range(job.loop.epochs)]
    if not steps or min(steps) == 0:
        raise UserError(
            f"an epoch has fewer than loop.batch_size = {batch} samples; lower the batch size"
        )
    return steps


def _parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """The model, or its copy of this rank whose gradients are averaged over ranks."""
    if not distributed.is_distributed():
        return model
    ids = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=ids)


def _synchronised(forward: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[None]:
    """Ranks exchange gradients in the last part of a step only."""
    if isinstance(forward, DistributedDataParallel) and not last:
        return forward.no_sync()
    return contextlib.nullcontext()


def _step_seed(seed: int, *, step: int, rank: int) -> int:
    """Seed of the global generators (dropout, stochastic depth) for one step of one rank."""
    text = f"{seed}/{step}/{rank}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")


def _image_ids(parts: Sequence[Part]) -> list[int]:
    return [target.image_id for _, targets in parts for target in targets]
