"""Where the rows of ``metrics.jsonl`` go besides: TensorBoard, Weights & Biases, MLflow, trackio."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from lvistk.errors import UserError
from lvistk.whole_file import whole_file

PROJECT = "lvistk"
"""Project or experiment, unless the tracker's own environment variable names one."""
RUN = "tracker.txt"
"""File in the stage folder with the tracker's id of the run, by which a resumed training goes on."""


class Tracker(Protocol):
    """Takes the numbers of every row."""

    def log(self, numbers: Mapping[str, float], step: int) -> None: ...

    def close(self) -> None: ...


def open_trackers(
    folder: Path,
    *,
    tensorboard: bool,
    tracker: Literal["none", "wandb", "mlflow", "trackio"],
    settings: Mapping[str, Any],
) -> list[Tracker]:
    """The trackers of the training in ``folder``, a stage folder; a run is called by its last two names.

    settings: what the tracker shows as the run's configuration. Raises ``UserError`` if a package is missing.
    """
    trackers: list[Tracker] = []
    wanted = ["tensorboard"] if tensorboard else []
    for name in wanted + ([] if tracker == "none" else [tracker]):
        try:
            trackers.append(_open(name, folder, settings))
        except ImportError:
            setting = "loop.tensorboard" if name == "tensorboard" else f"loop.tracker={name}"
            raise UserError(f"{setting} needs {name}: pip install 'lvistk[{name}]'") from None
    return trackers


def _open(name: str, folder: Path, settings: Mapping[str, Any]) -> Tracker:
    match name:
        case "tensorboard":
            return _TensorBoard(folder)
        case "mlflow":
            return _MlFlow(folder, settings)
        case "wandb":
            return _Wandb(folder, settings)
        case _:
            return _Trackio(folder, settings)


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _MlFlow:
    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import mlflow  # pyright: ignore[reportMissingImports]  # an extra

        self._mlflow = mlflow
        if "MLFLOW_EXPERIMENT_NAME" not in os.environ and "MLFLOW_EXPERIMENT_ID" not in os.environ:
            mlflow.set_experiment(PROJECT)
        known = _known_run(folder, "mlflow")
        run = mlflow.start_run(run_id=known, run_name=None if known else _name(folder))
        if known is None:
            params = list(_flat(settings).items())
            for first in range(0, len(params), 100):  # a request holds no more
                mlflow.log_params(dict(params[first : first + 100]))
        _keep_run(folder, "mlflow", run.info.run_id)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(numbers), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class _Wandb:
    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb  # pyright: ignore[reportMissingImports]  # an extra

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=_name(folder),
            id=_known_run(folder, "wandb"),
            resume="allow",
            dir=str(folder),
            config=dict(settings),
        )
        _keep_run(folder, "wandb", self._run.id)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import trackio  # pyright: ignore[reportMissingImports]  # an extra

        self._trackio = trackio
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        trackio.init(project=project, name=_name(folder), resume="allow", config=dict(settings))

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._trackio.log(dict(numbers), step=step)

    def close(self) -> None:
        self._trackio.finish()


def _name(folder: Path) -> str:
    return "-".join(folder.resolve().parts[-2:])


def _known_run(folder: Path, tracker: str) -> str | None:
    """The id that this tracker gave the run in ``folder`` before."""
    path = folder / RUN
    kept, _, run = path.read_text().strip().partition(" ") if path.is_file() else ("", "", "")
    return run if kept == tracker and run else None


def _keep_run(folder: Path, tracker: str, run: str) -> None:
    with whole_file(folder / RUN) as temporary:
        temporary.write_text(f"{tracker} {run}\n")


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested table as ``a.b`` and texts, which MLflow's parameters are."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)
    return flat
