"""What a stage is: one object, from which runner, pipeline, status, options and settings derive."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A step that reads files and writes files.

    command: its name on the command line, such as ``train-repr``.
    help: what the command does, in one sentence.
    settings: a frozen dataclass whose fields all have defaults.
    inputs: a frozen dataclass of paths, each made by ``config.inputs.path`` or ``paths``.
    outputs: names of the files and folders that a finished run may have left in its folder.
    run: called as ``run(settings, inputs, out)`` with the ``StageFolder`` to write into; returns the
    summary, JSON values. A stage that needs a device is called with the keyword ``device`` too.
    needs_device: it computes with torch on a device, and torchrun may start it on several.
    options: settings that have an option of their own, each with the option's help.
    unread: called as ``unread(settings, inputs)``; names of inputs that such a run does not read, though
    they may be given: a pipeline's ``[data]`` fills the inputs of all stages.
    in_portions: several jobs may each make a portion of it (``--shard``), and another one finishes it.
    told_apart_by: settings that tell the stages of this command in a pipeline file apart, such as the
    source of ``pseudo-label``.
    uncounted: inputs that cannot change the result, such as validation data of a training.
    check: called as ``check(settings, inputs, out)`` before the folder ``out`` is touched; raises
    ``UserError`` for inputs that cannot be used.
    complete: called as ``complete(plan, config=..., out=...)`` with the plan that a command line means, its
    pipeline file and its ``--out``; returns the plan that runs.
    """

    command: str
    help: str
    settings: type
    inputs: type
    outputs: tuple[str, ...]
    run: Callable[..., dict[str, Any]]
    needs_device: bool = False
    in_portions: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    unread: Callable[[Any, Any], set[str]] = lambda settings, inputs: set()
    told_apart_by: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()
    check: Callable[[Any, Any, Path], None] = lambda settings, inputs, out: None
    complete: Callable[..., Any] | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the inputs that a run cannot do without."""
        inputs = dataclasses.fields(self.inputs)
        return tuple(one.name for one in inputs if one.metadata["required"])

    def made_by(self, name: str) -> tuple[str, ...]:
        """Commands, as they are typed, whose results the input ``name`` can be."""
        return self._metadata(name)["made_by"]

    def argument(self, name: str) -> str:
        """What the input ``name`` is called as an argument of the command; '' where it is an option."""
        return self._metadata(name)["argument"]

    def _metadata(self, name: str) -> Mapping[str, Any]:
        inputs = {one.name: one for one in dataclasses.fields(self.inputs)}
        return inputs[name].metadata
