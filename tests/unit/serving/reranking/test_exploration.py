"""Sampled explore slots: propensities match the draws, and off-policy estimates use them."""

from collections import Counter
from itertools import permutations
from math import exp

import pytest

from pipeline.serving.reranking.exploration import (
    Sampling,
    build_random,
    build_sampling,
    draw_index,
    sampling_weights,
)
from pipeline.serving.reranking.off_policy import ips, snips
from pipeline.serving.reranking.rules import ItemSelector, RerankingRules
from tests.support.fake_bundle import serving_params

CANDIDATES, SCORES = [5, 6, 7], [2.0, 1.0, 0.0]
SPREAD = (2 / 3) ** 0.5  # the standard deviation of SCORES
WEIGHT = {5: 1.0, 6: exp(-1 / SPREAD), 7: exp(-2 / SPREAD)}


def select(name: str, n_candidates: int = 3, **rules: object) -> list[tuple[int, float]]:
    """Two repeat and two drawn items, as (item, propensity)."""
    items = [1, 2, 3, 0, *CANDIDATES, 8, 9, 10, 0, 0]
    scores = [0.0] * 4 + [*SCORES, -9.0] + [0.0] * 4
    settings = RerankingRules(**{"k": 4, "explore_slots": 2, **rules})  # type: ignore[arg-type]
    selector = ItemSelector(items, scores, settings, [0] * 5 + [1, 1, 2, 3, 0, 0])
    selected = selector.select(Sampling(1.0, n_candidates), build_random(name))
    return [(choice.item, choice.propensity) for choice in selected.chosen]


def test_only_explore_slots_are_drawn() -> None:
    selected = select("a")
    assert selected[:2] == [(1, 1.0), (2, 1.0)]
    assert {item for item, _ in selected[2:]} <= set(CANDIDATES)
    assert all(0 < propensity < 1 for _, propensity in selected[2:])


def test_the_same_request_id_draws_the_same_items() -> None:
    assert all(select(str(n)) == select(str(n)) for n in range(20))
    assert len({tuple(select(str(n))) for n in range(50)}) > 1


def test_propensities_are_those_of_plackett_luce() -> None:
    for n in range(50):
        (first, p_first), (second, p_second) = select(str(n))[2:]
        left = {item: weight for item, weight in WEIGHT.items() if item != first}
        assert p_first == pytest.approx(WEIGHT[first] / sum(WEIGHT.values()))
        assert p_second == pytest.approx(left[second] / sum(left.values()))


def test_lists_are_as_frequent_as_the_product_of_their_propensities() -> None:
    n = 4_000
    counts = Counter(tuple(item for item, _ in select(str(number))[2:]) for number in range(n))
    for first, second in permutations(CANDIDATES, 2):
        rest = sum(WEIGHT.values()) - WEIGHT[first]
        expected = WEIGHT[first] / sum(WEIGHT.values()) * WEIGHT[second] / rest
        # five standard errors; the draws are the same in every run
        error = 5 * (expected * (1 - expected) / n) ** 0.5
        assert counts[first, second] / n == pytest.approx(expected, abs=error)


def test_propensities_respect_the_category_rule() -> None:
    """Items 5 and 6 share a category: after one of them only 7 is allowed."""
    for n in range(50):
        (first, _), (second, p_second) = select(str(n), diversity=1.0)[2:]
        if first in {5, 6}:
            assert (second, p_second) == (7, 1.0)


def test_with_too_few_candidates_the_next_best_items_fill_the_slots() -> None:
    selected = select("a", n_candidates=1)
    assert selected[2:] == [(5, 1.0), (6, 1.0)]


def test_weights_do_not_depend_on_the_unit_of_the_scores() -> None:
    assert sampling_weights([10.0, 30.0, 20.0], 0.7) == pytest.approx(
        sampling_weights([1.0, 3.0, 2.0], 0.7)
    )
    cold = sampling_weights([1.0, 2.0], 0.01)
    assert cold[0] < 1e-80
    assert cold[1] == 1.0


def test_a_single_candidate_is_drawn_with_certainty() -> None:
    assert draw_index([0.3], build_random("x")) == (0, 1.0)


def test_the_policy_comes_from_params() -> None:
    assert build_sampling(serving_params(explore_policy="top")) is None
    sampling = build_sampling(
        serving_params(explore_policy="sampled", explore_temperature=0.5, explore_candidates=20)
    )
    assert sampling == Sampling(0.5, 20)


def test_a_log_of_sampled_slots_estimates_the_reward_of_another_policy() -> None:
    """The click rate of each item is known, so the value of "always 7 first" is 0.5."""
    value = {5: 0.1, 6: 0.3, 7: 0.5}
    uniform = build_random("clicks")
    first = [select(str(n))[2] for n in range(4_000)]
    rewards = [float(uniform.random() < value[item]) for item, _ in first]
    propensities = [propensity for _, propensity in first]
    target = [float(item == 7) for item, _ in first]
    mean = sum(rewards) / len(rewards)
    assert mean < 0.25  # what the logging policy earned
    assert ips(rewards, propensities, target) == pytest.approx(0.5, abs=0.1)
    assert snips(rewards, propensities, target) == pytest.approx(0.5, abs=0.1)


def test_ips_and_snips_by_hand() -> None:
    rewards, logged, target = [1.0, 0.0, 1.0], [0.5, 0.25, 0.25], [0.5, 0.5, 0.0]
    assert ips(rewards, logged, target) == pytest.approx((1 + 0 + 0) / 3)
    assert snips(rewards, logged, target) == pytest.approx(1 / (1 + 2 + 0))


@pytest.mark.parametrize(
    ("rewards", "logged", "target"),
    [([], [], []), ([1.0], [0.0], [1.0]), ([1.0], [1.5], [1.0]), ([1.0], [0.5], [0.0])],
)
def test_an_invalid_log_is_refused(
    rewards: list[float], logged: list[float], target: list[float]
) -> None:
    with pytest.raises(ValueError, match="expected"):
        snips(rewards, logged, target)
