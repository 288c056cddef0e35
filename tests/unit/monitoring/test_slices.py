"""Slices beside the live frequency baseline, on lists made by hand."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from pipeline.metrics.bootstrap import Bootstrap
from pipeline.monitoring.slices import (
    SliceInputs,
    SliceKey,
    SliceQuality,
    correct,
    label_slices,
    measure_slices,
    request_slices,
)
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.testing.measure import EvaluationSet

N = 400  # requests, one per user; each bought milk (1) and tea (2)
DAY = pd.Timestamp("2024-03-01", tz="UTC")


def make_examples() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in range(N)],
            "timestamp": [DAY + pd.Timedelta(hours=n) for n in range(N)],
            "store_id": ["north" if n % 4 == 0 else "south" for n in range(N)],
            "n_earlier_baskets": [0 if n % 10 == 0 else 5 for n in range(N)],
            "labels": [["milk", "tea"]] * N,
        }
    )


def lists(items: Sequence[Sequence[int]]) -> Recommendations:
    table = np.array(items, dtype=np.int32)
    return Recommendations(table, table.astype(np.float32), np.zeros_like(table, dtype=np.int8))


def sliced(served: Sequence[Sequence[int]], baseline: Sequence[Sequence[int]]) -> SliceInputs:
    row = np.repeat(np.arange(N, dtype=np.int32), 2)
    item = np.tile(np.array([1, 2], dtype=np.int32), N)
    nothing = np.zeros(2 * N, dtype=bool)
    requests: object = None  # slices look at labels and lists only
    evaluation_set = EvaluationSet(
        make_examples(), requests, row, item, np.full(N, 2), nothing  # type: ignore[arg-type]
    )  # fmt: skip
    bootstrap = Bootstrap.of(np.arange(N), 200, 0.95, seed=1)
    return SliceInputs(
        evaluation_set, lists(served), lists(baseline), bootstrap, np.arange(N) >= N // 2, 2
    )


def measure(
    served: Sequence[Sequence[int]],
    baseline: Sequence[Sequence[int]],
    users: pd.DataFrame | None = None,
    minimum_users: int = 10,
) -> dict[SliceKey, SliceQuality]:
    inputs = sliced(served, baseline)
    items = pd.DataFrame({"item_id": ["milk", "tea"], "department": ["DAIRY", "GROCERY"]})
    known = pd.DataFrame({"user_id": []}) if users is None else users
    slices = measure_slices(
        inputs,
        request_slices(inputs.evaluation_set.examples, known, 3),
        label_slices(inputs.evaluation_set, items, None),
        minimum_users=minimum_users,
        maximum_loss_fraction=0.1,
    )
    return {part.key: part for part in slices}


BOTH, MILK, NEITHER = [1, 2], [1, 0], [0, 0]


def behind(slices: dict[SliceKey, SliceQuality]) -> list[str]:
    return [f"{key.dimension} {key.value}" for key, part in slices.items() if part.is_behind]


def test_equal_answers_leave_no_slice_behind() -> None:
    slices = measure([BOTH] * N, [BOTH] * N)
    assert behind(slices) == []
    assert set(slices) == {
        SliceKey("users", "new"), SliceKey("users", "known"), SliceKey("store", "north"),
        SliceKey("store", "south"), SliceKey("department", "DAIRY"),
        SliceKey("department", "GROCERY"),
    }  # fmt: skip
    assert all(part.value == part.baseline == 1.0 for part in slices.values())


def test_a_store_that_gets_worse_answers_than_frequency_is_behind() -> None:
    served = [MILK if n % 4 == 0 else BOTH for n in range(N)]
    slices = measure(served, [BOTH] * N)
    north = slices[SliceKey("store", "north")]
    assert (north.n_requests, north.value, north.baseline) == (100, 0.5, 1.0)
    assert "store north" in behind(slices)
    assert "store south" not in behind(slices)


def test_a_department_that_is_never_shown_is_behind() -> None:
    slices = measure([MILK] * N, [BOTH] * N)
    assert slices[SliceKey("department", "DAIRY")].value == 1.0
    assert slices[SliceKey("department", "GROCERY")].value == 0.0
    assert "department GROCERY" in behind(slices)
    assert "department DAIRY" not in behind(slices)


def test_one_bad_half_is_no_lasting_loss() -> None:
    served = [NEITHER if n % 4 == 0 and n < N // 2 else BOTH for n in range(N)]
    slices = measure(served, [BOTH] * N)
    assert max(slices[SliceKey("store", "north")].p_values) == 1.0
    assert "store north" not in behind(slices)


def test_a_small_loss_is_no_warning_even_if_it_is_significant() -> None:
    served = [MILK if n % 24 == 0 else BOTH for n in range(N)]  # a sixth of the north gets half
    slices = measure(served, [BOTH] * N)
    assert max(slices[SliceKey("store", "north")].p_values) < 0.05
    assert behind(slices) == []


def test_a_slice_of_few_users_is_left_out() -> None:
    assert SliceKey("users", "new") not in measure([BOTH] * N, [BOTH] * N, minimum_users=21)


def test_groups_are_those_of_every_attribute() -> None:
    users = pd.DataFrame({"user_id": [f"u{n}" for n in range(N // 2 * 2)],
                          "age": ["45-54" if n % 3 else None for n in range(N)]})  # fmt: skip
    slices = measure([BOTH] * N, [BOTH] * N, users)
    assert slices[SliceKey("age", "45-54")].n_requests == 266
    assert SliceKey("age", "None") not in slices


def test_an_offer_counts_at_the_moment_of_the_request() -> None:
    inputs = sliced([BOTH] * N, [BOTH] * N)
    offers = pd.DataFrame(
        {"item_id": ["tea"], "starts": [DAY + pd.Timedelta(hours=10)],
         "ends": [DAY + pd.Timedelta(hours=20)]}
    )  # fmt: skip
    keys = dict(label_slices(inputs.evaluation_set, None, offers))
    offered = np.flatnonzero(keys[SliceKey("offer", "on")])
    assert offered.tolist() == [2 * n + 1 for n in range(10, 20)]  # tea, from its first moment
    assert keys[SliceKey("offer", "off")].sum() == 2 * N - 10


def test_among_many_equal_slices_about_none_is_behind() -> None:
    random = np.random.default_rng(3)
    n_false = 0
    for _ in range(40):
        served, baseline = (
            [BOTH if lucky else MILK for lucky in random.random(N) < 0.5] for _ in range(2)
        )
        groups = {
            f"group {number}": random.choice(["a", "b", "c"], N).tolist() for number in range(8)
        }
        users = pd.DataFrame({"user_id": [f"u{n}" for n in range(N)], **groups})
        n_false += bool(behind(measure(served, baseline, users)))
    assert n_false <= 4  # of 40 at a chance of at most 5 %


def test_holm_raises_the_smallest_p_value_most() -> None:
    assert correct([]) == []
    assert correct([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert correct([0.6, 0.5]) == [1.0, 1.0]
