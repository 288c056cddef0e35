"""Declared corrections in params.yaml: what is accepted, and what is refused by its raw value."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.contracts.errors import ParamsError
from pipeline.contracts.params import CollectionParams, read_params
from tests.support import tiny_shop

SCALE = {"kind": "scale", "column": "price", "factor": 0.01}
DAYS = {"from": "2024-02-01", "to": "2024-03-01"}


def read(folder: Path, **changes: list[dict[str, Any]]) -> CollectionParams:
    values = tiny_shop.params()
    values["collection"] |= changes
    tiny_shop.write_params(folder / "params.yaml", values)
    return read_params(folder / "params.yaml").collection


def test_without_a_declaration_both_lists_are_empty(tmp_path: Path) -> None:
    section = read(tmp_path)
    assert (section.corrections, section.quarantined) == ((), ())


def test_members_keep_their_order_and_their_limits(tmp_path: Path) -> None:
    section = read(
        tmp_path,
        corrections=[
            SCALE | DAYS,
            {"kind": "shift", "hours": -5.0, "store_id": "367"},
            {"kind": "rename", "column": "item_id", "file": "data/corrections/items.csv"},
            {"kind": "deduplicate"},
            {"kind": "drop_users", "users": ["bot-1", "bot-2"]},
        ],
        quarantined=[DAYS | {"because": "the till lost its clock"}],
    )
    assert [member.describe() for member in section.corrections] == [
        "scale price by 0.01, from 2024-02-01, before 2024-03-01",
        "shift timestamps by -5 hours, in store 367",
        "rename item_id by data/corrections/items.csv",
        "drop repeated lines",
        "drop the lines of 2 users",
    ]
    (held_out,) = section.quarantined
    assert (held_out.from_day, held_out.to_day) == (date(2024, 2, 1), date(2024, 3, 1))
    dumped = section.corrections[0].model_dump(mode="json")
    assert dumped == DAYS | SCALE | {"store_id": None}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (SCALE | {"factor": 0}, "must not be 0"),
        (SCALE | {"factor": float("nan")}, "finite"),
        (SCALE | {"column": "prise"}, "'price', 'discount' or 'quantity'.*prise"),
        (SCALE | {"from": "2024-03-01", "to": "2024-03-01"}, "from 2024-03-01 to 2024-03-01"),
        (SCALE | {"form": "2024-03-01"}, "form: unknown key"),
        (SCALE | {"store_id": 367}, "store_id.*got 367"),
        ({"kind": "shift", "hours": 0.0}, "at least a second"),
        ({"kind": "shift", "hours": 1e9}, "less than or equal to 87600"),
        ({"kind": "drop_users", "users": []}, "at least 1 item"),
        ({"kind": "multiply"}, "corrections.0.*'scale', 'shift'"),
        ({"kind": "rename", "column": "item_id", "file": "/tmp/x.csv"}, "data/corrections/"),
        ({"kind": "rename", "column": "item_id", "file": "data/x.csv"}, "data/corrections/"),
        (
            {"kind": "rename", "column": "item_id", "file": "data/corrections/../x.csv"},
            "data/corrections/",
        ),
        (
            {"kind": "rename", "column": "price", "file": "data/corrections/x.csv"},
            "'item_id', 'user_id' or 'store_id'",
        ),
    ],
)
def test_an_impossible_correction_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ParamsError, match=rf"collection\.corrections\.0.*{named}|{named}"):
        read(tmp_path, corrections=[change])


@pytest.mark.parametrize(
    ("member", "named"),
    [
        ({"because": "everything"}, "all lines would be held out"),
        (DAYS, "because: no such key"),
        (DAYS | {"because": ""}, "at least 1 character"),
    ],
)
def test_an_impossible_quarantine_is_refused_by_name(
    tmp_path: Path, member: dict[str, Any], named: str
) -> None:
    with pytest.raises(ParamsError, match=rf"collection\.quarantined\.0.*{named}"):
        read(tmp_path, quarantined=[member])
