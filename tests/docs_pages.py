"""Pages that are made from the code: ``python -m tests.docs_pages`` writes them anew.

``docs/commands.md`` lists every command with its options. The end of ``docs/troubleshooting.md`` lists every
error line that lvistk can end with. ``docs/ladder-tables.md`` and the picture of ``docs/ladder.md`` show the
records of the ladders in ``pipelines/``.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import typer.main

from lvistk.cli.commands import app
from lvistk.report.ladder import RowResult, markdown
from lvistk.report.ladder_picture import steps_picture
from lvistk.report.score_record import read_record
from lvistk.stages.pipelines.ladder import load_ladder
from lvistk.stages.pipelines.ladder_report import row_results

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "docs" / "commands.md"
TROUBLE = ROOT / "docs" / "troubleshooting.md"
LADDER_TABLES = ROOT / "docs" / "ladder-tables.md"
LADDER_PICTURE = ROOT / "docs" / "images" / "ladder.svg"
BEGIN = "<!-- made by tests/docs_pages.py from here on -->\n"
SEEDS = 3
LADDERS = {
    "pipelines/ladder": "The ladder",
    "pipelines/ladder/distinct": "Rare categories with shapes of their own",
    "pipelines/ladder/few": "Mosaic on few images",
    "pipelines/ladder/real": "Real images",
}
IN_PICTURE = [
    "11_mosaic",
    "12_eql",
    "13_rfs",
    "14_htc",
    "15_tricks",
    "16_rfs_on_softmax",
    "22_self_training",
    "23_mask_scoring",
    "31_group_softmax_on_softmax",
    "41_group_softmax",
    "42_high_quality_masks",
    "47_all",
    "50_tta",
    "58_htc_all",
    "59_htc_all_tta",
    "60_seesaw",
    "67_seesaw_throughout",
    "69_htc_seesaw",
    "70_htc_seesaw_throughout",
    "72_htc_count_factors",
    "78_htc_twice_as_long",
    "82_best",
]
"""Rows with a step of the paper, and those that lead to the best."""
TABLES_HEAD = """# The ladder's tables

Made by `python -m tests.docs_pages` from the records that ship with the [ladders](ladder.md).
`lvistk report FOLDER --records FOLDER/records` makes them with your own runs in them.

Scores are in percent: mean and standard deviation over the seeds, of one seed its score. The gap is box
AP less mask AP. The columns by ratio are mask AP by the share of its box that a mask fills. A step is
compared in the seeds that both rows have. Its interval (95%) counts the choice of validation images
and, of several seeds, the seeds.
"""


def commands_page() -> str:
    """Every command, its arguments and options with their help."""
    group = typer.main.get_command(app)
    lines = ["# Commands", "", "Made from the code by `python -m tests.docs_pages`.", ""]
    for name in sorted(group.commands):  # pyright: ignore[reportAttributeAccessIssue]  # a group
        command = group.commands[name]  # pyright: ignore[reportAttributeAccessIssue]
        page = ROOT / "docs" / f"{name}.md"
        title = f"[`lvistk {name}`]({name}.md)" if page.is_file() else f"`lvistk {name}`"
        lines += [f"## {title}", "", " ".join((command.help or "").split()), ""]
        lines += ["| option | meaning |", "| --- | --- |"]
        lines += [_row(parameter) for parameter in command.params if parameter.name != "help"]
        lines.append("")
    return "\n".join(lines)


def _row(parameter: object) -> str:
    flags = ", ".join(
        f"`{flag}`"
        for flag in [*getattr(parameter, "opts", ()), *getattr(parameter, "secondary_opts", ())]
    )
    if getattr(parameter, "param_type_name", "") == "argument":
        flags = f"`{getattr(parameter, 'metavar', None) or str(parameter.name).upper()}`"  # pyright: ignore[reportAttributeAccessIssue]
    meaning = " ".join((getattr(parameter, "help", None) or "").split())
    return f"| {flags} | {meaning} |".replace("||", "|")


def errors() -> Iterator[tuple[str, str]]:
    """Room and text of each ``UserError``; what differs from call to call is ``...``."""
    for path in sorted((ROOT / "lvistk").rglob("*.py")):
        room = path.relative_to(ROOT / "lvistk").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError":
                text = _text(node.args[0]) if node.args else ""
                if len(re.sub(r"[^A-Za-z]", "", text)) > 8:
                    yield room, " ".join(text.split())


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) for part in parts)
        case ast.BinOp(left=left, right=right):
            return _text(left) + _text(right)
        case _:
            return "..."


def error_lines() -> str:
    """The errors of each room as a list."""
    rooms: dict[str, list[str]] = {}
    for room, text in errors():
        rooms.setdefault(room, []).append(re.sub(r"(\.\.\.)+", "...", text))
    lines = ["## Every error line", "", "`...` stands for names, numbers and paths.", ""]
    for room, texts in sorted(rooms.items()):
        lines += [f"### {room}", ""]
        lines += [f"- `{text.replace('`', chr(39))}`" for text in sorted(set(texts))]
        lines.append("")
    return "\n".join(lines)


def ladder_results(folder: Path) -> list[RowResult]:
    """What the records of a ladder in ``folder`` say."""
    rows = load_ladder(folder, seeds=SEEDS)
    known = {
        (row.name, seed): record
        for row in rows
        for seed in range(SEEDS)
        if (record := read_record(folder / "records", row.name, seed)) is not None
    }
    return row_results(rows, known)


def ladder_pages() -> dict[Path, str]:
    """The tables of every ladder that has records, and the picture of the first."""
    results = {folder: ladder_results(ROOT / folder) for folder in LADDERS}
    parts = [TABLES_HEAD]
    for folder, title in LADDERS.items():
        lines = [f"## {title}", "", f"`{folder}/`", "", *markdown(results[folder]), ""]
        parts.append("\n".join(lines))
    picture = steps_picture(results["pipelines/ladder"], IN_PICTURE)
    return {LADDER_TABLES: "\n".join(parts), LADDER_PICTURE: picture}


def pages() -> dict[Path, str]:
    """The text of each page as it should be."""
    head = TROUBLE.read_text(encoding="utf-8").partition(BEGIN)[0]
    made = {COMMANDS: commands_page(), TROUBLE: head + BEGIN + "\n" + error_lines()}
    return made | ladder_pages()


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
