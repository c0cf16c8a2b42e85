"""Typer commands: parse, load, run, echo. No logic lives here, and nothing heavy is imported."""

from lvistk.cli import stages, data, runs  # isort: skip  (the order of --help)
from lvistk.cli.app import app, main

__all__ = ["app", "data", "main", "runs", "stages"]
