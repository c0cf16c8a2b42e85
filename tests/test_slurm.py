"""``pipelines/slurm.sh`` and Snakemake's profile for Slurm, on a Slurm of one node that the test starts."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from lvistk.artifacts import read_manifest
from lvistk.stages.pipelines.pipeline import run_pipeline
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from tests.slurm_node import Slurm, slurm_node
from tests.test_commands import environment
from tests.test_snakefile import FOLDER, pipeline_below, require_same_results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    programs = tmp_path_factory.mktemp("bin")
    (programs / "torchrun").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n'
    )
    (programs / "torchrun").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    with slurm_node(tmp_path_factory.mktemp("slurm"), {**environment(), "PATH": path}) as node:
        yield node


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that ``lvistk run`` has run into ``runs``, on one thread, as torchrun's processes do."""
    root = tmp_path_factory.mktemp("pipeline")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run_pipeline(load_pipeline(pipeline_below(root)), device="cpu")
    torch.set_num_threads(threads)
    return root


def test_a_requeued_job_goes_on_to_the_same_weights(root: Path, slurm: Slurm) -> None:
    out = root / "job"
    job = slurm.call(
        *("sbatch", "--parsable", "--nodes=1", "--gpus-per-node=1", "--mem=4000"),
        *("--chdir", root, "--output", root / "job.log", "--open-mode=append"),
        *(FOLDER / "slurm.sh", root / "pipeline.toml", "--only", "first"),
        *("--out", out, "--device", "cpu"),
    )
    checkpoints, end = out / "first" / "checkpoints", time.monotonic() + 900
    while not list(checkpoints.glob("step_*.safetensors")):
        assert slurm.state(job) in ("PENDING", "RUNNING") and time.monotonic() < end
        time.sleep(0.02)
    slurm.call("scontrol", "requeue", job)
    while slurm.state(job) not in ("COMPLETED", "FAILED"):
        assert time.monotonic() < end
        time.sleep(0.5)
    said = (root / "job.log").read_text()
    assert slurm.state(job) == "COMPLETED", said
    assert "first: resuming" in said
    assert read_manifest(out / "first")["state"] == "done"
    model = "first/model.safetensors"
    assert (out / model).read_bytes() == (root / "runs" / model).read_bytes()


@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_slurm") is None,
    reason="snakemake-executor-plugin-slurm is not installed",
)
def test_the_profile_of_snakemake_gives_what_run_gives(root: Path, slurm: Slurm) -> None:
    """The profile as it ships; its file of values with the sizes of this node."""
    values = yaml.safe_load((FOLDER / "profiles" / "slurm" / "jobs.yaml").read_text())
    for kind in ("train", "detect", "score"):
        values[kind] |= {"threads": 1, "mem_mb": 4000, "runtime": 30}
    assert values["detect"]["gpu"] == 1
    values["train"]["gpu"] = 1
    values["launcher"] = "torchrun --standalone --nproc-per-node 1 -m lvistk"  # no CUDA to count
    values |= {"lvistk": f"{sys.executable} -m lvistk", "options": "--device cpu"}
    values |= {"pipeline": str(root / "pipeline.toml"), "shards": 2, "out": str(root / "slurm")}
    (root / "jobs.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", "--snakefile", FOLDER / "Snakefile"]
    command += ["--profile", FOLDER / "profiles" / "slurm", "--configfile", root / "jobs.yaml"]
    command += ["--directory", root / "work", "--slurm-init-seconds-before-status-checks", "5"]
    command += ["--slurm-status-command", "squeue"]  # sacct wants a data base
    done = subprocess.run(
        [str(word) for word in command],
        env=dict(slurm.environment),
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    logs = [path.read_text() for path in (root / "work").glob(".snakemake/slurm_logs/*/*.log")]
    assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *logs])
    require_same_results(root / "runs", root / "slurm")
    jobs = slurm.call("squeue", "--states=COMPLETED", "--noheader", "--Format=tres-per-job:80")
    assert jobs.count("gpu:1") == 5  # one training, two jobs for each of two detecting stages
