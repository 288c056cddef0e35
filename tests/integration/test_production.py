"""Monitoring of what the event store of a running service recorded."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.params import read_params
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.event_store.reader import EventStoreReader
from pipeline.monitoring import monitor
from pipeline.monitoring.__main__ import main
from pipeline.monitoring.observe import MonitoringInputs, ProductionTables
from pipeline.monitoring.operations import summarise_operations
from pipeline.monitoring.period import Period
from pipeline.monitoring.production import read_production
from pipeline.monitoring.replay import Service, replay
from pipeline.monitoring.traffic import select_traffic
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.client import Client, ServiceError
from pipeline.serving.payloads import RecommendAnswer, RecommendRequest
from pipeline.testing.reference import Reference
from tests.support.fake_bundle import ANN, AS_OF, BOB, ITEMS, purchases
from tests.support.fake_service import FAKE, fake_service
from tests.support.habit_shop import METHODS, HabitShop, K, StoredService, make_shop
from tests.support.served import Direct
from tests.support.tiny_shop import PROJECT

pytestmark = pytest.mark.slow

LATER = [
    ("ann", "milk", "2024-03-02T09:00:00Z", "a31"),
    ("ann", "jam", "2024-03-02T09:00:00Z", "a31"),
    ("bob", "tea", "2024-03-02T10:00:00Z", "b2"),
    ("ann", "milk", "2024-03-09T09:00:00Z", "a32"),
]


def read_tables() -> ProductionTables:
    events = purchases([*ANN, *BOB, *LATER]).assign(store_id=None, discount=0.0)
    baskets = events[events["timestamp"] >= AS_OF].groupby(["timestamp", "user_id", "basket_id"])
    examples = baskets["item_id"].agg(list).rename("labels").reset_index()
    examples = examples.assign(split="production", protocol="rolling")
    examples["cart"] = [[] for _ in range(len(examples))]
    return ProductionTables(examples, events, pd.DataFrame({"user_id": ["ann", "bob"]}))


def read_inputs() -> MonitoringInputs:
    params = read_params(PROJECT / "params.yaml")
    shop = params.shop.model_copy(update={"as_of": date(2024, 3, 1), "timezone": "UTC"})
    params = params.model_copy(update={"shop": shop})
    testing = Reference.model_construct(k=3)  # type: ignore[call-arg]  # nothing else is read
    return MonitoringInputs(read_tables(), testing, Vocabulary(ITEMS), params, p99_limit_ms=40.0)


@contextmanager
def serve_in_this_process(folder: Path) -> Iterator[Client]:
    service = fake_service(folder)
    with Client("http://localhost", transport=Direct(service.gateway)) as client:
        yield client
    service.close()  # writes the predictions that wait


@contextmanager
def serve_by_bentoml(folder: Path) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(FAKE)
        (folder / "models" / "champion").mkdir(parents=True)
        shutil.copy(PROJECT / "params.yaml", folder)
        patch.setenv("PYTHONPATH", str(folder / "site"))
        patch.chdir(folder)
        with monitor.serve_champion(CHAMPION.path, f"sqlite:///{folder}/events.db") as service:
            yield service


@pytest.mark.parametrize("serve", [serve_in_this_process, serve_by_bentoml])
def test_the_endpoints_log_is_what_its_clients_saw(
    tmp_path: Path, serve: Callable[[Path], AbstractContextManager[Service]]
) -> None:
    inputs = read_inputs()
    tables, params = inputs.tables, inputs.params
    traffic = select_traffic(tables.examples, tables.events, params.monitoring, params.shop)
    with serve(tmp_path) as client:
        replies = replay(traffic, client, inputs.vocabulary, k=3, n_workers=1)
    assert traffic.until is not None
    period = Period(traffic.start, traffic.until, datetime.now(UTC))
    with EventStoreReader(f"sqlite:///{tmp_path}/events.db") as reader:
        production = read_production(reader, period, inputs)
        counters = reader.read_counters(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    operations = summarise_operations(counters, production.arrivals)
    assert operations is not None
    assert (operations.n_attempts, operations.n_failed) == (replies.calls.n, 0)
    assert operations.speed is not None
    assert sum(operations.speed.counts) == len(traffic.examples)
    assert operations.lag_seconds is not None
    assert operations.lag_seconds[0] > 3e7  # it is long since 2024
    assert not replies.failed.any()
    np.testing.assert_array_equal(production.replies.served.items, replies.served.items)
    np.testing.assert_array_equal(production.replies.served.scores, replies.served.scores)
    np.testing.assert_array_equal(production.replies.served.slots, replies.served.slots)
    for name in ("user_id", "timestamp", "basket_id", "cart"):
        assert production.traffic.examples[name].tolist() == traffic.examples[name].tolist()
    assert [set(labels) for labels in production.traffic.examples["labels"]] == [
        {"milk", "jam"}, {"tea"}, {"milk"},
    ]  # fmt: skip
    assert production.requests["model_version"].nunique() == 1
    assert production.tables.events["basket_id"].tolist() == tables.events["basket_id"].tolist()


@pytest.fixture(scope="module")
def shop() -> HabitShop:
    return make_shop()


@pytest.fixture(scope="module")
def store(shop: HabitShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a service after four weeks of traffic."""
    file = tmp_path_factory.mktemp("store") / "events.db"
    params, tables = shop.inputs.params, shop.inputs.tables
    traffic = select_traffic(tables.examples, tables.events, params.monitoring, params.shop)
    with shop.serve(f"sqlite:///{file}") as service:
        replay(traffic, service, shop.inputs.vocabulary, k=K)
    return file


@pytest.fixture
def project(shop: HabitShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose collection ended at `as_of`: later events are only in the store."""
    tables, start = shop.inputs.tables, shop.inputs.params.shop.windows().as_of
    collected = replace(
        tables,
        events=tables.events[tables.events["timestamp"] < start],
        examples=tables.examples[tables.examples["split"] == "test"],
    )
    inputs = replace(shop.inputs, tables=collected)
    monkeypatch.setattr(monitor, "read_inputs", lambda _params: inputs)
    monkeypatch.setattr("pipeline.monitoring.judge.read_methods", lambda *_: METHODS)
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judge(store: Path, *options: str) -> Verdict:
    command = ["--source", "event_store", "--store", f"sqlite:///{store}", "--out", "out"]
    assert main([*command, *options]) == 0
    return Verdict.model_validate_json(Path("out/verdict.json").read_bytes())


def test_the_store_of_a_running_service_is_judged_period_by_period(
    project: Path, store: Path
) -> None:
    first = judge(store, "--since", "2017-12-04", "--until", "2017-12-18")
    assert first.status == "proceed"
    assert {path.name for path in (project / "out").iterdir()} >= {
        "index.html", "latency.json", "metrics.json", "period.json", "verdict.json", "weeks.csv",
    }  # fmt: skip
    weeks = pd.read_csv("out/weeks.csv")
    assert weeks["start"].tolist() == ["2017-12-04", "2017-12-11"]
    assert judge(store, "--until", "2018-01-01").status == "proceed"  # from where the last ended
    assert pd.read_csv("out/weeks.csv")["start"].tolist() == ["2017-12-18", "2017-12-25"]
    assert not (project / "reports").exists()


def test_a_period_without_requests_goes_on_with_a_warning(project: Path, store: Path) -> None:
    verdict = judge(store, "--since", "2018-02-01", "--until", "2018-02-08")
    assert verdict.status == "proceed"
    assert "no traffic to judge yet: no request on 2018-02-01" in verdict.cause


@pytest.mark.parametrize("fault", ["missing", "corrupt"])
def test_a_store_that_cannot_be_read_writes_nothing(
    project: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = project / "events.db"
    if fault == "corrupt":
        file.write_bytes(b"no database" * 1_000)
    command = ["--source", "event_store", "--store", f"sqlite:///{file}", "--out", "out"]
    assert main([*command, "--since", "2017-12-04", "--until", "2017-12-18"]) == 1
    words = {"missing": "no such file", "corrupt": "not a database"}
    assert "monitoring failed. Expected the event store" in caplog.text
    assert words[fault] in caplog.text
    assert not (project / "out").exists()


def test_a_store_that_vanishes_while_it_is_read_writes_nothing(
    project: Path, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = project / "events.db"
    shutil.copy(store, file)
    read = EventStoreReader.read_requests

    def vanish(reader: EventStoreReader, *bounds: datetime) -> pd.DataFrame:
        file.unlink()
        return read(reader, *bounds)

    monkeypatch.setattr(EventStoreReader, "read_requests", vanish)
    command = ["--source", "event_store", "--store", f"sqlite:///{file}", "--out", "out"]
    assert main([*command, "--since", "2017-12-04", "--until", "2017-12-18"]) == 1
    assert "moved, deleted or replaced" in caplog.text
    assert not (project / "out").exists()


def test_a_loss_in_an_immature_period_raises_no_alarm(project: Path, store: Path) -> None:
    damaged = project / "events.db"
    shutil.copy(store, damaged)
    with sqlite3.connect(damaged) as connection:  # everybody buys what nobody bought before
        item = "(CAST(substr(item_id, 2) AS INTEGER) + 137) % 400"
        connection.execute(f"UPDATE events SET item_id = printf('i%03d', {item})")
    connection.close()
    immature = judge(damaged, "--since", "2017-12-04", "--until", "2017-12-04T23:00:00-05:00")
    quality = next(item for item in immature.evidence if item.name == "recall@10")
    assert (quality.value, quality.gates) == (None, False)
    assert "immature" in quality.note
    assert not [item for item in immature.failing if item.name.startswith("recall")]
    mature = judge(damaged, "--since", "2017-12-04", "--until", "2017-12-11")
    quality = next(item for item in mature.evidence if item.name == "recall@10")
    assert not quality.holds
    assert mature.status == "return"
    week, month = (next(item for item in mature.evidence if item.name == f"recall@10_{days}_days")
                   for days in (7, 28))  # fmt: skip
    assert (month.value, month.holds, month.gates) == (None, True, False)
    assert "immature: 0 requests" in month.note
    assert week.holds  # of the first moment of the week only


def test_before_any_label_there_is_not_enough_yet(project: Path, store: Path) -> None:
    unlabelled = project / "events.db"
    shutil.copy(store, unlabelled)
    with sqlite3.connect(unlabelled) as connection:
        connection.execute("DELETE FROM events")
    connection.close()
    verdict = judge(unlabelled, "--since", "2017-12-04", "--until", "2017-12-04T23:00:00-05:00")
    quality = next(item for item in verdict.evidence if item.name == "recall@10")
    assert (quality.value, quality.gates) == (None, False)
    assert "immature: 0 requests that a purchase followed" in quality.note
    volume = next(item for item in verdict.evidence if item.name == "volume_ratio")
    assert (verdict.status, volume.value) == ("proceed", None)


def test_events_that_stop_are_found(project: Path, store: Path) -> None:
    stopped = project / "events.db"
    shutil.copy(store, stopped)
    with sqlite3.connect(stopped) as connection:
        connection.execute("DELETE FROM events WHERE timestamp >= '2017-12-11 05:00:00'")
    connection.close()
    verdict = judge(stopped, "--since", "2017-12-11", "--until", "2017-12-18")
    assert (verdict.status, verdict.target_phase) == ("return", "collection")
    assert "0.00 times the baskets per day" in verdict.cause


def evidence_of(verdict: Verdict, name: str) -> Evidence:
    return next(item for item in verdict.evidence if item.name == name)


def test_errors_lag_and_releases_of_the_period_are_told(project: Path, store: Path) -> None:
    file = project / "events.db"
    shutil.copy(store, file)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE predictions SET model_version = 'w' WHERE request_id LIKE '%7'")
        connection.execute("UPDATE events SET received_at = datetime(timestamp, '+2 days')")
        rows = [("requests", "/recommend 200", 900), ("requests", "/recommend 503", 100),
                ("requests", "/events 400", 3), ("requests", "/items 500", 50),
                ("predictions_dropped", "", 7), ("recommend_seconds", "0.01", 900),
                ("recommend_seconds", "+Inf", 1000)]  # fmt: skip
        for hour in ("2017-12-05 10:00:00.000000", "2018-02-01 10:00:00.000000"):
            connection.executemany(f"INSERT INTO service_counters VALUES ('{hour}', ?, ?, ?)", rows)
    connection.close()
    verdict = judge(file, "--since", "2017-12-04", "--until", "2017-12-11")
    assert (verdict.status, verdict.target_phase) == ("return", "deployment")
    assert "10.0% of the calls failed at first" in verdict.cause
    assert not evidence_of(verdict, "p99_latency_ms").holds  # beyond 10 ms, in the last bucket
    assert evidence_of(verdict, "rejected_deliveries").value == 3
    assert evidence_of(verdict, "dropped_predictions").value == 7
    lag = evidence_of(verdict, "event_lag_seconds")
    assert (lag.value, lag.holds, lag.gates) == (172_800.0, False, False)
    releases = evidence_of(verdict, "releases")
    assert releases.value == 2
    words = r"v (89|90)\.\d% of the answers, recall@10 0\.\d{4} \[.*; w (9|10)\.\d% of the answers"
    assert re.match(words, releases.note)  # which requests end in 7 depends on the threads
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["operations"]["attempts"] == 1003
    shares = {version: part["share"] for version, part in metrics["releases"].items()}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["w"] == pytest.approx(0.1, abs=0.01)
    assert 0 < metrics["releases"]["w"]["recall@10"]["value"] < 1


@pytest.mark.parametrize("n_answers", [0, 700])
def test_a_service_that_dies_during_the_replay_leads_to_deployment(
    shop: HabitShop, monkeypatch: pytest.MonkeyPatch, n_answers: int
) -> None:
    @contextmanager
    def dying(_bundle: Path, url: str) -> Iterator[StoredService]:
        with shop.serve(url) as service:
            answer, left = service.recommend, iter(range(n_answers))

            def recommend(request: RecommendRequest) -> RecommendAnswer:
                if next(left, None) is None:
                    raise ServiceError("an answer", received="a closed connection", action="Wait.")
                return answer(request)

            monkeypatch.setattr(service, "recommend", recommend)
            yield service

    monkeypatch.setattr(monitor, "serve_champion", dying)
    monkeypatch.setattr("pipeline.monitoring.judge.read_methods", lambda *_: METHODS)
    result = monitor.monitor(shop.inputs)
    assert (result.verdict.status, result.verdict.target_phase) == ("return", "deployment")
    assert "of the requests have no answer" in result.verdict.cause
    n_requests = len(
        shop.inputs.tables.examples[shop.inputs.tables.examples["split"] == "production"]
    )
    assert result.metrics["failed_requests"] == n_requests - n_answers
