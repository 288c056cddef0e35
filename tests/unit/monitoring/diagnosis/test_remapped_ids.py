"""Users or items under other ids."""

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.monitoring.diagnosis.causes.items_remapped import ITEMS_REMAPPED, _match_by_form
from pipeline.monitoring.diagnosis.causes.users_remapped import USERS_REMAPPED
from tests.support.diagnosed_faults import permute, rename
from tests.support.diagnosed_shop import (
    NAMES,
    START,
    ZONE,
    appended,
    change_events,
    explain,
    is_silent,
    make_case,
)

KNOWN = frozenset(NAMES)


def right_share(reported: Mapping[str, str], names: Mapping[str, str]) -> float:
    """Return the share of the reported pairs that lead back to the old id."""
    old = {new: old for old, new in names.items()}
    return float(np.mean([old.get(new) == name for new, name in reported.items()]))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_permuted_users_are_led_back(share: float) -> None:
    names = permute(make_case().now["user_id"].unique(), share)
    suspicion = explain(USERS_REMAPPED, rename(make_case(), "user_id", names))
    assert len(suspicion.renames) > 0.3 * len(names)
    assert right_share(suspicion.renames, names) > 0.9


def test_a_map_of_ids_is_a_correction_with_its_file() -> None:
    names = permute(make_case().now["user_id"].unique(), 1.0)
    suspicion = explain(USERS_REMAPPED, rename(make_case(), "user_id", names))
    day = f"{START.tz_convert(ZONE):%Y-%m-%d}"
    file = f"data/corrections/user_id-{day}.csv"
    assert appended(suspicion) == [
        {"kind": "rename", "column": "user_id", "file": file, "from": day}
    ]
    (step,) = suspicion.steps
    assert step.kind == "edit_params"
    assert [(f.source, f.target) for f in step.files] == [
        (f"data/monitoring/proposed/user_id-{day}.csv", file)
    ]


@pytest.mark.parametrize("share", [0.02])
def test_a_few_permuted_users_are_silent(share: float) -> None:
    names = permute(make_case().now["user_id"].unique(), share)
    assert is_silent(USERS_REMAPPED, rename(make_case(), "user_id", names))


FORMS: dict[str, Callable[[str], str]] = {
    "a prefix": lambda name: f"SKU-{name}",
    "a suffix": lambda name: f"{name}-new",
    "upper case": str.upper,
    "a number": lambda name: f"{name}.0",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_another_form_of_ids_is_led_back(form: str, share: float) -> None:
    names = {name: FORMS[form](name) for name in permute(NAMES, share)}
    suspicion = explain(ITEMS_REMAPPED, rename(make_case(), "item_id", names))
    assert right_share(suspicion.renames, names) == 1.0
    assert len(suspicion.renames) == len(names)
    assert appended(suspicion)[0]["column"] == "item_id"


def test_new_ids_without_a_form_are_led_back_by_their_buyers() -> None:
    names = {name: hashlib.sha256(name.encode()).hexdigest()[:10] for name in permute(NAMES, 0.4)}
    suspicion = explain(ITEMS_REMAPPED, rename(make_case(), "item_id", names))
    assert len(suspicion.renames) > 0.5 * len(names)
    assert right_share(suspicion.renames, names) > 0.9


@pytest.mark.parametrize("n_items", [30, 200])
def test_a_department_whose_ids_are_permuted_is_led_back(n_items: int) -> None:
    names = permute(NAMES[:n_items], 1.0)
    suspicion = explain(ITEMS_REMAPPED, rename(make_case(), "item_id", names))
    assert len(suspicion.renames) > 0.7 * len(names)
    assert right_share(suspicion.renames, names) == 1.0


def test_what_no_map_explains_is_no_map() -> None:
    random = np.random.default_rng(5)
    dearer = dict(zip(NAMES, np.where(random.random(len(NAMES)) < 0.1, 3.0, 1.0), strict=True))
    case = change_events(
        make_case(), lambda now: now.assign(price=now["price"] * now["item_id"].map(dearer))
    )
    suspicion = ITEMS_REMAPPED.explain(case, 0.0)
    assert suspicion is not None
    assert (dict(suspicion.renames), suspicion.steps, suspicion.undo) == ({}, (), None)


def test_a_few_new_items_are_silent() -> None:
    names = {name: f"new-{name}" for name in NAMES[:6]}
    assert is_silent(ITEMS_REMAPPED, rename(make_case(), "item_id", names))


def test_ids_that_are_numbers_keep_their_text() -> None:
    known = frozenset(f"{number:05d}" for number in range(100, 140))
    unknown = sorted(name.lstrip("0") for name in known)
    assert _match_by_form(unknown, known) == {name: name.zfill(5) for name in unknown}


def test_fewer_ids_than_chance_could_match_are_led_nowhere() -> None:
    assert _match_by_form([f"x{name}" for name in NAMES[:9]], KNOWN) == {}
    assert len(_match_by_form([f"x{name}" for name in NAMES[:10]], KNOWN)) == 10


AFFIX = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(AFFIX, AFFIX)
def test_any_prefix_or_suffix_is_led_back(prefix: str, suffix: str) -> None:
    before = {f"{prefix}{name}": name for name in NAMES[:30]}
    behind = {f"{name}{suffix}": name for name in NAMES[:30]}
    assert _match_by_form(sorted(before), KNOWN) == before
    assert _match_by_form(sorted(behind), KNOWN) == behind
