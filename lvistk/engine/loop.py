"""The one training loop, of both stages: step, log, save, validate; from the newest checkpoint on."""

from torch import nn

from lvistk import console
from lvistk.engine.guard import NotFiniteError
from lvistk.engine.job import Job
from lvistk.engine.run import Run
from lvistk.engine.stopping import stop_requests


def train(job: Job) -> nn.Module:
    """Train ``job.model`` to the end, from the newest checkpoint in the folder if there is one.

    Returns it with its final weights (the averaged ones with ``ema_decay``). SIGTERM or Ctrl-C writes a
    last checkpoint and ends the process with code 128 + signal; raises ``UserError`` when a loss is no
    longer finite, or when an epoch holds less than one batch. A checkpoint whose very next loss is not
    finite was written after the run had diverged: the one before it is used. So is the one before where rate
    or clipping were changed and the run breaks again before its next checkpoint.
    """
    while True:
        run = Run(job)
        try:
            _train_to_the_end(run)
        except NotFiniteError as error:
            if not run.left_spoiled(error.step):
                raise
        else:
            return job.model


def _train_to_the_end(run: Run) -> None:
    done, total = run.state.step, run.last_step
    with stop_requests() as stop, console.progress("train", total, done=done) as bar:
        run.catch_up()
        for parts, waited in run.remaining():
            values = run.step(parts)
            run.meter.add(values, images=run.job.loop.batch_size, waited=waited)
            bar.advance(note=run.log())
            run.save_if_due(stop)
            run.validate_if_due()
    run.meter.close()
    if run.state.averages is not None:
        run.state.averages.copy_to_model()
