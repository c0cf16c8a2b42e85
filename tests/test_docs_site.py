"""Pages that are made from the code are current, every command has a page, and the site builds."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml

from lvistk.cli.commands import app
from tests.docs_pages import pages

ROOT = Path(__file__).parents[1]
GROUP = typer.main.get_command(app)
COMMANDS: list[str] = sorted(GROUP.commands)  # pyright: ignore[reportAttributeAccessIssue]  # a group


def test_pages_from_the_code_are_current() -> None:
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.name} is older than the code: python -m tests.docs_pages"
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_page_that_begins_with_it(name: str) -> None:
    page = ROOT / "docs" / f"{name}.md"
    assert page.is_file(), f"docs/{name}.md is missing"
    assert f"lvistk {name}" in page.read_text(encoding="utf-8")


def test_the_sites_navigation_has_every_page() -> None:
    configuration = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(re.findall(r"[\w-]+\.md", str(configuration["nav"])))
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_the_index_links_to_every_page() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\(([\w-]+\.md)\)", text))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}


def headings(page: Path) -> set[str]:
    """The headings of a page as anchors, by the rules of GitHub and of the site where both are the same."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    plain = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        for heading in re.findall(r"^#+ (.*)", text, flags=re.M)
    ]
    words = [re.sub(r"[^\w\s-]", "", heading).strip() for heading in plain]
    return {one.replace(" ", "-") for one in words} & {re.sub(r"[-\s]+", "-", one) for one in words}


@pytest.mark.parametrize(
    "page",
    [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda page: page.name,
)
def test_anchors_of_links_are_headings(page: Path) -> None:
    for file, anchor in re.findall(
        r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")
    ):
        target = page.parent / file if file else page
        assert anchor in headings(target), f"{page.name}: {file}#{anchor}"


def test_links_of_pages_lead_to_pages_and_pictures() -> None:
    for path in (ROOT / "docs").glob("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if not link.startswith(("http:", "https:")):
                target = (path.parent / link).resolve()
                assert target.is_file() and target.is_relative_to(ROOT / "docs"), (path.name, link)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None,
    reason="mkdocs is not installed: pip install 'lvistk[docs]'",
)
def test_the_site_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.parent.name for path in tmp_path.glob("*/index.html")}
    assert {"commands", "troubleshooting", "plan", "architecture"} <= made
