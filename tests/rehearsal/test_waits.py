"""How often a training step and an image at inference wait for the device, beside a stated budget."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_commands import environment

STEPS = {
    **{f"mask_rcnn {kind}": 10 for kind in ("softmax", "eql", "group_softmax")},
    **{f"mask_rcnn {kind}": 10 for kind in ("eql_v2", "seesaw", "federated")},
    "cascade": 22,
    "htc": 30,
    "stage 2": 14,
    "htc stage 2": 42,
}
"""Waits of a step on two images. Of Mask R-CNN's 10, 4 are torchvision's NMS (2 per image), 2 the boxes that
go into it, 2 the numbers of drawn RoIs, and 2 those per pyramid level, of the box head and the mask head."""
ROW = 2
"""Waits of a row of metrics: the check for finite losses, and the means."""
IMAGES = {"inference 1": 25, "inference 3": 98}
"""Waits of an image in so many views, with masks from the view that suits."""


@pytest.fixture(scope="module")
def played() -> dict[str, dict[str, dict[str, int]]]:
    """Waits of each case by line, in a process of its own: it registers a device."""
    command = [sys.executable, "-m", "tests.rehearsal.play", "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(lines: dict[str, int]) -> str:
    return "\n".join(f"{number:3} {line}" for line, number in lines.items())


@pytest.mark.slow
def test_no_case_waits_more_often_than_it_may(
    played: dict[str, dict[str, dict[str, int]]],
) -> None:
    assert set(played) == {*STEPS, *IMAGES}
    for name, most in STEPS.items():
        lines = played[name]["step"]
        assert sum(lines.values()) <= most, f"{name}:\n{told(lines)}"
        assert sum(played[name]["row"].values()) <= ROW, told(played[name]["row"])
    for name, most in IMAGES.items():
        lines = played[name]["image"]
        assert sum(lines.values()) <= most, f"{name}:\n{told(lines)}"


CASES = {
    "x[x > 1]": "boolean index",
    "x.sum().item()": "a number for the host",
    "float(x.max())": "a number for the host",
    "x.nonzero()": "nonzero",
    "x.tolist()": "copy to the host",
    "x.cpu()": "copy to the host",
    "x.new_tensor([1.0])": "copy to the device that waits",
    "torch.tensor([1.0], device=x.device)": "copy to the device that waits",
    "torch.ones(2).to(x.device)": "copy to the device that waits",
    "x[torch.tensor([0])]": "index on the host",
    "x.unique()": "_unique2",
}
SILENT = (
    "torch.where(x > 1, x, 0 * x)",
    "x.masked_fill(x > 1, 0)",
    "x.new_full((), 2.0) + x",
    "x + torch.tensor(1.0)",
    "torch.arange(3, device=x.device) + x",
    "torch.ones(2).to(x.device, non_blocking=True)",
    "x.argsort()[:2]",
)
MIXED = ("x + torch.ones(3)", "torch.cat([x, torch.ones(3)])", "torch.arange(3) + x")


@pytest.mark.slow
def test_the_played_device_sees_what_a_gpu_does() -> None:
    """Each expression on a tensor ``x`` of three numbers, in one process."""
    code = f"""
import torch
from tests.rehearsal.device import MixedDevicesError, Rehearsal, register
device = register()
for text, why in {CASES!r}.items():
    with Rehearsal().on() as rehearsal:
        x = torch.arange(3.0, device=device)
        eval(text)
    assert [wait.why for wait in rehearsal.waits] == [why], (text, rehearsal.waits)
for text in {SILENT!r}:
    with Rehearsal().on() as rehearsal:
        x = torch.arange(3.0, device=device)
        eval(text)
    assert not rehearsal.waits, (text, rehearsal.waits)
for text in {MIXED!r}:
    with Rehearsal().on() as rehearsal:
        x = torch.arange(3.0, device=device)
        try:
            eval(text)
        except MixedDevicesError:
            continue
        raise AssertionError(text)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
