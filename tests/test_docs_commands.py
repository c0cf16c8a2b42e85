"""Every command line that the documentation shows is one that lvistk takes."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from lvistk.cli.commands import app
from lvistk.errors import UserError
from lvistk.stages.pipelines.ladder import chosen_rows, load_ladder
from lvistk.stages.pipelines.one_stage import plan_from_file
from lvistk.stages.pipelines.pipeline_file import load_pipeline
from lvistk.stages.pipelines.stage_plan import plan_alone
from lvistk.stages.specifications import STAGES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PIPELINES = sorted((ROOT / "pipelines").glob("*.toml"))
GROUP = typer.main.get_command(app)
PLACEHOLDER = re.compile(r"\b(COMMAND|NAME|KIND|TARGET|SOURCE)\b|(^|\s)\[|\.\.\.|<|\|")


def command_lines(page: Path) -> list[str]:
    """Lines of code blocks, and code in the text, that begin with ``lvistk`` and have no placeholder."""
    text = page.read_text(encoding="utf-8")
    block = re.compile(r"^ *```[a-z]*\n(.*?)^ *```", flags=re.S | re.M)
    blocks = [one.replace("\\\n", " ") for one in block.findall(text)]
    given = re.findall(r"\b([A-Z]+)=(?:\"([^\"]+)\"|([^\s;\"]+))", "\n".join(blocks))
    variables = {name: " ".join((quoted or plain).split()) for name, quoted, plain in given}
    lines = [expanded(line, variables) for one in blocks for line in one.splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", block.sub("", text))]
    return list(dict.fromkeys(command for line in lines if (command := command_of_line(line))))


def expanded(line: str, variables: dict[str, str]) -> str:
    """The line with the shell variables that the page sets."""
    for _ in range(2):
        line = re.sub(r"\$([A-Z]+)", lambda name: variables.get(name[1], name[0]), line)
    return line


def command_of_line(line: str) -> str:
    """The call of lvistk in a line, without prompt, launcher and comment; empty where there is none."""
    line = re.sub(r"^(\$ |.*-m (?=lvistk ))", "", line.strip())
    line = re.split(r"\s+#|\s+\(|\s*[;>]|&&", line)[0].strip()
    shown = re.match(r"lvistk -?[a-z]", line) and not PLACEHOLDER.search(line)
    return line if shown else ""


CASES = [(page, line) for page in PAGES for line in command_lines(page)]
CASES += [
    (path, command)
    for path in PIPELINES
    for line in path.read_text().splitlines()
    if line.startswith("# Command") and (command := command_of_line(line.removeprefix("# Command")))
]


def test_there_are_many() -> None:
    assert len(CASES) > 60 and len(SCRIPTS) > 10


@pytest.mark.parametrize(("page", "line"), CASES, ids=[f"{p.stem}: {c}" for p, c in CASES])
def test_it_is_taken(page: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options are parsed by the command line itself; settings and pipelines are read."""
    monkeypatch.chdir(ROOT)
    words = shlex.split(line)[1:]
    if words[0].startswith("-"):
        return
    command = GROUP.commands.get(words[0])  # pyright: ignore[reportAttributeAccessIssue]  # a group
    assert command is not None, f"{page.name}: no command {words[0]}"
    if words[1:] in (["--help"], []):
        return
    context = command.make_context(words[0], words[1:], resilient_parsing=False)
    read_settings(words[0], context.params)


SCRIPT = re.compile(r"python (?:-m (tests\.[\w.]+)|((?:tests|pipelines)/\w+\.py))([^`\n#]*)")
SCRIPTS = [
    (page, *found)
    for page in [ROOT / "CONTRIBUTING.md", *PAGES]
    for found in SCRIPT.findall(page.read_text(encoding="utf-8").replace("\\\n", " "))
]


@pytest.mark.parametrize(
    ("page", "module", "file", "words"),
    SCRIPTS,
    ids=[f"{p.stem}: {m or f}" for p, m, f, _ in SCRIPTS],
)
def test_a_script_is_there_and_has_the_options(
    page: Path, module: str, file: str, words: str
) -> None:
    """Scripts of the repository that pages call; an option is a text or a parameter in them."""
    text = (ROOT / (file or f"{module.replace('.', '/')}.py")).read_text(encoding="utf-8")
    for option in re.findall(r"--([a-z][a-z-]*)", words):
        named = f'"--{option}"' in text or f"{option.replace('-', '_')}:" in text
        assert named, f"{page.name}: --{option}"


def read_settings(name: str, given: dict) -> None:
    assignments = tuple(given.get("assign") or ())
    name = given["command"] if name == "settings" else name
    if name in STAGES and given.get("config"):
        try:
            plan_from_file(given["config"], name, name=given.get("stage"), assignments=assignments)
        except UserError as error:
            if "no such" not in str(error):
                raise
    elif name in STAGES:
        plan_alone(name, out=Path("runs"), assignments=assignments)
    elif name == "run" and given["pipeline"] and Path(given["pipeline"]).is_dir():
        rows = load_ladder(Path(given["pipeline"]), seeds=1, assignments=assignments)
        chosen_rows(rows, given.get("only") or ())
    elif name == "run" and given["pipeline"] and Path(given["pipeline"]).exists():
        pipeline = load_pipeline(given["pipeline"], assignments=assignments)
        for stage in given.get("only") or ():
            pipeline.stage(stage)
