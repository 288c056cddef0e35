import pytest

from pipeline.contracts.repairs import Ask, Restart
from pipeline.lifecycle.ledger.entries import identify
from pipeline.lifecycle.loop.choose import fits_budget, rank_repairs
from tests.support.fake_cycles import build_repair, set_key


def repair(epochs: int, gain: float | None = None, cost: float | None = None) -> object:
    return set_key("families.ranker.epochs", epochs, expected_gain=gain, cost_minutes=cost)


ASK = build_repair(Ask(question="What now?"), expected_gain=1.0)


def ranked(*repairs: object) -> list[object]:
    return list(rank_repairs(repairs))  # type: ignore[arg-type]


def test_the_best_gain_per_minute_comes_first() -> None:
    slow, fast = repair(1, 0.02, 10.0), repair(2, 0.01, 2.0)  # 0.002 and 0.005 a minute
    assert ranked(slow, fast) == [fast, slow]


def test_an_unknown_cost_counts_as_the_largest_known_one() -> None:
    known, unknown = repair(1, 0.02, 10.0), repair(2, 0.019)
    assert ranked(unknown, known) == [known, unknown]
    better = repair(3, 0.021)
    assert ranked(known, better) == [better, known]


def test_unknown_gains_follow_known_ones_in_the_order_of_the_verdict() -> None:
    small, first, second, none = repair(1, 1e-6, 99.0), repair(2), repair(3), repair(4, 0.0)
    assert ranked(ASK, none, first, second, small) == [small, first, second, none, ASK]


def test_a_free_repair_is_no_division_by_zero() -> None:
    free, cheap = repair(1, 0.01, 0.0), repair(2, 0.01, 0.2)
    assert ranked(cheap, free) == [free, cheap]


def test_what_was_tried_is_left_out() -> None:
    one, other = repair(1), repair(2)
    assert rank_repairs([one, other], {identify(one)}) == (other,)  # type: ignore[list-item, arg-type]


@pytest.mark.parametrize(
    ("cost", "left", "expected"),
    [(5.0, 5.0, True), (5.1, 5.0, False), (None, 0.1, True), (None, 0.0, False), (0.0, -1, False)],
)
def test_the_budget_bounds_the_expected_cost(
    *, cost: float | None, left: float, expected: bool
) -> None:
    assert fits_budget(build_repair(Restart(), cost_minutes=cost), left) is expected


def test_a_question_fits_every_budget() -> None:
    assert fits_budget(ASK, -1.0)
