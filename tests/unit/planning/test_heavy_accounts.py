"""An account with very many purchases costs planning no more than the largest household."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.planning import frequency
from pipeline.planning.frequency import FrequencyBaseline, personal_lists, select_requests
from pipeline.planning.history import History
from pipeline.planning.outliers import build_heavy_accounts, log_heavy_accounts
from tests.unit.planning.test_frequency import history, moment


def shop(n_baskets: int, maximum_lines: int | None = None) -> History:
    """Ann buys `a` and `b` twice; the guest account buys something new three times a day."""
    ann = [("ann", item, day, f"ann-{day}") for day in (0.0, 40.0) for item in "ab"]
    guest = [("guest", f"item-{n:04d}", n / 3, f"guest-{n}") for n in range(n_baskets)]
    return replace(history(*ann, *guest), maximum_lines=maximum_lines)


def pairs_of(past: History, monkeypatch: pytest.MonkeyPatch, heavy: tuple[int, int]) -> int:
    """Return the number of scored pairs of a request and an earlier line."""
    scored = []
    real = frequency._score

    def counted(history: History, pairs: tuple[Any, ...], *rest: object) -> None:
        scored.append(len(pairs[0]))
        real(history, pairs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(frequency, "_score", counted)
    requests = select_requests(past, moment(30), 1, heavy)
    personal_lists(past, requests, [FrequencyBaseline(None)])
    return sum(scored)


def test_what_is_scored_does_not_grow_with_an_account_above_the_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = [pairs_of(shop(n, 60), monkeypatch, (50, 6)) for n in (400, 4_000)]
    assert counts == [2 + 6 * 60] * 2  # Ann's two lines; six requests of at most sixty lines each
    assert pairs_of(shop(400), monkeypatch, (1_000, 6)) > 50_000  # without the cap


def test_a_shopper_at_the_maximum_is_asked_about_whole() -> None:
    past = shop(120, 120)
    whole = select_requests(past, moment(30), 1)
    assert np.bincount(whole.user).tolist() == [1, 30]
    capped = select_requests(past, moment(30), 1, (30, 6))
    np.testing.assert_array_equal(capped.time, whole.time)
    few = select_requests(past, moment(30), 1, (29, 6))
    assert np.bincount(few.user).tolist() == [1, 6]
    assert build_heavy_accounts(past) == ()


def test_the_account_is_counted_in_the_plan_and_named_in_the_log_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    past = shop(396, 100)
    (account,) = build_heavy_accounts(past)
    assert (account.n_lines, account.n_baskets) == (396, 396)
    assert account.line_fraction == 0.99  # of 400 lines
    assert "guest" not in account.model_dump_json()
    assert log_heavy_accounts(past) == ["guest"]
    assert "'guest' has 396 purchase lines" in caplog.text
