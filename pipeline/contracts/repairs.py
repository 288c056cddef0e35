"""What a program can do about a verdict.

The lifecycle loop applies a repair, measures again, and keeps or undoes it.

Most repairs edit params.yaml: a later `shop.as_of`, another family, a lower target, a declared
correction or quarantine of the source. The others act on the running service, or ask a person.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pipeline.contracts.phases import Phase


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(_Frozen):
    """A change to one key of params.yaml.

    Attributes:
        key: The key with its sections, such as `shop.as_of`.
        operation: `set` replaces the value; `append` adds `value` to the list.
        value: The new value, or the new member of the list.
    """

    key: str = Field(pattern=r"^[a-z_]+(\.[a-z_0-9]+)+$")
    operation: Literal["set", "append"] = "set"
    value: JsonValue


class FileCopy(_Frozen):
    """A file that a change of params.yaml names; it is copied before params.yaml is written.

    Attributes:
        source: Path of the proposed file, from the project's root.
        target: Path under `data/corrections`; undoing the step removes it again.
    """

    source: str
    target: str = Field(pattern=r"^data/corrections/[\w.-]+$")


class EditParams(_Frozen):
    """Change params.yaml, and run what depends on it."""

    kind: Literal["edit_params"] = "edit_params"
    changes: tuple[Change, ...] = Field(min_length=1)
    files: tuple[FileCopy, ...] = ()


class RollBack(_Frozen):
    """Make the version before the champion the champion again."""

    kind: Literal["roll_back"] = "roll_back"


class Rerun(_Frozen):
    """Run a stage again although nothing that it depends on has changed."""

    kind: Literal["rerun"] = "rerun"
    stage: Phase


class Restart(_Frozen):
    """Restart the running service."""

    kind: Literal["restart"] = "restart"


class Ask(_Frozen):
    """Ask a person what no program should decide.

    Attributes:
        question: What the person must decide.
        options: Answers that the person carries out.
        steps: Answers that the loop carries out, by name.
    """

    kind: Literal["ask"] = "ask"
    question: str
    options: tuple[str, ...] = ()
    steps: dict[str, Annotated[EditParams | RollBack | Restart, Field(discriminator="kind")]] = {}


Step = Annotated[EditParams | RollBack | Restart | Rerun | Ask, Field(discriminator="kind")]


class Repair(_Frozen):
    """A step against one cause.

    Attributes:
        cause: Name of the cause, such as `unit_change`.
        target_phase: The phase to redo.
        step: What to do.
        because: The evidence, in a sentence.
        expected_gain: Expected change of the primary metric; None if unknown.
        cost_minutes: Expected minutes of all stages to run; None if unknown.
    """

    cause: str = Field(pattern=r"^[a-z_]+$")
    target_phase: Phase
    step: Step
    because: str
    expected_gain: float | None = None
    cost_minutes: float | None = None
