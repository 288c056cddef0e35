"""A period of a service as its event store recorded it: what was asked, answered and bought.

The replay of `dvc repro` and a running service are read by the same code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.collection.rules import tag_events
from pipeline.contracts import schemas
from pipeline.contracts.baskets import add_baskets
from pipeline.contracts.params import Params
from pipeline.event_store.reader import EventStoreReader, LoggedAnswer
from pipeline.monitoring.observe import MonitoringInputs, ProductionTables
from pipeline.monitoring.period import Period
from pipeline.monitoring.purchases import (
    KnownBaskets,
    find_baskets,
    join_purchases,
    select_labels,
)
from pipeline.monitoring.replay import Calls, Replies
from pipeline.monitoring.traffic import Traffic, build_traffic, sample_rows
from pipeline.recommenders.base.recommender import SLOTS, Recommendations
from pipeline.recommenders.base.vocabulary import Vocabulary

NAIVE = pa.timestamp("us")  # collection's rules know no time zone


@dataclass(frozen=True)
class Production:
    """What a store recorded in a period.

    Attributes:
        traffic: A sample of the answered requests, joined with the purchases that followed, and
            all events. A request for fewer than k items is left out.
        replies: The answers to the sample.
        tables: The tables of collection and labeling, with the store's events since `as_of`.
        requests: REQUEST_COLUMNS of all answers, with the columns of `join_purchases`.
        arrivals: timestamp and received_at of the period's events.
    """

    traffic: Traffic
    replies: Replies
    tables: ProductionTables
    requests: pd.DataFrame
    arrivals: pd.DataFrame


def read_production(
    reader: EventStoreReader, period: Period, inputs: MonitoringInputs
) -> Production:
    """Return what the store recorded in a period.

    Args:
        reader: The store.
        period: The period.
        inputs: Inputs of monitoring; events before `as_of` come from its tables.

    Raises:
        StoreError: If the store cannot be read.
    """
    params, as_of = inputs.params, inputs.params.shop.windows().as_of
    stored = reader.read_events(as_of, period.until, period.known_at)
    events = clean_events(stored, inputs.tables.items, params, period.until)
    before = inputs.tables.events[inputs.tables.events["timestamp"] < as_of]
    known_events = pd.concat([before, events[before.columns]], ignore_index=True)
    baskets = find_baskets(known_events, period.since, period.until, params.labeling, params.shop)
    requests = reader.read_requests(period.since, period.until, period.known_at)
    requests = join_purchases(requests, baskets, max(params.monitoring.horizons_days))
    comparable = requests[requests["k"] >= inputs.k]
    comparable = comparable.sort_values(["timestamp", "user_id", "basket_id"], kind="stable")
    sample = sample_rows(comparable.reset_index(drop=True), params.monitoring.maximum_requests)
    answers = reader.read_answers(sample["request_id"].tolist())
    is_left = np.array([answer is not None for answer in answers], dtype=bool)
    sample = sample[is_left].reset_index(drop=True)
    logged = [answer for answer in answers if answer is not None]
    examples = build_examples(sample, logged, baskets)
    window = events[events["timestamp"] >= period.since]
    return Production(
        traffic=build_traffic(examples, window, baskets.n_expected, period.since, period.until),
        replies=build_replies(sample, logged, inputs.vocabulary, inputs.k),
        tables=replace(inputs.tables, events=known_events),
        requests=requests,
        arrivals=stored.loc[stored["timestamp"] >= period.since, ["timestamp", "received_at"]],
    )


def clean_events(
    stored: pd.DataFrame, items: pd.DataFrame | None, params: Params, until: datetime
) -> pd.DataFrame:
    """Return the events as collection would clean them: with baskets, without dropped rows.

    Args:
        stored: EVENT_COLUMNS of the store.
        items: schemas.ITEMS; None if no department is known.
        params: Rules of collection, and the time zone.
        until: End of the period.

    Returns:
        schemas.EVENTS, by timestamp, user, basket and item.
    """
    import ibis

    names = schemas.EVENTS.names()
    types = pa.schema([(name, schemas.EVENTS.column(name).dtype) for name in names])
    table = pa.Table.from_pandas(stored[names], schema=types, preserve_index=False)
    moments = table["timestamp"].cast(NAIVE)
    table = table.set_column(names.index("timestamp"), "timestamp", moments)
    events = ibis.memtable(table)
    if table["basket_id"].null_count:
        events = add_baskets(events, params.shop.timezone, until)
    listed = pd.DataFrame({"item_id": [], "department": []}) if items is None else items
    listed = listed[["item_id", "department"]].astype("str")
    tagged = tag_events(events, ibis.memtable(listed), params.collection)
    kept = tagged.filter(tagged.rule.isnull()).select(*names).to_pyarrow()
    cleaned: pd.DataFrame = kept.cast(types).to_pandas()
    order = ["timestamp", "user_id", "basket_id", "item_id"]
    return cleaned.sort_values(order, kind="stable", ignore_index=True)


def build_examples(
    requests: pd.DataFrame, answers: Sequence[LoggedAnswer], baskets: KnownBaskets
) -> pd.DataFrame:
    """Return the requests as schemas.EXAMPLES without negatives.

    They also have `label_delay_days` and `model_version`.

    Args:
        requests: From `join_purchases`.
        answers: The answer to each.
        baskets: The baskets that they were joined with.
    """
    carts = [answer.cart for answer in answers]
    labels = select_labels(requests["basket"].tolist(), carts, baskets)
    names = ["user_id", "timestamp", "basket_id", "store_id", "n_earlier_baskets"]
    names += ["label_delay_days", "model_version"]
    return requests[names].assign(
        example_id=requests["request_id"],
        split="production",
        protocol="rolling",
        cart=pd.Series(carts, index=requests.index, dtype=object),
        labels=pd.Series(labels, index=requests.index, dtype=object),
    )


def build_replies(
    requests: pd.DataFrame, answers: Sequence[LoggedAnswer], vocabulary: Vocabulary, k: int
) -> Replies:
    """Return the logged answers as replies of a service that answered every request.

    Args:
        requests: REQUEST_COLUMNS.
        answers: The answer to each request.
        vocabulary: Vocabulary of the served model.
        k: Length of the lists.
    """
    n = len(answers)
    items = np.zeros((n, k), dtype=np.int32)
    scores = np.zeros((n, k), dtype=np.float32)
    slots = np.zeros((n, k), dtype=np.int8)
    for row, answer in enumerate(answers):
        width = min(len(answer.items), k)
        items[row, :width] = vocabulary.encode(answer.items[:width])
        scores[row, :width] = answer.scores[:width]
        slots[row, :width] = [SLOTS.index(slot) for slot in answer.slots[:width]]
    return Replies(
        served=Recommendations(items, scores, slots),
        failed=np.zeros(n, dtype=bool),
        latency_ms=requests["latency_ms"].to_numpy(dtype=np.float64),
        n_lost_events=0,
        calls=Calls(n=n),
    )
