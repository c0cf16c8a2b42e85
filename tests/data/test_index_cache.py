"""An index is built again when its sources, or the code that reads and checks them, have changed."""

import shutil
from pathlib import Path

import pytest

from lvistk.data.index.index_cache import PACKAGE, READERS, built_folder, code_of_readers
from tests.data.lvis_files import annotation, image, write


@pytest.mark.parametrize("folder", READERS)
def test_other_code_of_readers_is_another_code(folder: str, tmp_path: Path) -> None:
    for name in READERS:
        shutil.copytree(PACKAGE / name, tmp_path / name)
    known = code_of_readers(PACKAGE)
    code_of_readers.cache_clear()
    assert code_of_readers(tmp_path) == known
    changed = next(path for path in (tmp_path / folder).glob("*.py") if path.stat().st_size)
    changed.write_text(changed.read_text() + "# changed")
    code_of_readers.cache_clear()
    assert code_of_readers(tmp_path) != known


def test_the_code_is_part_of_a_folder_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.json", [image(1)], [annotation(1, 1, 2)])
    built: list[Path] = []

    def build(_: object, folder: Path) -> None:
        built.append(folder)
        folder.mkdir()
        (folder / "arrays.json").write_text("{}")

    names = {built_folder([path], tmp_path / "cache", build) for _ in range(2)}
    assert len(names) == len(built) == 1
    monkeypatch.setattr("lvistk.data.index.index_cache.READERS", READERS[:1])
    code_of_readers.cache_clear()
    names.add(built_folder([path], tmp_path / "cache", build))
    code_of_readers.cache_clear()
    assert len(names) == len(built) == 2
