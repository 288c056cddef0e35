"""The base class of the JSON files between stages, and the words for a file that does not fit."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Record(BaseModel):
    """A frozen value in a JSON file; unknown keys, missing keys and wrong types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def describe_invalid(error: ValidationError) -> str:
    """Return each wrong key with its problem and its raw value.

    >>> class Size(Record):
    ...     width: int
    >>> try:
    ...     Size.model_validate({"width": "2", "depth": 3})
    ... except ValidationError as error:
    ...     describe_invalid(error)
    "width: Input should be a valid integer (got '2'); depth: unknown key (got 3)"
    """
    return "; ".join(
        _describe(".".join(str(part) for part in item["loc"]), item["type"], item["msg"], value)
        for item in error.errors()
        for value in [f"(got {item['input']!r:.80})"]
    )


def _describe(key: str, kind: str, message: str, value: str) -> str:
    if kind == "missing":
        return f"{key}: no such key"
    if kind == "extra_forbidden":
        return f"{key}: unknown key {value}"
    if kind == "value_error":
        message, value = message.removeprefix("Value error, "), ""
    return f"{key}: {message} {value}".removeprefix(": ").rstrip()
