"""Edit params.yaml and take an edit back: comments and layout stay as they are."""

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import ScalarString

from pipeline.contracts.atomic import whole_file
from pipeline.contracts.errors import ParamsError
from pipeline.contracts.params import PARAMS_PATH, parse_params
from pipeline.contracts.repairs import Change
from pipeline.lifecycle.errors import ConflictError, RefusedStepError
from pipeline.lifecycle.ledger.entries import KeyChange

WIDE = 1_000_000  # no line is wrapped
COMMENTED = re.compile(r"(?P<value>\s*[\w.]+:.*?\S)\s+(?P<comment># .*)$")

State = Literal["old", "new"]


def plan_changes(changes: Sequence[Change], path: Path = PARAMS_PATH) -> tuple[KeyChange, ...]:
    """Return what the changes would do to params.yaml.

    Raises:
        ParamsError: The file is invalid, or would be with the changes.
        RefusedStepError: A section is missing, `append` meets no list, or nothing would change.
    """
    document = _parse_plain(_read_text(path))
    planned = tuple(_plan(change, document) for change in changes)
    if not any(_differs(change) for change in planned):
        raise RefusedStepError(
            f"a change of '{path}'",
            received=", ".join(f"{c.key} = {c.value!r}, as it already is" for c in changes),
            action="Nothing is left to do by this step.",
        )
    _edit(planned, path, is_forward=True)
    return planned


def apply_changes(changes: Sequence[KeyChange], path: Path = PARAMS_PATH) -> None:
    """Write the changes.

    Raises:
        ParamsError: The result is invalid; the file is unchanged.
        OSError: The disk is full; the file is unchanged.
    """
    _write(_edit(changes, path, is_forward=True), path)


def revert_changes(changes: Sequence[KeyChange], path: Path = PARAMS_PATH) -> None:
    """Take the changes back if they are there; the other keys stay as they are.

    Raises:
        ConflictError: A key no longer has the value that the changes set.
        ParamsError: The result is invalid; the file is unchanged.
        OSError: The disk is full; the file is unchanged.
    """
    if find_state(changes, path) == "new":
        _write(_edit(changes, path, is_forward=False), path)


def find_state(changes: Sequence[KeyChange], path: Path = PARAMS_PATH) -> State:
    """Return whether params.yaml holds the values before the changes, or those after.

    Raises:
        ConflictError: It holds neither; the error shows both values of a key.
    """
    document = _parse_plain(_read_text(path))
    if all(_has_old(change, document) for change in changes):
        return "old"
    _check_is_new(changes, document, path)
    return "new"


def _check_is_new(changes: Sequence[KeyChange], document: Any, path: Path) -> None:
    for change in changes:
        if _has_new(change, document):
            continue
        verb = "contain" if change.operation == "append" else "be"
        raise ConflictError(
            f"{change.key} to {verb} {change.new!r} in '{path}', as the step left it",
            received=f"{_get(document, change.key)[1]!r} (before the step: {change.old!r})",
            action="Someone has changed it since. Set the value that you want by hand.",
        )


def _plan(change: Change, document: Any) -> KeyChange:
    was_set, old = _get(document, change.key)
    if change.operation == "append" and not isinstance(old, list):
        raise RefusedStepError(
            f"a list at {change.key} to append to", received=repr(old), action="Set it instead."
        )
    return KeyChange(
        key=change.key, operation=change.operation, old=old, new=change.value, was_set=was_set
    )


def _differs(change: KeyChange) -> bool:
    return change.operation == "append" or not change.was_set or change.old != change.new


def _has_old(change: KeyChange, document: Any) -> bool:
    is_set, value = _get(document, change.key)
    if change.operation == "append":
        return isinstance(value, list) and not _has_new(change, document)
    return is_set == change.was_set and value == change.old


def _has_new(change: KeyChange, document: Any) -> bool:
    is_set, value = _get(document, change.key)
    if change.operation == "append":
        assert isinstance(change.old, list)
        return isinstance(value, list) and value.count(change.new) > change.old.count(change.new)
    return is_set and value == change.new


def _get(document: Any, key: str) -> tuple[bool, JsonValue]:
    """Return whether the key is set, and its value.

    Raises:
        RefusedStepError: A section of the key is missing.
    """
    section, name = _find_section(document, key)
    return name in section, section.get(name)


def _find_section(document: Any, key: str) -> tuple[Any, str]:
    *sections, name = key.split(".")
    for section in sections:
        document = document.get(section) if isinstance(document, dict) else None
    if not isinstance(document, dict):
        raise RefusedStepError(
            f"the section '{'.'.join(sections)}' in params.yaml for the key {key}",
            received="no such section",
            action="Correct the key in the verdict's repair.",
        )
    return document, name


def _edit(changes: Sequence[KeyChange], path: Path, *, is_forward: bool) -> str:
    """Return the text of params.yaml after the changes, or before them.

    Raises:
        ParamsError: The result is invalid.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDE
    text = _read_text(path)
    document = yaml.load(text.replace("\r\n", "\n"))
    for change in changes if is_forward else reversed(changes):
        section, name = _find_section(document, change.key)
        if change.operation == "append":
            if is_forward:
                _append(section[name], change.new)
            else:
                _remove_last(section[name], change.new)
        elif is_forward or change.was_set:
            value = change.new if is_forward else change.old
            section[name] = _in_style_of(section.get(name), value)
        else:
            del section[name]
    stream = io.StringIO()
    yaml.dump(document, stream)
    edited = _align_comments(stream.getvalue(), text)
    parse_params(edited, path)
    return edited.replace("\n", "\r\n") if "\r\n" in text else edited


def _align_comments(edited: str, before: str) -> str:
    """Return the text with the comments of changed lines in the column that most comments have.

    A long value moves the comment behind it; without this, it would stay there when the value is
    taken back.
    """
    old = before.splitlines()
    columns = Counter(match.start("comment") for match in map(COMMENTED.match, old) if match)
    if not columns:
        return edited
    (column, _), *_ = columns.most_common(1)
    lines, unchanged = edited.split("\n"), set(old)
    for number, line in enumerate(lines):
        match = COMMENTED.match(line)
        if match and line not in unchanged and len(match["value"]) < column:
            lines[number] = f"{match['value']:<{column}}{match['comment']}"
    aligned = "\n".join(lines)
    # A sign like that of a comment inside of quotes is not to be moved.
    return aligned if _parse_plain(aligned) == _parse_plain(edited) else edited


def _append(members: CommentedSeq, value: JsonValue) -> None:
    """Append a member on one line: a list that grew over several cannot become `[]` again."""
    if not members:
        members.fa.set_flow_style()
    member: Any = CommentedMap(value) if isinstance(value, dict) else value
    if isinstance(member, CommentedMap):
        member.fa.set_flow_style()
    members.append(member)


def _remove_last(members: list[Any], value: JsonValue) -> None:
    position = max(n for n, member in enumerate(members) if member == value)
    del members[position]


def _in_style_of(old: Any, value: JsonValue) -> Any:
    """Return a text quoted as the old one was."""
    return type(old)(value) if isinstance(old, ScalarString) and isinstance(value, str) else value


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(
            f"'{path}' in UTF-8",
            received=str(error),
            action="Restore it: `git checkout params.yaml`.",
        ) from error


def _parse_plain(text: str) -> Any:
    """Return the document with JSON values only; a date becomes its text."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))


def _write(text: str, path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
