"""Pipeline files that come with lvistk, found by name."""

import difflib
from pathlib import Path

from lvistk import console
from lvistk.errors import UserError
from lvistk.whole_file import whole_file

FOLDER = Path(__file__).parents[2] / "pipelines"


def shipped_names() -> list[str]:
    """Names of the shipped pipelines but for the rows of ladders."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def shipped_ladders() -> list[str]:
    """Names of the shipped folders of rows: ``ladder``, ``ladder/paper``, ..."""
    rows = FOLDER.glob("ladder/**/*.toml")
    return sorted({path.parent.relative_to(FOLDER).as_posix() for path in rows})


def shipped_file(name: str) -> Path | None:
    """The shipped pipeline file of this name (``demo``, ``ladder/12_eql``); None where there is none."""
    path = FOLDER / f"{name}.toml"  # FOLDER is left out where the name is a whole path
    inside = path.is_relative_to(FOLDER) and ".." not in path.parts
    return path if inside and path.is_file() else None


def find_pipeline(path: Path) -> Path:
    """``path`` itself, or the shipped pipeline that it names (``htc_r50``) where there is no such file."""
    if path.is_file() or path.suffix or path.is_absolute():
        return path
    if shipped := shipped_file(str(path)):
        return shipped
    folder = path if path.is_dir() else FOLDER / path
    if rows := sorted(folder.glob("*.toml")):
        name = path / (rows[0].name if path.is_dir() else rows[0].stem)
        raise UserError(f"{path}: a folder of pipeline files; give one of them, such as {name}")
    if path.exists():
        return path
    names = [*shipped_names(), *shipped_ladders()]
    close = difflib.get_close_matches(str(path), names, n=1, cutoff=0.5)
    mend = f"; did you mean '{close[0]}'?" if close else "; lvistk pipelines lists the shipped ones"
    raise UserError(f"{path}: no such file, and no shipped pipeline of this name{mend}")


def whole_pipeline(path: Path) -> Path:
    """As ``find_pipeline``, of a file that can be copied: the rows of ladders are a ``UserError``."""
    file = find_pipeline(path)
    if file.is_relative_to(FOLDER) and file.parent != FOLDER:
        raise UserError(
            f'{path}: a row stands on the files beside it; write a file with base = "{path}" instead'
        )
    return file


def list_pipelines() -> None:
    """Print name and first line of every shipped pipeline; of a ladder what its first row calls it."""
    rows = [(name, _title(FOLDER / f"{name}.toml")) for name in shipped_names()]
    first = {name: min((FOLDER / name).glob("*.toml")) for name in shipped_ladders()}
    rows += [(name, _title(path).partition(":")[0]) for name, path in first.items()]
    if console.shows_json():
        console.say_json([{"name": name, "title": title} for name, title in rows])
        return
    console.table("pipelines that come with lvistk", ("name", "what"), rows, left=2)
    console.say("a ladder is a folder of rows: lvistk run ladder, or one of them: ladder/12_eql")


def copy_pipeline(name: str, out: Path | None) -> Path:
    """Copy a shipped pipeline to ``out`` (by default ``NAME.toml`` here); never over another file."""
    source = whole_pipeline(Path(name))
    if source.parent != FOLDER:
        raise UserError(f"{name}: not the name of a shipped pipeline; lvistk pipelines lists them")
    target = out or Path(source.name)
    if target.exists():
        raise UserError(f"{target}: is there already; choose another --out")
    with whole_file(target) as temporary:
        temporary.write_bytes(source.read_bytes())
    console.say(f"{target}: copy of the pipeline {source.stem}; lvistk run {target}")
    return target


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
