"""Slurm on this machine alone: its own authentication, one controller, one node with four pretended GPUs."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
GPUS = 4
CONF = """
ClusterName=lvistk
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
MinJobAge=600
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 Sockets=1 CoresPerSocket=8 RealMemory=16000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A running Slurm. environment: what its commands, and jobs that they start, are called with."""

    environment: Mapping[str, str]

    def call(self, *words: object) -> str:
        """Standard output of one of Slurm's commands."""
        done = subprocess.run(
            [str(word) for word in words],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """Of a job: PENDING, RUNNING, COMPLETED, FAILED, ..."""
        line = self.call("scontrol", "show", "job", job, "--oneliner")
        return line.partition("JobState=")[2].split()[0]


@contextmanager
def slurm_node(folder: Path, environment: Mapping[str, str]) -> Iterator[Slurm]:
    """Start Slurm with its files in ``folder``; the test is skipped, with the reason, where it cannot be."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Slurm is not installed ({', '.join(missing)}): apt-get install slurm-wlm")
    if os.geteuid():
        pytest.skip("Slurm's daemons are started by root")
    _write_files(folder)
    path = f"{folder / 'bin'}:{environment['PATH']}"
    slurm = Slurm({**environment, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": path})
    munge = folder / "munge"
    try:
        slurm.call(
            *("munged", "--force", "--key-file", munge / "key", "--socket", munge / "socket"),
            *("--pid-file", munge / "pid", "--log-file", munge / "log"),
            *("--seed-file", munge / "seed"),
        )
        slurm.call("slurmctld")
        slurm.call("slurmd")
        end = time.monotonic() + 60
        while slurm.call("sinfo", "--noheader", "--format=%T") != "idle":
            assert time.monotonic() < end, (folder / "slurmctld.log").read_text()
            time.sleep(0.2)
        yield slurm
    finally:
        for file in (folder / "slurmd.pid", folder / "slurmctld.pid", munge / "pid"):
            with suppress(OSError, ValueError):
                os.kill(int(file.read_text()), 15)


def _write_files(folder: Path) -> None:
    for name in ("munge", "state", "spool", "bin"):
        (folder / name).mkdir(parents=True, mode=0o700)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    names = {"host": socket.gethostname().partition(".")[0], "folder": folder, "gpus": GPUS}
    (folder / "slurm.conf").write_text(CONF.format(**names, ports=_free_ports(2)))
    devices = [folder / f"gpu{k}" for k in range(GPUS)]
    for device in devices:
        device.touch()  # a file that is no device: Slurm warns, and counts it
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in devices))
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    srun = folder / "bin" / "srun"  # Snakemake's executor takes SLURM_CONF from its jobs
    called = f'SLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"'
    srun.write_text(f"#!/bin/sh\n{called}\n")
    srun.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
