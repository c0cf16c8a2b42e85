"""Two hosts on one machine: network namespaces of Linux, each with an address, joined by a cable."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ADDRESSES = ("10.213.77.1", "10.213.77.2")
"""Of the hosts. Nothing outside the two namespaces can be reached from them."""


def _ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Host:
    """A host.

    name: of its namespace. address: its IPv4 address. card: its network device.
    """

    name: str
    address: str
    card: str

    def start(self, command: Sequence[str], *, log: Path, **more: str) -> subprocess.Popen[bytes]:
        """Start a command there, its output into ``log``, with ``more`` variables of the environment."""
        with log.open("ab") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                env={**os.environ, "GLOO_SOCKET_IFNAME": self.card, **more},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def plug(self, state: str) -> None:
        """Pull the cable (``down``) or plug it in (``up``)."""
        assert _ip("-n", self.name, "link", "set", self.card, state).returncode == 0

    def loses_power(self) -> None:
        """End all of its processes at once; no packet tells the other host."""
        self.plug("down")
        for pid in _ip("netns", "pids", self.name).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        self.plug("up")


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Make two hosts; the test is skipped, with the reason, where this is not allowed."""
    if shutil.which("ip") is None:
        pytest.skip("two hosts need the command ip (package iproute2)")
    names = [f"lvistk-{os.getpid()}-{side}" for side in "ab"]
    first, second = (Host(n, a, f"eth-{n[-1]}") for n, a in zip(names, ADDRESSES, strict=True))
    cable = ("link", "add", first.card, "netns", first.name, "type", "veth")
    steps = [("netns", "add", name) for name in names]
    steps += [(*cable, "peer", "name", second.card, "netns", second.name)]
    for host in (first, second):
        steps += [("-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.card)]
        steps += [("-n", host.name, "link", "set", card, "up") for card in (host.card, "lo")]
    try:
        for step in steps:
            done = _ip(*step)
            if done.returncode:
                pytest.skip(f"two hosts: ip {' '.join(step)}: {done.stderr.strip()}")
        yield first, second
    finally:
        for name in names:
            for pid in _ip("netns", "pids", name).stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "del", name)
