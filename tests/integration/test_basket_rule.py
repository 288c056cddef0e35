"""One rule for baskets: every phase makes the same baskets of the same events."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.collection.months import count_baskets
from pipeline.collection.rules import tag_events
from pipeline.contracts.baskets import add_baskets, basket_of
from pipeline.contracts.params import Params, read_params
from pipeline.event_store.store import SOURCE, StoredEvent
from pipeline.labeling.examples.baskets import build_basket_lines, build_baskets
from pipeline.planning.history import read_history
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.runtime.sql_engine import connect, fetch
from pipeline.serving.user_state.recent_events import RecentEvents
from pipeline.serving.user_state.request_builder import RequestBuilder
from pipeline.sources import Source
from tests.support import tiny_shop
from tests.support.weekly_shop import labeling

ZONE = ZoneInfo("America/New_York")
ITEMS = ("milk", "tea")
USERS = ("ann", "bob", "cid")
STARTS = ("2017-01-01T04:30", "2017-03-12T06:30", "2017-06-30T03:30", "2017-11-05T05:30")
TABLE_TYPES = {
    "user_id": "string",
    "item_id": "string",
    "timestamp": "timestamp(6)",
    "event_type": "string",
    "quantity": "float64",
    "price": "float64",
    "discount": "float64",
    "basket_id": "string",
    "session_id": "string",
    "store_id": "string",
    "source": "string",
}
Row = tuple[str, str, str, int, str | None, str | None]
ROWS = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from(ITEMS),
    st.sampled_from(STARTS),  # just before midnight, and before clocks change, in New York
    st.integers(0, 12),  # quarters of an hour later
    st.sampled_from([None, "1", "2"]),
    st.sampled_from([None, "1", "visit"]),
)


@cache
def params() -> Params:
    project = read_params(tiny_shop.PROJECT / "params.yaml")
    later = {"as_of": date(2018, 6, 1), "timezone": ZONE.key}
    return project.model_copy(update={"shop": project.shop.model_copy(update=later)})


@cache
def engine() -> Any:
    return connect("duckdb://")


def frame(rows: list[Row], *, kind: str = "purchase") -> pd.DataFrame:
    events = pd.DataFrame(
        rows, columns=["user_id", "item_id", "start", "quarters", "basket_id", "session_id"]
    )
    moments = pd.to_datetime(events.pop("start")) + pd.to_timedelta(
        events.pop("quarters") * 15, "m"
    )
    events = events.assign(timestamp=moments.astype("datetime64[us]"), event_type=kind)
    events = events.assign(quantity=1.0, price=2.0, discount=0.0, store_id=None, source="till")
    return events[list(TABLE_TYPES)]


def make_source(events: pd.DataFrame) -> Source:
    import ibis

    tables = {
        "events": ibis.memtable(events, schema=ibis.schema(TABLE_TYPES)),
        "items": ibis.memtable(
            pd.DataFrame({"item_id": ITEMS, "department": "FOOD", "type": ["a", "b"]})
        ),
    }
    made = {
        name: engine().create_table(ibis.util.gen_name("test"), table, temp=True)
        for name, table in tables.items()
    }
    return Source(
        name="files",
        raw={},
        events=made["events"],
        items=made["items"],
        users=made["items"],
        offers=made["items"],
        fingerprints={},
        ends=datetime(2019, 1, 1, tzinfo=UTC),
        raw_schemas={},
    )


def collect(source: Source) -> pd.DataFrame:
    """The events after collection."""
    events = add_baskets(source.events, ZONE.key, source.ends)
    tagged = tag_events(events, source.items, params().collection)
    clean = fetch(tagged.filter(tagged.rule.isnull()).drop("rule"))
    return clean.to_pandas().sort_values(["timestamp", "item_id"], ignore_index=True)


def count_served(events: pd.DataFrame) -> int:
    """The number of baskets in requests, if the endpoint stored all purchases."""
    vocabulary, since = Vocabulary(ITEMS), datetime(2016, 1, 1, tzinfo=UTC)
    no_purchases = frame([]).assign(timestamp=pd.Series([], dtype="datetime64[us, UTC]"))
    recent_events = RecentEvents(vocabulary, since=since.timestamp(), zone=ZONE)
    recent_events.extend(stored(number, row) for number, row in enumerate(events.itertuples()))
    builder = RequestBuilder(
        build_histories(no_purchases, vocabulary),
        pd.DataFrame(index=pd.Index([], dtype=str)),
        recent_events,
        timezone=ZONE.key,
        cart_hours=24,
        viewed_minutes=60,
    )
    now = datetime(2018, 1, 1, tzinfo=UTC).timestamp()
    requests = [builder.build(builder.build_context(user, now)) for user in USERS]
    return sum(len(np.unique(request.baskets_ago)) for request in requests)


def stored(number: int, row: Any) -> StoredEvent:
    moment = row.timestamp.to_pydatetime().replace(tzinfo=UTC)
    texts = {
        name: None if pd.isna(getattr(row, name)) else getattr(row, name)
        for name in ("basket_id", "session_id", "store_id")
    }
    return StoredEvent(
        event_id=str(number),
        user_id=row.user_id,
        item_id=row.item_id,
        timestamp=moment,
        event_type=row.event_type,
        quantity=row.quantity,
        price=row.price,
        discount=row.discount,
        source=SOURCE,
        received_at=moment,
        **texts,
    )


def counts(events: pd.DataFrame) -> dict[str, int]:
    """The number of baskets by phase."""
    source = make_source(events)
    clean = collect(source)
    histories = build_histories(clean, Vocabulary(ITEMS))
    users = np.repeat(histories.user_ids, np.diff(histories.row_splits))
    return {
        "planning": len(read_history(source, params()).basket_user),
        "collection": count_baskets(fetch(add_baskets(source.events, ZONE.key, source.ends))),
        "labeling": len(build_baskets(build_basket_lines(clean, labeling()))),
        "histories": len(set(zip(users, histories.basket, strict=True))),
        "serving": count_served(events),
    }


def expected(rows: list[Row]) -> int:
    """The rule, row by row."""
    baskets = set()
    for user, _, start, quarters, basket, session in rows:
        moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
        local = (moment + timedelta(minutes=15 * quarters)).astimezone(ZONE)
        baskets.add((user, basket or session or f"{local:%Y-%m-%d}"))
    return len(baskets)


FOUR = [
    ("ann", "milk", "2017-01-01T04:30", n, None, session) for n, session in ((0, "s"), (1, "s"))
]
FOUR += [("ann", "tea", "2017-06-30T03:30", n, None, None) for n in (3, 5)]


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(
    FOUR
)  # planning and labeling counted two baskets and histories four, before there was a rule
@example([("ann", "milk", "2017-11-05T05:30", n, None, None) for n in (0, 2, 4, 8)])  # 1:30 twice
@given(st.lists(ROWS, min_size=1, max_size=40, unique=True))
def test_every_phase_counts_the_same_baskets(rows: list[Row]) -> None:
    assert counts(frame(rows)) == dict.fromkeys(
        ("planning", "collection", "labeling", "histories", "serving"), expected(rows)
    )


def test_midnight_is_in_the_time_zone_of_the_shop() -> None:
    moments = [datetime(2017, 6, 30, 3, 59, tzinfo=UTC), datetime(2017, 6, 30, 4, tzinfo=UTC)]
    names = [basket_of(None, None, moment, ZONE) for moment in moments]
    assert names == ["2017-06-29", "2017-06-30"]


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_a_table_and_an_event_agree_all_year_long(zone: str) -> None:
    hours = pd.date_range("2017-01-01", "2018-01-01", freq="30min")
    rows: list[Row] = [("ann", "milk", f"{at:%Y-%m-%dT%H:%M}", 0, None, None) for at in hours]
    table = add_baskets(
        make_source(frame(rows)).events, zone, datetime(2019, 1, 1, tzinfo=UTC)
    ).order_by("timestamp")
    names = fetch(table)["basket_id"].to_pylist()
    assert names == [
        basket_of(None, None, at.to_pydatetime().replace(tzinfo=UTC), ZoneInfo(zone))
        for at in hours
    ]


def test_moments_out_of_range_cost_nothing_and_keep_their_row() -> None:
    rows: list[Row] = [
        ("ann", "milk", at, 0, None, None) for at in ("0001-01-02", "2017-01-01", "9999-12-30")
    ]
    events = frame(rows[1:2])
    events = pd.concat([events, events, events], ignore_index=True)
    events["timestamp"] = np.array([row[2] for row in rows], dtype="datetime64[us]")
    table = add_baskets(make_source(events).events, ZONE.key, datetime(2019, 1, 1, tzinfo=UTC))
    assert len(fetch(table)) == 3


def test_a_table_that_names_every_basket_is_untouched() -> None:
    events = make_source(frame([("ann", "milk", "2017-01-01", 0, "b", None)])).events
    assert add_baskets(events, ZONE.key, datetime(2019, 1, 1, tzinfo=UTC)) is events


def test_views_of_a_visit_belong_to_its_basket() -> None:
    views = frame(
        [
            ("ann", "tea", "2017-01-01T09:00", 0, None, "visit"),
            ("bob", "tea", "2017-01-01T09:00", 0, None, "visit"),
            ("ann", "tea", "2017-01-01T09:00", 1, None, None),
        ],
        kind="view",
    )
    purchases = frame(
        [
            ("ann", "milk", "2017-01-01T09:00", 2, "2", "visit"),
            ("ann", "milk", "2017-01-01T09:00", 3, "1", "visit"),
            ("ann", "tea", "2017-01-01T09:00", 4, None, "visit"),
        ]
    )
    events = make_source(pd.concat([views, purchases], ignore_index=True)).events
    table = fetch(add_baskets(events, ZONE.key, datetime(2019, 1, 1, tzinfo=UTC)))
    named = table.sort_by([("timestamp", "ascending"), ("user_id", "ascending")])
    assert named["basket_id"].to_pylist() == ["2", "visit", "2017-01-01", "2", "1", "visit"]
