"""Pipeline files that say only how they differ from another one.

    base = "baseline.toml"       # beside the file that names it, or the name of a shipped pipeline
    [sampler]
    repeat = "ceil"              # the rest is the base's

- A table of the file is merged into the base's table of that name, key by key, at every depth; any other
  value, a list too, replaces the base's.
- The base's stages keep their order; stages that the file adds come after them.
- ``name`` and ``[row]`` belong to one file and are not taken over.
- A base may have a base: each row of a ladder says the one step over the row before it.
  ``lvistk settings COMMAND --config FILE`` shows what comes out.
"""

from pathlib import Path
from typing import Any

from lvistk.config.load import merge, read_toml
from lvistk.errors import UserError
from lvistk.stages.pipelines.shipped import shipped_file

OWN_KEYS = ("base", "name", "row")
"""What a file does not take over from its base."""


def read_pipeline_toml(path: Path) -> dict[str, Any]:
    """The table of a pipeline file, complete with its bases'.

    Errors: ``UserError`` for a file that is missing or broken, and for a file that is its own base.
    """
    return _read(path, above=())


def _read(path: Path, *, above: tuple[Path, ...]) -> dict[str, Any]:
    """above: the files that build on this one."""
    table = read_toml(path)
    if "base" not in table:
        return table
    name = table["base"]
    if not isinstance(name, str) or not name:
        raise UserError(f"{path}: base = {name!r}: expected the name of a pipeline file in quotes")
    file = shipped_file(name) or path.parent / name
    if not file.is_file():
        raise UserError(
            f"{path}: base = '{name}': no such file beside it, and no shipped pipeline of this name"
        )
    if file.resolve() in [one.resolve() for one in (*above, path)]:
        raise UserError(f"{path}: base = '{name}': this file is a base of that one already")
    base = _read(file, above=(*above, path))
    inherited = {key: value for key, value in base.items() if key not in OWN_KEYS}
    return merge(inherited, {key: value for key, value in table.items() if key != "base"})
