"""The command line: parse, load, run. No logic lives here, and nothing heavy is imported."""

from lvistk.cli.entry import main

__all__ = ["main"]
