import errno
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.errors import ParamsError
from pipeline.contracts.params import read_params
from pipeline.contracts.repairs import Change
from pipeline.lifecycle.errors import ConflictError, RefusedStepError, StorageError
from pipeline.lifecycle.ledger.entries import KeyChange, ParamsEffect
from pipeline.lifecycle.steps import step
from pipeline.lifecycle.steps.params_file import (
    apply_changes,
    find_state,
    plan_changes,
    revert_changes,
)
from tests.support.fake_cycles import write_project
from tests.support.tiny_shop import PROJECT

PATH = Path("params.yaml")
TEXT = (PROJECT / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)


def change(key: str, value: Any, operation: Any = "set") -> tuple[KeyChange, ...]:
    planned = plan_changes((Change(key=key, value=value, operation=operation),))
    apply_changes(planned)
    return planned


@pytest.mark.parametrize(
    ("key", "value", "operation", "old", "new"),
    [
        ("shop.as_of", "2017-12-11", "set", 'as_of: "2017-12-04" ', 'as_of: "2017-12-11" '),
        ("families.ranker.epochs", 12, "set", "epochs: 2                  # of the network",
         "epochs: 12                 # of the network"),
        ("training.families", "gru", "append", "families: [mlp]      ", "families: [mlp, gru] "),
        ("labeling.event_weights.cart", 0.5, "set", "cart: 0.0, purchase", "cart: 0.5, purchase"),
        ("shop.timezone", "Europe/Berlin", "set", "America/New_York  ", "Europe/Berlin     "),
    ],
)  # fmt: skip
def test_an_edit_changes_one_value_and_undoing_it_restores_every_byte(
    key: str, value: Any, operation: str, old: str, new: str
) -> None:
    assert TEXT.count(old) == 1
    changes = change(key, value, operation)
    expected = TEXT.replace(old, new)
    assert PATH.read_text(encoding="utf-8").split() == expected.split()
    n_changed = sum(
        a != b
        for a, b in zip(PATH.read_text().splitlines(), TEXT.splitlines(), strict=True)
    )  # fmt: skip
    assert n_changed == 1
    assert find_state(changes) == "new"
    revert_changes(changes)
    assert PATH.read_text(encoding="utf-8") == TEXT
    assert find_state(changes) == "old"


def test_windows_line_ends_stay() -> None:
    PATH.write_bytes(TEXT.replace("\n", "\r\n").encode())
    changes = change("families.ranker.epochs", 12)
    assert PATH.read_bytes().count(b"\r\n") == PATH.read_bytes().count(b"\n") == TEXT.count("\n")
    revert_changes(changes)
    assert PATH.read_bytes() == TEXT.replace("\n", "\r\n").encode()


def test_a_key_that_was_not_set_is_deleted_again() -> None:
    text = TEXT.replace("  cors_origins: []             # origins of other web pages, such as "
                        "https://shop.example\n", "")  # fmt: skip
    assert text != TEXT
    PATH.write_text(text)
    with pytest.raises(ParamsError):  # it is required, so nothing can be set beside its absence
        plan_changes((Change(key="families.ranker.epochs", value=3),))
    changes = change("serving.cors_origins", ["https://shop.example"])
    assert not changes[0].was_set
    assert read_params().serving.cors_origins == ["https://shop.example"]


@pytest.mark.parametrize(
    ("key", "value", "operation", "error", "message"),
    [
        ("families.ranker.epochs", -3, "set", ParamsError, "got -3"),
        ("families.ranker.epochs", "many", "set", ParamsError, "got 'many'"),
        ("families.ranker.epoch", 3, "set", ParamsError, "epoch"),
        ("families.ranker.epochs", 3, "append", RefusedStepError, "a list at .*, got 2"),
        ("oven.heat", 3, "set", RefusedStepError, "the section 'oven'"),
        ("shop.as_of.year", 3, "set", RefusedStepError, "the section 'shop.as_of'"),
        ("families.ranker.epochs", 2, "set", RefusedStepError, "as it already is"),
    ],
)
def test_what_cannot_be_edited_is_refused_and_changes_nothing(
    key: str, value: Any, operation: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        change(key, value, operation)
    assert PATH.read_text(encoding="utf-8") == TEXT
    assert list(Path().iterdir()) == [PATH]


def test_only_the_appended_member_is_taken_back() -> None:
    first = change("training.families", "gru", "append")
    second = change("training.families", "cnn", "append")
    revert_changes(first)
    assert read_params().training.families == ("mlp", "cnn")
    revert_changes(second)
    assert PATH.read_text(encoding="utf-8") == TEXT


def test_a_value_that_someone_changed_since_is_left_alone() -> None:
    changes = change("families.ranker.epochs", 12)
    edited = PATH.read_text().replace("epochs: 12 ", "epochs: 5 ")
    PATH.write_text(edited)
    with pytest.raises(ConflictError, match=r"epochs to be 12 .* got 5 \(before the step: 2\)"):
        revert_changes(changes)
    with pytest.raises(ConflictError):
        find_state(changes)
    assert PATH.read_text() == edited


def test_a_full_disk_leaves_the_file_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan_changes((Change(key="families.ranker.epochs", value=3),))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", fail)
        with pytest.raises(StorageError, match="No space left on device; nothing is written in"):
            step.apply(ParamsEffect(changes=planned))
    assert PATH.read_text(encoding="utf-8") == TEXT
    assert list(Path().iterdir()) == [PATH]
    apply_changes(planned)
    assert read_params().families.ranker.epochs == 3
