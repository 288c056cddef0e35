"""Monitoring of a synthetic shop: sound traffic, and one fault at a time."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.lifecycle.faults import data_faults
from benchmarks.lifecycle.faults.data_faults import Shop
from benchmarks.lifecycle.faults.service_faults import randomise_scores
from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError
from pipeline.monitoring import monitor, report
from pipeline.monitoring.__main__ import main
from pipeline.monitoring.methods import CHAMPION, CONTEXTUAL, DECAYED, SERVED
from pipeline.monitoring.observe import ProductionTables
from pipeline.monitoring.traffic import select_rolling
from tests.support import tiny_shop
from tests.support.habit_shop import (
    METHODS,
    FlakyService,
    HabitShop,
    make_shop,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop() -> HabitShop:
    return make_shop()


def test_sound_production_goes_on(shop: HabitShop) -> None:
    result = shop.watch(shop.inputs.tables)
    assert (result.verdict.status, result.verdict.target_phase) == ("proceed", None)
    assert all(item.holds for item in result.verdict.evidence)
    assert result.diagnosis.causes == ()
    assert [item.cause.name for item in result.diagnosis.measured if item.excess] == []
    assert result.metrics["failed_requests"] == 0
    assert result.weeks["week"].tolist() == [1, 2, 3, 4]
    assert result.weeks["start"].tolist()[:2] == ["2017-12-04", "2017-12-11"]
    assert result.weeks["n"].sum() == result.metrics["n_requests"]


FAULTS: dict[str, tuple[Callable[[Shop], ProductionTables], str, str]] = {
    "clock": (lambda shop: data_faults.shift_clock(shop, 6), "collection", "clock_shift"),
    "prices": (lambda shop: data_faults.scale_prices(shop, 100), "collection", "unit_change"),
    "item ids": (lambda shop: data_faults.prefix_items(shop, 0.25), "collection", "items_remapped"),
    "user ids": (lambda shop: data_faults.permute_users(shop, 1.0), "collection", "users_remapped"),
    "lost baskets": (lambda shop: data_faults.lose_baskets(shop, 0.6), "collection", "thin_data"),
    "lost days": (lambda shop: data_faults.drop_days(shop, 5), "collection", "missing_days"),
    "late days": (lambda shop: data_faults.delay_data(shop, 5), "collection", "late_data"),
    "twice": (lambda shop: data_faults.repeat_days(shop, 7), "collection", "repeated_lines"),
    "labels": (lambda shop: data_faults.misjoin_labels(shop, 1.0), "labeling", "labels_misjoined"),
}
SHOWN_ON_A_COPY = FAULTS.keys() - {"lost baskets"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_data_is_found_and_its_cause_named(shop: HabitShop, name: str) -> None:
    fault, target, cause = FAULTS[name]
    start = pd.Timestamp(shop.inputs.params.shop.windows().as_of)
    result = shop.watch(fault(Shop(shop.inputs.tables, start, days=28, seed=5)))
    verdict = result.verdict
    assert (verdict.status, verdict.target_phase) == ("return", target)
    assert (verdict.repairs[0].cause, verdict.repairs[0].target_phase) == (cause, target)
    evidence = {item.name: item for item in verdict.failing}[cause]
    assert evidence.value == result.metrics["causes"][cause]["value"]
    assert ("after undoing it on a copy" in verdict.cause) == (name in SHOWN_ON_A_COPY)
    assert (verdict.repairs[0].step.kind == "ask") == (name not in SHOWN_ON_A_COPY)
    if name == "user ids":
        restored = result.metrics["causes"][cause]
        assert restored["restored"] > restored["quality"] + 0.4
        assert verdict.repairs[0].expected_gain == restored["restored"] - restored["quality"]


def test_a_damaged_model_is_found(shop: HabitShop) -> None:
    n_items = len(shop.inputs.vocabulary)
    result = shop.watch(
        shop.inputs.tables, lambda r: randomise_scores(r, n_items, seed=5, share=1.0)
    )
    assert result.verdict.target_phase == "deployment"
    assert "not those of the verified bundle" in result.verdict.cause
    assert [repair.cause for repair in result.verdict.repairs] == ["wrong_model"] * 2
    assert result.verdict.gain == pytest.approx(
        shop.inputs.testing.quality.mean("recall@10")
        - result.metrics["quality"]["recall@10"]["value"]
    )


def test_a_service_slower_than_planned_is_found(shop: HabitShop) -> None:
    result = shop.watch(shop.inputs.tables, seconds=0.05)
    assert (result.verdict.status, result.verdict.target_phase) == ("return", "deployment")
    assert "40 ms were planned" in result.verdict.cause
    assert [e.name for e in result.verdict.failing] == ["p99_latency_ms"]


def test_a_service_whose_answers_come_at_the_second_attempt_is_found(shop: HabitShop) -> None:
    result = shop.watch(shop.inputs.tables, kind=FlakyService)
    assert result.metrics["failed_requests"] == 0
    assert result.metrics["failed_first_attempts"] == result.metrics["n_requests"] // 100
    assert result.verdict.target_phase == "deployment"
    assert "of the calls failed at first" in result.verdict.cause
    assert [e.name for e in result.verdict.failing] == ["failed_fraction"]


def test_the_same_requests_are_answered_with_less_known_and_by_frequency(shop: HabitShop) -> None:
    result = shop.watch(shop.inputs.tables)
    assert result.context is not None
    assert result.context.store_fraction == result.context.cart_fraction == 0.0
    ways = {(way.method, way.is_context_known): way for way in result.context.alternatives}
    assert list(ways) == [
        (SERVED, True), (CHAMPION, False), (DECAYED, False), (CONTEXTUAL, True), (CONTEXTUAL, False)
    ]  # fmt: skip
    served, unknown, frequency = ways[SERVED, True], ways[CHAMPION, False], ways[CONTEXTUAL, True]
    whole = result.metrics["quality"]["recall@10"]["value"]
    assert served.value == pytest.approx(whole, abs=0.01)  # of 1,000 requests
    assert (served.lead["low"], served.lead["high"]) == (0.0, 0.0)
    assert unknown.value < 0.05
    assert unknown.lead["low"] > 0.4
    assert frequency.value == pytest.approx(served.value, abs=0.01)  # the service counts, too
    values = result.metrics["context"]["recall@10"]
    assert values["champion, time and store unknown"]["value"] == unknown.value


def test_two_runs_write_the_same_bytes(shop: HabitShop, tmp_path: Path) -> None:
    first, second = (shop.watch(shop.inputs.tables) for _ in range(2))
    for name, result in (("a", first), ("b", second)):
        artefacts.write_json(result.metrics, tmp_path / f"{name}.json")
        report.build_page(result, shop.inputs).write(tmp_path / f"{name}.html")
        artefacts.write_text(result.weeks.to_csv(index=False), tmp_path / f"{name}.csv")
    for suffix in ("json", "html", "csv"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert first.verdict == second.verdict


def test_nothing_measured_enters_what_is_written(shop: HabitShop) -> None:
    result = shop.watch(shop.inputs.tables)
    assert set(result.latency) == {
        "client_p50_ms", "client_p99_ms", "p50_ms", "p99_ms", "n_looks", "stolen_fraction"
    }  # fmt: skip
    assert "latency" not in result.metrics


def test_the_page_shows_the_weeks_and_the_signals(shop: HabitShop, tmp_path: Path) -> None:
    report.build_page(shop.watch(shop.inputs.tables), shop.inputs).write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    parts = ("Quality by week", "hour of the day", "✓ stable", "within testing")
    parts += ("Known at request time", "answered otherwise", "unknown", "as served")
    for part in parts:
        assert part in text


def test_before_any_production_there_is_nothing_to_replay_and_that_is_fine(
    shop: HabitShop, tmp_path: Path
) -> None:
    tables, start = shop.inputs.tables, shop.inputs.params.shop.windows().as_of
    empty = replace(
        tables,
        events=tables.events[tables.events["timestamp"] < start],
        examples=select_rolling(tables.examples, "test"),
    )
    result = monitor.monitor(replace(shop.inputs, tables=empty))
    assert result.verdict.status == "proceed"
    assert "no traffic to judge yet" in result.verdict.cause
    assert result.weeks.empty
    report.build_page(result, shop.inputs).write(tmp_path / "page.html")
    assert "no traffic to judge yet" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_stores_record_of_a_replay_gives_the_metrics_of_the_clients_replies(
    shop: HabitShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "serve_champion", lambda _bundle, store: shop.serve(store))
    monkeypatch.setattr("pipeline.monitoring.judge.read_methods", lambda *_: METHODS)
    stored, replied = monitor.monitor(shop.inputs), shop.watch(shop.inputs.tables)
    assert stored.metrics.pop("releases").keys() == {"v"}  # a client's replies do not tell
    assert replied.metrics.pop("releases") == {}
    assert stored.metrics == replied.metrics
    pd.testing.assert_frame_equal(stored.weeks, replied.weeks)
    (releases,) = (item for item in stored.verdict.evidence if item.name == "releases")
    assert releases.value == 1.0
    rest = tuple(item for item in stored.verdict.evidence if item != releases)
    assert rest == replied.verdict.evidence
    assert stored.verdict.cause == replied.verdict.cause


def test_the_stage_writes_its_outputs_and_its_verdict(
    shop: HabitShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "serve_champion", lambda _bundle, store: shop.serve(store))
    monkeypatch.setattr(monitor, "read_inputs", lambda _params: shop.inputs)
    monkeypatch.setattr("pipeline.monitoring.judge.read_methods", lambda *_: METHODS)
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    tiny_shop.write_verdicts(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    written = {path.name for path in (tmp_path / "reports" / "monitoring").iterdir()}
    pages = {"index.html", "headline.json", "verdict.json"}
    assert written == {"metrics.json", "weeks.csv", "latency.json"} | pages
    assert artefacts.read_verdict("monitoring").status == "proceed"


def test_a_missing_champion_is_an_error_that_says_what_to_do(
    shop: HabitShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtefactError, match="dvc repro deployment"):
        monitor.read_inputs(shop.inputs.params)
