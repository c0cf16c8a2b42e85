"""Stage folders: manifests, fingerprints of inputs and outputs, and how a folder stands to a run."""

from lvistk.artifacts.folder import StageFolder, require_apart
from lvistk.artifacts.lock import BusyError
from lvistk.artifacts.manifest import (
    MANIFEST,
    describe_input,
    describe_inputs,
    find_input,
    fingerprint,
    input_items,
    is_same_input,
    read_manifest,
    versions,
)
from lvistk.artifacts.portion import Portion
from lvistk.artifacts.standing import Rules, Standing, Wanted, differences, standing

__all__ = [
    "MANIFEST",
    "BusyError",
    "Portion",
    "Rules",
    "StageFolder",
    "Standing",
    "Wanted",
    "describe_input",
    "describe_inputs",
    "differences",
    "find_input",
    "fingerprint",
    "input_items",
    "is_same_input",
    "read_manifest",
    "require_apart",
    "standing",
    "versions",
]
