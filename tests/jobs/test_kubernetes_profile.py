"""Snakemake's profile for Kubernetes, with a stand-in for ``kubectl`` and the cluster."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml

from lvistk import __version__
from lvistk.stages.pipelines.pipeline import run_pipeline
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from tests.jobs.schema import faults
from tests.test_commands import ROOT, environment
from tests.test_snakefile import pipeline_below, require_same_results

PROFILE = ROOT / "pipelines" / "profiles" / "kubernetes"
SCHEMA = json.loads((Path(__file__).parent / "kubernetes_job.json").read_text())


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``kubectl`` is the stand-in; Jobs are files in ``tmp_path``/jobs."""
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    programs.mkdir()
    jobs.mkdir()
    program = f'#!/bin/sh\nexec {sys.executable} -m tests.jobs.kubectl_stand_in "$@"\n'
    torchrun = f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n'
    for name, text in (("kubectl", program), ("torchrun", torchrun)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return {**environment(), "PATH": path, "KUBECTL_JOBS": str(jobs)}


def called(words: Sequence[object], variables: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status(job: str, variables: dict[str, str], folder: Path) -> str:
    return called(["sh", PROFILE / "status.sh", job], variables, folder)


def test_a_job_is_sent_as_a_job_of_kubernetes(tmp_path: Path, cluster: dict[str, str]) -> None:
    script = tmp_path / "script.sh"
    script.write_text("while [ ! -f go ]; do sleep 0.05; done; exit $(cat go)\n")
    jobs = []
    for gpus in (1, 0):
        words = ["sh", PROFILE / "submit.sh", 8, 48000, gpus, 480, "script.sh"]
        jobs.append(called(words, cluster, tmp_path))
    table = yaml.safe_load((tmp_path / "jobs" / "lvistk-00000.yaml").read_text())
    assert faults(table, SCHEMA, SCHEMA) == []
    spec = table["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["activeDeadlineSeconds"] == 480 * 60
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1, "cpu": 8, "memory": "48000M"}
    assert container["image"] == f"lvistk:{__version__}"
    other = yaml.safe_load((tmp_path / "jobs" / "lvistk-00001.yaml").read_text())
    (container,) = other["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": 8, "memory": "48000M"}

    assert status(jobs[0], cluster, tmp_path) == "running"
    called(["kubectl", "delete", jobs[1]], cluster, tmp_path)
    assert status(jobs[1], cluster, tmp_path) == "failed"
    assert status(jobs[0], {**cluster, "KUBECTL_DOWN": "1"}, tmp_path) == "running"
    (tmp_path / "part").write_text("0")
    (tmp_path / "part").rename(tmp_path / "go")
    end = time.monotonic() + 10
    while (state := status(jobs[0], cluster, tmp_path)) == "running" and time.monotonic() < end:
        time.sleep(0.05)
    assert state == "success"


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
    reason="snakemake-executor-plugin-cluster-generic is not installed",
)
def test_the_profile_gives_what_run_gives(tmp_path: Path, cluster: dict[str, str]) -> None:
    """The profile as it ships; its file of values without the GPUs of a training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the jobs: with other numbers the last bits differ
    run_pipeline(load_pipeline(pipeline_below(tmp_path)), device="cpu")
    torch.set_num_threads(threads)
    work = tmp_path / "work"
    shutil.copytree(ROOT / "pipelines", work / "pipelines")
    values = yaml.safe_load((PROFILE / "jobs.yaml").read_text())
    for kind in ("train", "detect", "score"):
        values[kind] |= {"threads": 1}
    values["launcher"] = "torchrun --standalone --nproc-per-node 1 -m lvistk"  # no CUDA to count
    values |= {"lvistk": f"{sys.executable} -m lvistk", "options": "--device cpu"}
    values |= {"pipeline": str(tmp_path / "pipeline.toml"), "shards": 2, "out": str(tmp_path / "k")}
    (work / "values.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", "--snakefile", "pipelines/Snakefile"]
    command += ["--profile", "pipelines/profiles/kubernetes", "--configfile", "values.yaml"]
    called(command, cluster, work)
    require_same_results(tmp_path / "runs", tmp_path / "k")
    limits = []
    for file in sorted((tmp_path / "jobs").glob("*.yaml")):
        table = yaml.safe_load(file.read_text())
        assert faults(table, SCHEMA, SCHEMA) == []
        (container,) = table["spec"]["template"]["spec"]["containers"]
        limits.append(container["resources"]["limits"].get("nvidia.com/gpu", 0))
    assert (
        limits[0] == 8 and limits.count(1) == 4
    )  # the training, and two jobs for each of two stages
