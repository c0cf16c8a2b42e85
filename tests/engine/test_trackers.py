"""Rows of the log in other trackers, as their own readers find them there; each needs its package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lvistk.engine.loop import train
from lvistk.engine.trackers import open_trackers
from lvistk.errors import UserError
from tests.engine.toy import toy_job


@pytest.mark.parametrize("tracker", ["wandb", "mlflow", "trackio"])
def test_a_missing_package_is_one_line(tmp_path: Path, tracker: str) -> None:
    try:
        __import__(tracker)
    except ImportError:
        with pytest.raises(
            UserError, match=rf"loop.tracker={tracker} needs {tracker}: pip install"
        ):
            train(toy_job(tmp_path, max_steps=1, tracker=tracker))
    else:
        pytest.skip(f"{tracker} is installed")


@pytest.mark.filterwarnings("ignore")  # of the package
def test_mlflow_gets_the_rows_and_a_resumed_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    train(toy_job(tmp_path / "run" / "stage", max_steps=2, tracker="mlflow"))
    train(toy_job(tmp_path / "run" / "stage", max_steps=4, tracker="mlflow"))
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert [run.info.run_name for run in runs] == ["run-stage"]
    history = mlflow.MlflowClient().get_metric_history(runs[0].info.run_id, "loss")
    rows = [
        json.loads(line) for line in (tmp_path / "run/stage/metrics.jsonl").read_text().splitlines()
    ]
    assert [(point.step, point.value) for point in history] == [
        (row["step"], row["loss"]) for row in rows
    ]
    assert runs[0].data.params["loop.batch_size"] == str(toy_job(tmp_path).loop.batch_size)


@pytest.mark.filterwarnings("ignore")  # of the package
def test_wandb_gets_the_rows_and_one_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "run" / "stage"
    folder.mkdir(parents=True)
    for step in (1, 2):
        (tracker,) = open_trackers(folder, tensorboard=False, tracker="wandb", settings={"a": 1})
        tracker.log({"loss": 0.5}, step)
        tracker.close()
    files = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    kept = (folder / "tracker.txt").read_text().split()
    assert kept[0] == "wandb"
    assert len(files) == 2 and {path.stem.removeprefix("run-") for path in files} == {kept[1]}


@pytest.mark.filterwarnings("ignore")  # of the package
def test_trackio_gets_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "store"))
    code = (
        "import sys; from pathlib import Path; import trackio\n"
        "from lvistk.engine.trackers import open_trackers\n"
        "folder = Path(sys.argv[1])\n"
        "for step in (1, 2):\n"
        "    (one,) = open_trackers(folder, tensorboard=False, tracker='trackio', settings={'a': 1})\n"
        "    one.log({'loss': 0.5 * step}, step)\n"
        "    one.close()\n"
        "runs = list(trackio.Api().runs('lvistk'))\n"
        "print('RUNS', [run.name for run in runs])\n"
    )
    folder = tmp_path / "run" / "stage"
    folder.mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert "RUNS ['run-stage']" in done.stdout, done.stdout + done.stderr
