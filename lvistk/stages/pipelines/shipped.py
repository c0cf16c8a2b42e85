"""Pipeline files that come with lvistk, found by name."""

import difflib
from pathlib import Path

from lvistk import console
from lvistk.errors import UserError
from lvistk.whole_file import whole_file

FOLDER = Path(__file__).parents[2] / "pipelines"


def shipped_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find_pipeline(path: Path) -> Path:
    """``path`` itself, or the shipped pipeline that it names (``htc_r50``) where there is no such file."""
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    if path.name in shipped_names():
        return FOLDER / f"{path.name}.toml"
    close = difflib.get_close_matches(path.name, shipped_names(), n=1, cutoff=0.5)
    mend = f"; did you mean '{close[0]}'?" if close else "; lvistk pipelines lists the shipped ones"
    raise UserError(f"{path}: no such file, and no shipped pipeline of this name{mend}")


def list_pipelines() -> None:
    """Print name and first line of every shipped pipeline."""
    rows = [(name, _title(FOLDER / f"{name}.toml")) for name in shipped_names()]
    if console.shows_json():
        console.say_json([{"name": name, "title": title} for name, title in rows])
        return
    console.table("pipelines that come with lvistk", ("name", "what"), rows, left=2)


def copy_pipeline(name: str, out: Path | None) -> Path:
    """Copy a shipped pipeline to ``out`` (by default ``NAME.toml`` here); never over another file."""
    source = find_pipeline(Path(name))
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
