"""The parsed truth, kept between runs: beside the annotation file, or in the user's cache folder."""

import contextlib
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from lvistk.artifacts import fingerprint
from lvistk.errors import UserError
from lvistk.evaluation.truth import Truth, TruthArrays
from lvistk.evaluation.truth_json import read_truth_json
from lvistk.whole_file import whole_file

SPANS = ("span_starts", "span_stops")
"""What makes the cache large, and nobody needs without masks."""
VERSION = 1
"""Raised with every change of the arrays or of how they are made."""


def read_truth(path: Path, *, masks: bool, threads: int, later: Executor) -> Truth:
    """The truth in ``path``, from the cache where its content is the same.

    A cache that cannot be read or written is no error; it is written on ``later``, beside the work that
    follows. Raises ``UserError`` for a bad file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    key = f"{VERSION} {fingerprint(path)}"
    for place in _places(path):
        with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
            found = _load(place, key, masks=masks)
            if found is not None:
                return found
    truth = read_truth_json(path, masks=masks, threads=threads)
    if masks:
        later.submit(_save_somewhere, path, key, truth)
    return truth


def _save_somewhere(path: Path, key: str, truth: Truth) -> None:
    for place in _places(path):
        with contextlib.suppress(OSError, UserError):
            _save(place, key, truth)
            return


def _places(path: Path) -> Iterator[Path]:
    yield path.with_name(f".{path.name}.lvistk-truth.npz")
    root = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(root) if root else Path.home() / ".cache") / "lvistk" / "truth"
    yield folder / f"{fingerprint(path).replace(':', '-')}.npz"


def _load(place: Path, key: str, *, masks: bool) -> Truth | None:
    with np.load(place, allow_pickle=False) as stored:
        if str(stored["key"]) != key:
            return None
        return Truth(
            arrays=TruthArrays(
                *(
                    stored[name] if masks or name not in SPANS else np.zeros(0, np.uint32)
                    for name in TruthArrays._fields
                )
            ),
            names=tuple(stored["names"].tolist()),
            frequency=stored["frequency"],
            image_counts=stored["image_counts"],
            has_masks=masks,
            warnings=tuple(stored["warnings"].tolist()),
        )


def _save(place: Path, key: str, truth: Truth) -> None:
    with whole_file(place) as temporary, temporary.open("wb") as handle:
        np.savez(
            handle,
            key=np.array(key),
            names=np.array(truth.names, np.str_),
            frequency=truth.frequency,
            image_counts=truth.image_counts,
            warnings=np.array(truth.warnings, np.str_),
            **truth.arrays._asdict(),
        )
