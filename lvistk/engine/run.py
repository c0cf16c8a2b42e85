"""One run of the training loop: resume, step, log, save, validate."""

import contextlib
import hashlib
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from lvistk import console, distributed
from lvistk.config.load import to_table
from lvistk.engine.checkpoint import (
    go_back,
    keep_best,
    read_newest,
    remove_leftovers,
    write_checkpoint,
)
from lvistk.engine.ema import AveragedWeights
from lvistk.engine.guard import FiniteGuard
from lvistk.engine.job import CHECKPOINTS, METRICS, Job, Part
from lvistk.engine.meter import Meter
from lvistk.engine.optimizer import base_rate, build_optimizer, set_rate
from lvistk.engine.precision import autocast, gradient_scaler
from lvistk.engine.schedule import Schedule
from lvistk.engine.state import TrainingState
from lvistk.engine.stopping import StopRequest
from lvistk.engine.trackers import Tracker, open_trackers
from lvistk.errors import UserError
from lvistk.models.model_file import CHECKPOINT_KIND

SCORE = "AP"
"""The validation's number by which the best checkpoint is chosen."""


class Run:
    """A job under way: its state, and what one step of it does."""

    def __init__(self, job: Job) -> None:
        self.job, loop, model = job, job.loop, job.model
        job.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints = job.folder / CHECKPOINTS
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
        self._saved = self._resumed = -1
        self._rates = to_table(job.optim)
        self._has_other_rates = False
        self._resume()
        self._warn_of_a_cut_cosine()
        self.guard = FiniteGuard(job.device)
        keep = self.state.step if console.is_main_process() else None
        log = console.MetricsLog(job.folder / METRICS, keep_steps=keep)
        self.meter = Meter(log, device=job.device, trackers=_trackers(job))
        self.note = ""
        self.forward = _parallel(model, job.device)
        self._to_training_mode()

    def _resume(self) -> None:
        if console.is_main_process():
            remove_leftovers(self.checkpoints)
        newest = read_newest(self.checkpoints)
        if newest is not None:
            self.state.restore(newest)
            self._saved = self._resumed = self.state.step
            if self._saved > self.last_step:
                raise UserError(
                    f"{self.checkpoints}: holds {self._saved} steps and the run would end after "
                    f"{self.last_step}; raise loop.epochs or loop.max_steps, or choose another --out"
                )
            self._has_other_rates = newest.table.get("optim", self._rates) != self._rates
            console.say(f"resuming after step {self.state.step} of {self.last_step}")
        if console.is_main_process():
            self.job.resumed(self.state.step)

    def left_spoiled(self, broken_step: int) -> bool:
        """After a step that was not finite: whether its checkpoint was at fault and is removed.

        That is so where the first step after the resume broke, or a step before the next checkpoint though
        rate or clipping have been changed since (unchanged, it would break again at the same step). An
        earlier checkpoint must be whole, from which another ``Run`` of the job then begins. Ranks do not
        agree on this: several go on failing.
        """
        self.meter.close()
        at_once = broken_step == self._resumed
        again = self._has_other_rates and self._saved == self._resumed
        if not (at_once or again) or distributed.is_distributed():
            return False
        if not go_back(self.checkpoints, step=self._resumed):
            return False
        why = (
            "was spoiled already: its next loss is not finite"
            if at_once
            else f"leads to a loss that is not finite with the changed settings too (step {broken_step + 1})"
        )
        console.warn(
            f"the checkpoint after step {self._resumed} {why}; the checkpoint before it is used"
        )
        self.job.model.zero_grad(set_to_none=True)
        return True

    def _warn_of_a_cut_cosine(self) -> None:
        total = self.schedule.total_steps
        if self.job.optim.schedule == "cosine" and self.last_step < total:
            console.warn(
                f"loop.max_steps = {self.last_step} cuts the cosine schedule of {total} steps before its "
                "rate is zero; for a short run that ends at zero lower loop.epochs"
            )

    def _to_training_mode(self) -> None:
        self.job.model.train()
        for module in self.job.frozen:
            module.eval()

    def remaining(self) -> Iterator[tuple[list[Part], float]]:
        """The parts of every step still to do, and the seconds waited for them."""
        loop = self.job.loop
        while self.state.step < self.last_step:
            epoch, within = self.schedule.epoch_and_step(self.state.step)
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

    def save_if_due(self, stop: StopRequest) -> None:
        """Save every ``checkpoint_steps``, before a validation, at the end, and to stop (then leave)."""
        signal, step = stop.agreed(), self.state.step
        due = step % self.job.loop.checkpoint_steps == 0 or step == self.last_step
        if (due or signal or self._validation_is_due()) and step != self._saved:
            self.guard.check()
            if console.is_main_process():
                tensors, table = self.state.gather()
                table |= {"kind": CHECKPOINT_KIND, "model": dict(self.job.description)}
                table["optim"] = self._rates
                keep = self.job.loop.checkpoints_kept
                write_checkpoint(
                    self.checkpoints, step=step, keep=keep, tensors=tensors, table=table
                )
            self._saved = step
        if signal:
            console.warn(f"stopped after step {step} of {self.last_step}; run again to resume")
            raise SystemExit(128 + signal)

    def validate_if_due(self) -> None:
        """Score the model after an epoch, and keep its checkpoint when it is the best so far."""
        evaluate, step = self.job.evaluate, self.state.step
        if evaluate is None or not self._validation_is_due():
            return
        averages, started = self.state.averages, time.perf_counter()
        with averages.in_model() if averages is not None else contextlib.nullcontext():
            self.job.model.eval()
            numbers = evaluate(self.job.model)
        self._to_training_mode()
        if console.is_main_process():
            keep_best(self.checkpoints, step=step, score=numbers.get(SCORE))
        self.meter.write_row(
            {"step": step, "epoch": self.schedule.epoch_and_step(step)[0], **numbers}
        )
        self.meter.leave_out(time.perf_counter() - started)

    def catch_up(self) -> None:
        """After a resume: the validation that the stopped run was about to do, or in the middle of."""
        missing = False
        if self._saved == self.state.step and console.is_main_process():
            rows = console.read_metrics(self.job.folder / METRICS)
            missing = not any(r["step"] == self._saved and "loss" not in r for r in rows)
        if distributed.largest_over_ranks(int(missing)):
            self.validate_if_due()

    def _validation_is_due(self) -> bool:
        epoch, within = self.schedule.epoch_and_step(self.state.step)
        every = self.job.loop.evaluate_epochs
        wanted = self.job.evaluate is not None and every and self.state.step
        return bool(wanted and not within and epoch % every == 0)


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


def _trackers(job: Job) -> list[Tracker]:
    """What the main process sends its metrics to."""
    if not console.is_main_process():
        return []
    model = job.description.get("settings", {})
    settings = {"optim": to_table(job.optim), "loop": to_table(job.loop), "model": model}
    return open_trackers(
        job.folder,
        tensorboard=job.loop.tensorboard,
        tracker=job.loop.tracker,
        settings=settings,
    )


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
