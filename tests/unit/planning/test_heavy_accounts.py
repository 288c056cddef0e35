"""One account with very many purchases costs planning no more than the largest household."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.planning import counting
from pipeline.planning.counting import Counting, personal_lists, requests_between
from pipeline.planning.history import History
from pipeline.planning.outliers import heavy_accounts, name_heavy_accounts
from tests.unit.planning.test_counting import history, moment


def shop(n_baskets: int, maximum_lines: int | None = None) -> History:
    """Ann buys `a` and `b` twice; the guest account buys something new three times a day."""
    ann = [("ann", item, day, f"ann-{day}") for day in (0.0, 40.0) for item in "ab"]
    guest = [("guest", f"item-{n:04d}", n / 3, f"guest-{n}") for n in range(n_baskets)]
    return replace(history(*ann, *guest), maximum_lines=maximum_lines)


def pairs_of(found: History, monkeypatch: pytest.MonkeyPatch, heavy: tuple[int, int]) -> int:
    """How many pairs of a request and an earlier line are scored."""
    scored = []
    real = counting._score

    def counted(history: History, pairs: tuple[Any, ...], *rest: object) -> None:
        scored.append(len(pairs[0]))
        real(history, pairs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(counting, "_score", counted)
    requests = requests_between(found, moment(30), 1, heavy)
    personal_lists(found, requests, [Counting(None)])
    return sum(scored)


def test_what_is_scored_does_not_grow_with_an_account_above_the_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = [pairs_of(shop(n, 60), monkeypatch, (50, 6)) for n in (400, 4_000)]
    assert counts == [2 + 6 * 60] * 2  # Ann's two lines; six requests of at most sixty lines each
    assert pairs_of(shop(400), monkeypatch, (1_000, 6)) > 50_000  # what it was without


def test_a_shopper_at_the_maximum_is_asked_about_whole() -> None:
    found = shop(120, 120)
    whole = requests_between(found, moment(30), 1)
    assert np.bincount(whole.user).tolist() == [1, 30]
    capped = requests_between(found, moment(30), 1, (30, 6))
    np.testing.assert_array_equal(capped.time, whole.time)
    few = requests_between(found, moment(30), 1, (29, 6))
    assert np.bincount(few.user).tolist() == [1, 6]
    assert heavy_accounts(found) == ()


def test_the_account_is_counted_in_the_plan_and_named_in_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = shop(396, 100)
    (account,) = heavy_accounts(found)
    assert (account.n_lines, account.n_baskets) == (396, 396)
    assert account.line_fraction == 0.99  # of 400 lines
    assert "guest" not in account.model_dump_json()
    assert name_heavy_accounts(found) == ["guest"]
    assert "'guest' holds 396 purchase lines" in caplog.text
