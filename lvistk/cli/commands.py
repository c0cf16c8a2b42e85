"""All commands, on the Typer application."""

from lvistk.cli import init, stages, data, results, runs, cluster, doctor  # isort: skip  (the order of --help)
from lvistk.cli.app import app

__all__ = ["app", "cluster", "data", "doctor", "init", "results", "runs", "stages"]

for _command in app.registered_commands:  # else Typer cuts what a command does after 50 letters
    _command.short_help = _command.callback.__doc__ if _command.callback else None
