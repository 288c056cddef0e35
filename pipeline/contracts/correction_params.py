"""Declared corrections of the source, and lines held out, in the section `collection`.

A person or the lifecycle loop declares them when the retailer's files are wrong and cannot be
exported again. Every run applies them to the lines as delivered, so removing one undoes it.

`from`, `to` and `store_id` select lines by what the source delivered, before any correction.
"""

from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from pipeline.contracts.params_section import Section

CORRECTIONS_FOLDER = PurePosixPath("data/corrections")
"""The folder of the id maps; a dependency of planning and collection in dvc.yaml."""


class LineSelection(Section):
    """Lines of the source by local day and store; without a limit, all lines.

    Attributes:
        from_day: The first selected day; `from` in YAML.
        to_day: The first day after the selected ones; `to` in YAML.
        store_id: The only selected store.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    from_day: date | None = Field(default=None, alias="from", strict=False)
    to_day: date | None = Field(default=None, alias="to", strict=False)
    store_id: str | None = None

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.from_day and self.to_day and self.from_day >= self.to_day:
            message = f"from must be before to, got from {self.from_day} to {self.to_day}"
            raise ValueError(message)
        return self

    @property
    def selects_all(self) -> bool:
        """Whether no limit is set."""
        return self.from_day is None and self.to_day is None and self.store_id is None

    def describe_lines(self) -> str:
        """Return the limits in words, beginning with a comma; empty without limits."""
        limits = {"from": self.from_day, "before": self.to_day, "in store": self.store_id}
        return "".join(f", {word} {value}" for word, value in limits.items() if value is not None)


class Scale(LineSelection):
    """Multiply an amount, for example prices that arrived in cents by 0.01."""

    kind: Literal["scale"]
    column: Literal["price", "discount", "quantity"]
    factor: float = Field(allow_inf_nan=False)

    @field_validator("factor")
    @classmethod
    def _can_be_undone(cls, factor: float) -> float:
        if factor == 0:
            message = "the factor must not be 0, which would erase the column"
            raise ValueError(message)
        return factor

    def describe(self) -> str:
        """Return the correction in words."""
        return f"scale {self.column} by {self.factor:g}{self.describe_lines()}"


class Shift(LineSelection):
    """Move timestamps by hours, to the second."""

    kind: Literal["shift"]
    hours: float = Field(ge=-87_600, le=87_600, allow_inf_nan=False)  # ten years

    @field_validator("hours")
    @classmethod
    def _moves(cls, hours: float) -> float:
        if round(hours * 3600) == 0:
            message = "the shift must be at least a second"
            raise ValueError(message)
        return hours

    def describe(self) -> str:
        """Return the correction in words."""
        return f"shift timestamps by {self.hours:+g} hours{self.describe_lines()}"


class Rename(LineSelection):
    """Replace ids by a map in a CSV file with the columns `old` and `new`."""

    kind: Literal["rename"]
    column: Literal["item_id", "user_id", "store_id"]
    file: str

    @field_validator("file")
    @classmethod
    def _is_tracked(cls, file: str) -> str:
        path = PurePosixPath(file)
        if CORRECTIONS_FOLDER not in path.parents or ".." in path.parts or path.suffix != ".csv":
            message = f"the file must be a .csv in {CORRECTIONS_FOLDER}/, which DVC tracks"
            raise ValueError(message)
        return file

    def describe(self) -> str:
        """Return the correction in words."""
        return f"rename {self.column} by {self.file}{self.describe_lines()}"


class Deduplicate(LineSelection):
    """Keep one of the lines with the same user, item, time, event type, quantity, price, basket."""

    kind: Literal["deduplicate"]

    def describe(self) -> str:
        """Return the correction in words."""
        return f"drop repeated lines{self.describe_lines()}"


class DropUsers(LineSelection):
    """Drop the lines of users that are no shoppers, for example bots."""

    kind: Literal["drop_users"]
    users: tuple[str, ...] = Field(min_length=1, strict=False)

    def describe(self) -> str:
        """Return the correction in words, without the users' ids."""
        return f"drop the lines of {len(self.users)} users{self.describe_lines()}"


Correction = Annotated[
    Scale | Shift | Rename | Deduplicate | DropUsers, Field(discriminator="kind")
]


class HeldOut(LineSelection):
    """Lines that are written to data/quarantine instead of the clean tables."""

    because: str = Field(min_length=1)

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.selects_all:
            message = "from, to or store_id must limit the lines: all lines would be held out"
            raise ValueError(message)
        return self

    def describe(self) -> str:
        """Return the selection and the reason in words."""
        return f"hold out lines{self.describe_lines()}: {self.because}"
