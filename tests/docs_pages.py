"""Pages that are made from the code: ``python -m tests.docs_pages`` writes them anew.

``docs/commands.md`` lists every command with its options. The end of ``docs/troubleshooting.md`` lists every
error line that lvistk can end with.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import typer.main

from lvistk.cli.commands import app

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "docs" / "commands.md"
TROUBLE = ROOT / "docs" / "troubleshooting.md"
BEGIN = "<!-- made by tests/docs_pages.py from here on -->\n"


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


def pages() -> dict[Path, str]:
    """The text of each page as it should be."""
    head = TROUBLE.read_text(encoding="utf-8").partition(BEGIN)[0]
    return {COMMANDS: commands_page(), TROUBLE: head + BEGIN + "\n" + error_lines()}


def main() -> None:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
