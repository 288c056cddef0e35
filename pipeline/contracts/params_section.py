"""The base class of the sections of params.yaml."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen section of params.yaml; unknown keys and wrong types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
