"""``lvistk doctor``: whether everything works on this machine."""

from lvistk import console
from lvistk.cli.app import app
from lvistk.cli.options import Json


@app.command("doctor")
def doctor(json: Json = False) -> None:
    """Check versions, devices, codecs and caches, and train a small model on each device (a minute)."""
    from lvistk.stages.commands.doctor import run

    console.use_json(json)
    run()
