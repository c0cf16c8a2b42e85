"""The restricted reader: every container it knows, and pickles that would like to run code."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lvistk.errors import UserError
from lvistk.importing.checkpoint_file import read_checkpoint_file


class HistoryBuffer:
    """Like the class of that name in mmengine's files: unknown to torch and to us."""

    def __init__(self) -> None:
        self.values = np.arange(3)
        self.names = ["a"]


class Runs:
    """Runs ``function(argument)`` in whoever unpickles it."""

    def __init__(self, function: Any, argument: Any) -> None:
        self.call = (function, (argument,))

    def __reduce__(self) -> Any:
        return self.call


def weights() -> dict[str, torch.Tensor]:
    base = torch.arange(24, dtype=torch.float32).view(4, 6)
    return OrderedDict(
        a=base, shared=base[1:3, 2:], transposed=base.t(), half=base.half(), n=torch.tensor(7)
    )


def assert_same(found: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(weights())
    for name, value in weights().items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("new_zip", [True, False])
@pytest.mark.parametrize("odd", [True, False])
def test_torch_files_with_and_without_unknown_classes(
    tmp_path: Path, new_zip: bool, odd: bool
) -> None:
    content = {"meta": {"epoch": 12, "cfg": "model = 1"}, "state_dict": weights()}
    if odd:
        content["message_hub"] = {"loss": HistoryBuffer()}
        content["meta"]["hook"] = HistoryBuffer()
    path = tmp_path / "epoch_12.pth"
    torch.save(content, path, _use_new_zipfile_serialization=new_zip)
    read = read_checkpoint_file(path)
    assert_same(read.tensors)
    assert read.meta["epoch"] == 12 and read.meta["cfg"] == "model = 1"
    assert not read.strangers


def test_parameters_wrappers_and_bare_tables(tmp_path: Path) -> None:
    path = tmp_path / "bare.pth"
    layer = torch.nn.Linear(2, 3)
    parameters = {f"module.{name}": value for name, value in layer.named_parameters()}
    torch.save(parameters, path)
    read = read_checkpoint_file(path)
    torch.testing.assert_close(read.tensors["weight"], layer.weight.detach(), rtol=0, atol=0)
    assert not read.tensors["weight"].requires_grad


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickle_of_arrays(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model_final.pkl"
    arrays = {
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "big_endian": np.arange(3, dtype=">f4"),
        "text": "no tensor",
    }
    content = {"model": arrays, "__author__": "zoo", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    read = read_checkpoint_file(path)
    torch.testing.assert_close(read.tensors["w"], torch.arange(6.0).view(2, 3))
    torch.testing.assert_close(read.tensors["big_endian"], torch.arange(3.0))
    assert read.strangers == ("text",)


def test_pickle_of_python_2(tmp_path: Path) -> None:
    """Written byte by byte as Python 2 did: strings as SHORT_BINSTRING, bytes above 127 in latin1."""
    array = np.array([1.5, -2.0], np.float32)
    raw = array.tobytes()
    data = (
        b"\x80\x02}U\x05model}U\x01w"
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U" + bytes([len(raw)]) + raw + b"tbss."
    )
    path = tmp_path / "r50.pkl"
    path.write_bytes(data)
    torch.testing.assert_close(read_checkpoint_file(path).tensors["w"], torch.from_numpy(array))


def hostile(mark: Path) -> list[Any]:
    command = f"touch {mark}"
    return [
        Runs(os.system, command),
        Runs(eval, f"__import__('os').system({command!r})"),
        Runs(exec, f"open({str(mark)!r}, 'w')"),
        Runs(getattr(__import__("builtins"), "open"), str(mark)),  # noqa: B009  # as an attacker would
    ]


@pytest.mark.parametrize("kind", ["pkl", "zip", "legacy"])
@pytest.mark.parametrize("which", range(4))
def test_hostile_pickles_do_not_run(tmp_path: Path, kind: str, which: int) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "evil.pth"
    content = {"model": weights(), "gift": hostile(mark)[which]}
    if kind == "pkl":
        content["model"] = {"w": np.ones(2, np.float32)}
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    assert read_checkpoint_file(path).tensors
    assert not mark.exists()
    if kind == "pkl" and which == 0:  # the bait is real: pickle itself takes it
        pickle.loads(path.read_bytes())
        assert mark.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'touch MARK'\ntR.",  # REDUCE
        b"(S'touch MARK'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch MARK'\no.",  # OBJ
        b"\x80\x02cos\nsystem\nU\x0atouch MARK\x85\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch MARK\x85R.",  # STACK_GLOBAL
        b"ctorch._utils\n_rebuild_tensor_v2\n}S'__call__'\ncos\nsystem\nsb.",  # BUILD on what is known
        b"ccollections\nOrderedDict\n}S'__init__'\ncos\nsystem\nsb.",
    ],
)
def test_every_way_of_calling_is_closed(
    tmp_path: Path, program: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(program)
    with pytest.raises(UserError, match=r"evil\.pkl"):
        read_checkpoint_file(path)
    assert not (tmp_path / "MARK").exists()


@pytest.mark.parametrize("new_zip", [True, False])
def test_a_cut_file_is_an_error_that_names_it(tmp_path: Path, new_zip: bool) -> None:
    path = tmp_path / "cut.pth"
    torch.save(weights(), path, _use_new_zipfile_serialization=new_zip)
    whole = path.read_bytes()
    for size in (0, 1, 10, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"cut\.pth"):
            read_checkpoint_file(path)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with pytest.raises(UserError, match="no such file"):
        read_checkpoint_file(path)
    for content in (b"\x89PNG....", pickle.dumps([1, 2]), pickle.dumps({"model": {}})):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.pth"):
            read_checkpoint_file(path)


@pytest.mark.parametrize(
    "keys",
    [
        ("state_dict",),
        ("model",),
        ("ema",),
        ("model_ema",),
        ("ema", "module"),
        ("model", "state_dict"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "ema.module."])
def test_wrappers_of_tables_and_names(tmp_path: Path, keys: tuple[str, ...], prefix: str) -> None:
    content: Any = {f"{prefix}{name}": torch.ones(1) for name in ("backbone.w", "head.w")}
    for key in reversed(keys):
        content = {key: content, "epoch": 3}
    torch.save(content, tmp_path / "w.pth")
    assert list(read_checkpoint_file(tmp_path / "w.pth").tensors) == ["backbone.w", "head.w"]


def test_trained_weights_go_before_averaged_ones(tmp_path: Path) -> None:
    content = {"model_ema": {"w": torch.zeros(1)}, "model": {"w": torch.ones(1)}}
    torch.save(content, tmp_path / "w.pth")
    assert read_checkpoint_file(tmp_path / "w.pth").tensors["w"].tolist() == [1]
