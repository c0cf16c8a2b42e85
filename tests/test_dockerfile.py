"""The Dockerfile as far as it can be checked without an engine: versions, extras, no need of a network."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()
STEPS = [
    line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def arguments(word: str) -> list[str]:
    """What stands behind an instruction, each time that it is used."""
    return [line.partition(" ")[2].strip() for line in STEPS if line.startswith(f"{word} ")]


def test_what_is_copied_is_made_by_make_wheels_and_sent_to_the_engine() -> None:
    sources = [copied.split()[0] for copied in arguments("COPY")]
    assert sources == ["wheels"]
    sent = (ROOT / ".dockerignore").read_text().split()
    assert sent == ["*", *(f"!{name}" for name in sources)]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^wheels: .*\n(\t.*\n)*\t.*pip wheel --wheel-dir wheels ", makefile, re.M)


def test_no_step_asks_the_network() -> None:
    steps = [one.strip() for text in arguments("RUN") for one in text.split("&&")]
    assert steps and not any(re.search(r"\b(apt|apt-get|curl|wget|git)\b", one) for one in steps)
    for one in steps:
        assert not one.startswith("pip ") or (
            "--no-index --" in one and "--find-links /wheels" in one
        )


def test_the_wheels_hold_what_is_installed() -> None:
    """``make wheels`` builds the same extras, and each package that is named besides."""
    made = re.search(r"pip wheel --wheel-dir wheels (.*)", (ROOT / "Makefile").read_text())
    assert made
    for extras in re.findall(r"lvistk\[([a-z,]+)\]", TEXT.split("FROM")[1]):
        assert f"[{extras}]" in made[1]
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert "opencv-python-headless" in TEXT and "opencv-python-headless" in made[1]


def test_the_command_is_one_of_the_package() -> None:
    assert arguments("ENTRYPOINT") == ['["lvistk"]'] and "lvistk" in PROJECT["scripts"]
    (python,) = (text.partition("=")[2] for text in arguments("ARG"))
    assert tuple(map(int, python.split("."))) >= (3, 11)
