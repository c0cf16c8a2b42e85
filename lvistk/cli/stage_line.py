"""A stage's command line, read without Typer where it holds nothing but known options with values."""

from collections.abc import Iterator, Sequence
from typing import Any

from lvistk.cli.alone import run_alone
from lvistk.cli.stage_options import Option, options_of
from lvistk.stages.specifications.stage import Stage


def run_plain(stage: Stage, words: Sequence[str]) -> bool:
    """Run the stage; False, and nothing done, where Typer has to read ``words``."""
    given = read_plain(stage, words)
    if given is None:
        return False
    run_alone(stage, given)
    return True


def read_plain(stage: Stage, words: Sequence[str]) -> dict[str, Any] | None:
    """Values by names of options; None for help, mistakes, and unusual ways to write an option.

    Read here: ``--option value``, ``--option=value``, ``-o value``, flags, and arguments among them.
    """
    options = options_of(stage)
    by_flag = {flag: one for one in options for flag in one.flags}
    arguments = _in_turn([one for one in options if not one.flags])
    given: dict[str, Any] = {one.name: one.default for one in options}
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        one = by_flag.get(flag) if word.startswith("-") else next(arguments, None)
        if one is None or (equals and one.kind is bool):
            return None
        if one.kind is bool:
            given[one.name] = True
            continue
        if not equals:
            value = next(rest, "-") if one.flags else word
        if value.startswith("-"):  # no value, or one that looks like an option
            return None
        try:
            read = one.kind(value)
        except ValueError:  # no number
            return None
        given[one.name] = [*(given[one.name] or ()), read] if one.many else read
    return given


def _in_turn(arguments: Sequence[Option]) -> Iterator[Option]:
    """The argument that each word is for; one that may be repeated takes all that follow."""
    for one in arguments:
        yield one
        while one.many:
            yield one
