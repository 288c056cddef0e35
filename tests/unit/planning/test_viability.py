import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.params import Params, read_params
from pipeline.contracts.plan import (
    Baseline,
    CurvePoint,
    Estimate,
    HeavyAccount,
    LabelPolicy,
    LearningCurve,
    Plan,
    Profile,
    Reach,
    Target,
    Viability,
    read_plan,
)
from pipeline.planning import probe
from pipeline.planning.costs import estimate_costs
from pipeline.planning.frequency import select_requests
from pipeline.planning.machine import calibrate, measure_machine, warn_if_small
from pipeline.planning.page import build_page
from pipeline.planning.policy import build_label_policy, count_usable_windows
from pipeline.planning.reach import EXPLORE
from pipeline.planning.viability import build_verdict, describe_needs, users_needed
from tests.support.tiny_shop import PROJECT
from tests.unit.planning.test_frequency import history, moment


@pytest.fixture(scope="module")
def params() -> Params:
    return read_params(PROJECT / "params.yaml")


def profile(*, n_users: int = 400, baskets_per_user: float = 20.0, days: int = 300) -> Profile:
    return Profile(
        source="files",
        n_rows={"events": 2_000_000, "offers": 1_000_000},
        first_day=date(2017, 1, 1),
        last_day=date(2017, 12, 31),
        history_days=days,
        n_lines=10_000,
        n_users=n_users,
        n_items=50_000,
        n_baskets=8_000,
        baskets_per_user=baskets_per_user,
        items_per_basket=1.25,
        repeat_fraction_items=0.4,
        repeat_fraction_types=0.6,
        known_user_fraction=0.0,
        sparsity=0.99,
        event_types=("purchase",),
        missing=(),
    )


def curve(limit: float, extrapolated: float) -> LearningCurve:
    point = CurvePoint(
        value=0.1,
        low=0.1,
        high=0.1,
        fraction=1.0,
        size=40.0,
        popular=0.05,
        gain_half_width=0.01,
        known_item_fraction=0.9,
    )
    return LearningCurve(
        axis="weeks of history",
        points=(point,),
        limit=Estimate(value=limit, low=limit, high=limit),
        extrapolated_size=80.0,
        extrapolated=Estimate(value=extrapolated, low=extrapolated, high=extrapolated),
        hidden_point=point,
    )


def plan(
    params: Params,
    gain: tuple[float, float, float] = (0.12, 0.10, 0.14),
    about: Profile | None = None,
    weeks: LearningCurve | None = None,
) -> Plan:
    """A plan whose popular list has 0.05; `gain` is value, low, high."""
    about = about or profile()
    weeks = weeks or curve(0.2, 0.19)
    best = 0.05 + gain[0]
    return Plan(
        objective="the next basket",
        primary_metric="recall@10",
        target=Target(value=best + 0.01, low=best, high=best, metric="recall@10", derivation=""),
        baseline=Baseline(name="counting", value=best, low=best, high=best),
        guardrails=params.planning.guardrails,
        profile=about,
        baselines=(
            Baseline(name="popular", value=0.05, low=0.04, high=0.06),
            Baseline(name="counting", value=best, low=best, high=best),
        ),
        ceiling=(Reach(name=EXPLORE, reachable_fraction=0.8, best_metric=0.7),),
        learning_curves=(weeks, weeks),
        viability=Viability(
            n_requests=100,
            n_warm_requests=90,
            n_users=50,
            gain=Estimate(value=gain[0], low=gain[1], high=gain[2]),
            minimum_gain=0.05,
            detectable_improvement=0.01,
            needs=(),
        ),
        label_policy=LabelPolicy(
            event_weights={"purchase": 1.0},
            train_windows=8,
            train_window_days=28,
            horizon_days=28,
            minimum_earlier_baskets=3,
            expected_train_examples=6400,
            reasons=("because",),
        ),
        costs=estimate_costs(about, params),
    )


def failing(tested: Plan, params: Params) -> list[str]:
    """Return the names of the failing evidence."""
    conclusion = build_verdict(tested, params.planning)
    assert conclusion.status == ("stop" if conclusion.failing else "proceed")
    assert len(conclusion.repairs) == (conclusion.status == "stop")
    return [item.name for item in conclusion.failing]


def warned_of(tested: Plan, params: Params) -> list[str]:
    return [item.name for item in build_verdict(tested, params.planning).warnings]


def with_budget(params: Params, *, hard: bool) -> Params:
    budget = params.planning.budget.model_copy(update={"hard": hard})
    planning = params.planning.model_copy(update={"budget": budget})
    return params.model_copy(update={"planning": planning})


def test_a_plan_within_all_bounds_goes_on(params: Params) -> None:
    tested = plan(params)
    conclusion = build_verdict(tested, params.planning)
    assert conclusion.status == "proceed"
    assert conclusion.gain == pytest.approx(0.01)
    assert conclusion.cost_minutes == pytest.approx(tested.minutes(), abs=0.01)
    assert describe_needs(tested, params.planning) == ()


@pytest.mark.parametrize(
    ("about", "name", "words"),
    [
        (profile(n_users=150), "users", "About 50 more users (200 in total)"),
        # 300 days are 42.9 weeks for 2 baskets each; 3 take half as long again
        (profile(baskets_per_user=2.0), "baskets_per_user", "About 22 more weeks"),
        (profile(days=80), "history_days", "4 more days of data"),
    ],
)
def test_each_shortage_warns_and_names_its_price(
    params: Params, about: Profile, name: str, words: str
) -> None:
    tested = plan(params, about=about)
    assert failing(tested, params) == []
    assert warned_of(tested, params) == [name]
    assert f"Warnings: {name.replace('_', ' ')}" in build_verdict(tested, params.planning).cause
    assert words in " ".join(describe_needs(tested, params.planning))


def test_few_users_stop_only_when_their_interval_says_nothing(params: Params) -> None:
    few = profile(n_users=12)
    assert failing(plan(params, gain=(0.2, 0.12, 0.28), about=few), params) == []
    assert failing(plan(params, gain=(0.2, 0.04, 0.36), about=few), params) == ["gain_lower_bound"]


def test_history_that_leaves_no_training_window_stops(params: Params) -> None:
    tested = plan(params)
    policy = tested.label_policy.model_copy(update={"train_windows": 0})
    none = tested.model_copy(update={"label_policy": policy})
    assert failing(none, params) == ["training_windows"]
    assert "A later shop.as_of" in str(build_verdict(none, params.planning).action)


def test_a_wide_interval_asks_for_users_by_the_root(params: Params) -> None:
    # half width .08 must become .05: 400 x (.08/.05)^2 = 1024
    tested = plan(params, gain=(0.2, 0.12, 0.28))
    assert failing(tested, params) == []
    assert warned_of(tested, params) == ["gain_half_width"]
    assert users_needed(tested, params.planning) == 1024


def test_a_gain_close_to_its_minimum_asks_for_more_users(params: Params) -> None:
    # .07 - .05 = .02 must hold a half width of .04: 400 x 2^2
    tested = plan(params, gain=(0.07, 0.03, 0.11))
    assert failing(tested, params) == ["gain_lower_bound"]
    assert users_needed(tested, params.planning) == 1600


@pytest.mark.parametrize(
    ("weeks", "words"),
    [
        (curve(0.12, 0.11), "Longer histories: with 80 weeks"),
        (curve(0.12, 0.09), "Histories far longer than 80 weeks"),
        (curve(0.08, 0.07), "More history does not suffice"),
    ],
)
def test_too_small_a_gain_asks_the_learning_curve(
    params: Params, weeks: LearningCurve, words: str
) -> None:
    tested = plan(params, gain=(0.02, 0.01, 0.03), weeks=weeks)
    assert failing(tested, params) == ["gain_lower_bound"]
    assert words in " ".join(describe_needs(tested, params.planning))


def test_a_cycle_beyond_the_budget_warns_and_under_a_hard_budget_stops(params: Params) -> None:
    tested = plan(params, about=profile(n_users=50_000))
    assert (failing(tested, params), warned_of(tested, params)) == ([], ["cycle_minutes"])
    assert "planning.guardrails" in " ".join(describe_needs(tested, params.planning))
    hard = with_budget(params, hard=True)
    assert (failing(tested, hard), warned_of(tested, hard)) == (["cycle_minutes"], [])


def test_memory_beyond_the_budget_warns_and_under_a_hard_budget_stops(params: Params) -> None:
    tested = plan(params)
    large = tuple(cost.model_copy(update={"memory_gib": 9.0}) for cost in tested.costs)
    tested = tested.model_copy(update={"costs": large})
    assert (failing(tested, params), warned_of(tested, params)) == ([], ["memory_gib"])
    assert failing(tested, with_budget(params, hard=True)) == ["memory_gib"]


def test_only_a_hard_budget_asks_how_fast_this_machine_is(params: Params) -> None:
    tested = plan(params)  # under the 12 minutes, and over them three times as slow
    assert 4 < tested.minutes() < 12
    soft = build_verdict(tested, params.planning, slowness=3.0)
    assert soft == build_verdict(tested, params.planning)
    assert soft.status == "proceed"
    strict = build_verdict(tested, with_budget(params, hard=True).planning, slowness=3.0)
    assert strict.status == "stop"
    (cost,) = strict.failing
    assert (cost.name, cost.value) == ("cycle_minutes", math.ceil(3 * tested.minutes()))
    assert f"about {3 * tested.minutes():.0f} minutes" in str(strict.action)


def test_a_heavy_account_is_an_amber_number_and_no_stop(params: Params) -> None:
    account = HeavyAccount(n_lines=100_000, n_baskets=4_000, line_fraction=0.9)
    tested = plan(params, about=profile().model_copy(update={"heavy_accounts": (account,)}))
    assert (failing(tested, params), warned_of(tested, params)) == ([], ["heavy_accounts"])
    (warning,) = build_verdict(tested, params.planning).warnings
    assert warning.note.startswith("100,000 lines in 4,000 baskets, 90.0% of all")


def test_costs_are_linear_in_the_size_of_the_source(params: Params) -> None:
    drawn = {"train_windows": 8, "train_examples_per_user_window": 6}
    usual = params.model_copy(update={"labeling": params.labeling.model_copy(update=drawn)})
    costs = {cost.stage: cost for cost in estimate_costs(profile(n_users=1000), usual)}
    # 10 s + 13 s per million of 2 million events + 0.9 s per million of 1 million others
    assert costs["collection"].minutes == pytest.approx((10 + 26 + 0.9) / 60, abs=1e-6)
    assert costs["training"].minutes == pytest.approx((30 + 72) / 60, abs=1e-6)
    # 1.3 GiB + 2.0 per million of 2 million events + 0.3 per 100,000 of 50,000 items
    assert costs["training"].memory_gib == pytest.approx(5.45)


def test_training_windows_open_after_the_first_event(params: Params) -> None:
    # validation begins 2017-10-09; the 8 windows open every 28 days from 2017-02-27
    assert count_usable_windows(profile(), params) == 8
    late = profile().model_copy(update={"first_day": date(2017, 8, 14)})
    assert count_usable_windows(late, params) == 1


def test_the_plan_is_read_as_it_was_written(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written = plan(params)
    artefacts.write_json(written.model_dump(mode="json"), artefacts.PLAN.path)
    assert read_plan().guardrails == params.planning.guardrails
    assert read_plan().target.value == pytest.approx(written.target.value)


def test_a_plan_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    artefacts.write_json({"objective": "x"}, artefacts.PLAN.path)
    with pytest.raises(ArtefactError, match="dvc repro planning"):
        read_plan()


def test_the_page_shows_the_decision_and_the_target(params: Params, tmp_path: Path) -> None:
    tested = plan(params)
    build_page(tested, build_verdict(tested, params.planning)).write(tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "badge proceed" in text
    assert "0.1800" in text
    assert "<svg" in text


def test_a_machine_that_is_too_small_is_a_warning(
    params: Params, caplog: pytest.LogCaptureFixture
) -> None:
    here = measure_machine()
    assert here.cores >= 1
    assert here.memory_gib >= here.available_memory_gib > 0
    assert not warn_if_small(here.model_copy(update={"available_memory_gib": 0.5}), plan(params))
    assert "0.5 GiB are free" in caplog.text
    assert warn_if_small(here.model_copy(update={"available_memory_gib": 99.0}), plan(params))


def test_work_three_times_as_slow_makes_the_minutes_three_times_as_many(
    params: Params, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(np.cumsum(np.tile([1.0, 3 * probe.REFERENCE_SECONDS], probe.TRIES)))
    monkeypatch.setattr("time.thread_time", lambda: float(next(clock)))
    slow = probe.measure_slowness(2, work=lambda: None)
    assert slow == pytest.approx(3.0)
    tested, here = plan(params), measure_machine()
    with caplog.at_level("INFO"):
        minutes = calibrate(here, tested, slow).cycle_minutes
    assert minutes == pytest.approx(3 * tested.minutes(), abs=0.01)
    assert f"expected to take {minutes:.1f} minutes" in caplog.text
    assert caplog.records[-1].levelname == "WARNING"  # 12 minutes are the guardrail


def test_one_core_is_twice_as_slow_as_two_and_more_are_no_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(np.cumsum(np.tile([1.0, probe.REFERENCE_SECONDS], 3 * probe.TRIES)))
    monkeypatch.setattr("time.thread_time", lambda: float(next(clock)))
    assert [probe.measure_slowness(n, work=lambda: None) for n in (1, 2, 16)] == pytest.approx(
        [2, 1, 1]
    )


def test_the_reference_work_is_the_same_each_time() -> None:
    assert probe.reference_work() == probe.reference_work()


def test_events_without_weight_are_reported(params: Params) -> None:
    browsed = profile().model_copy(update={"event_types": ("purchase", "view")})
    shop = history(("u", "a", 0, "1"), ("u", "a", 20, "2"), ("u", "a", 60, "3"))
    request = select_requests(shop, moment(20), 1)
    reasons = build_label_policy(browsed, shop, request, params).reasons
    assert "view is in the source but has no weight" in reasons[0]
    assert "return weighs -1 (none in this source)" in reasons[0]
    assert reasons[2].startswith("50% of baskets")  # gaps of 20 and 40 days
