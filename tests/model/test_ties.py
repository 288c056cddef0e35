"""Equal scores: the more recent first, then the more popular, then the item's id; at any size.

Expected orders come from numpy's lexsort and from hand calculation, never from the graphs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.planning.frequency import FrequencyBaseline, personal_lists, select_requests
from pipeline.planning.history import build_history
from pipeline.recommenders.base.histories import Histories, build_histories
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.recommenders.baselines.frequency import DecayGraph, TifuGraph, build_baseline
from pipeline.recommenders.onnx.graph import GRAPH, export_onnx, load_onnx
from tests.model.conftest import World

NOW = pd.Timestamp("2024-06-01", tz="UTC")
K = 10


def purchases(user: str, item: str, baskets_ago: Sequence[int]) -> list[dict[str, object]]:
    """One line per basket; a basket is a whole number of hours before NOW."""
    return [
        {
            "user_id": user,
            "item_id": item,
            "timestamp": NOW - pd.Timedelta(hours=ago + 1),
            "event_type": "purchase",
            "quantity": 1.0,
            "price": 1.0,
            "basket_id": f"{user}-{ago}",
        }
        for ago in baskets_ago
    ]


def asked(events: pd.DataFrame) -> tuple[Vocabulary, Histories, Requests]:
    vocabulary = Vocabulary(tuple(sorted(events["item_id"].unique())))
    histories = build_histories(events, vocabulary)
    users = sorted(events["user_id"].unique())
    moments = np.full(len(users), NOW.timestamp())
    return vocabulary, histories, build_requests(histories, users, moments)


def counting(vocabulary: Vocabulary, popularity: np.ndarray, days: float | None = None):
    graph = DecayGraph(popularity, 100, days)
    description = {"name": "personal", "n_items": len(vocabulary)}
    return GraphRecommender(description, vocabulary, graph)


@pytest.fixture(scope="module")
def many() -> tuple[Vocabulary, Histories, Requests]:
    """a and b: 3000 purchases each, so that 1e-6 is lost in single precision; b an hour later."""
    every = list(range(1, 6001, 2))
    rows = purchases("u", "a", every) + purchases("u", "b", [0, *every[:-1]])
    rows += purchases("u", "c", every) + purchases("u", "d", [*every, 6002])
    return asked(pd.DataFrame(rows))


def test_a_small_term_would_vanish_at_these_counts():
    assert np.float32(3000.0) + np.float32(1e-6) == np.float32(3000.0)


def test_many_equal_counts_break_by_recency_then_popularity_then_id(many):
    """d was bought once more; b after a and c; c is more popular than a in one case, as in two."""
    vocabulary, _, requests = many
    for popularity, expected in (
        ([0.0, 1.0, 1.0, 2.0, 1.0], ["d", "b", "c", "a"]),
        ([0.0, 1.0, 1.0, 1.0, 1.0], ["d", "b", "a", "c"]),
        ([0.0, 1e9 + 1, 1.0, 1e9, 1.0], ["d", "b", "a", "c"]),  # equal in single precision
    ):
        ranked = counting(vocabulary, np.array(popularity)).rank(requests, 4)
        assert vocabulary.decode(ranked.repeat_items[0]) == expected


def test_popularity_that_single_precision_merges_still_decides(many):
    vocabulary, _, requests = many
    popularity = np.array([0.0, 1e9, 1.0, 1e9 + 1, 1.0])
    ranked = counting(vocabulary, popularity).rank(requests, 4)
    assert vocabulary.decode(ranked.repeat_items[0]) == ["d", "b", "c", "a"]


def random_events(seed: int) -> pd.DataFrame:
    """Few different counts over many items: most scores are shared."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for user in range(12):
        for ago in range(40):
            items = random.choice(60, size=random.integers(3, 9), replace=False)
            for item in items:
                rows += purchases(f"u{user:02d}", f"i{item:02d}", [ago * 7 + user])
    return pd.DataFrame(rows)


def expected_order(
    events: pd.DataFrame, user: str, popularity: np.ndarray, days: float | None
) -> list[str]:
    mine = events[events["user_id"] == user]
    hours = ((NOW - mine["timestamp"]) / pd.Timedelta(hours=1)).to_numpy()
    weight = np.ones(len(mine)) if days is None else np.exp(-hours / 24 / days)
    frame = pd.DataFrame({"item": mine["item_id"].to_numpy(), "hours": hours, "weight": weight})
    by_item = frame.groupby("item", sort=True).agg(last=("hours", "min"), score=("weight", "sum"))
    number = np.array([int(name[1:]) for name in by_item.index])
    score = by_item["score"].to_numpy().round(9)
    order = np.lexsort((number, -popularity[number + 1], by_item["last"].to_numpy(), -score))
    return [str(by_item.index[at]) for at in order[:K]]


@pytest.mark.parametrize("days", [None, 30.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_counting_ranks_as_numpy_sorts(days, seed, tmp_path: Path):
    events = random_events(seed)
    vocabulary, _, requests = asked(events)
    random = np.random.default_rng(seed)
    popularity = np.r_[0.0, random.integers(1, 4, len(vocabulary) - 1).astype(float)]
    recommender = counting(vocabulary, popularity, days)
    recommender.save(tmp_path)
    export_onnx(recommender.module, tmp_path / GRAPH)
    for answering in (recommender, load_onnx(tmp_path)):
        lists = answering.rank(requests, K).repeat_items
        for row, user in enumerate(sorted(events["user_id"].unique())):
            wanted = expected_order(events, user, popularity, days)
            assert vocabulary.decode(lists[row]) == wanted


@pytest.mark.parametrize("days", [None, 30.0])
def test_planning_counts_as_numpy_sorts(days):
    import pyarrow as pa

    events = random_events(3)
    sold = events.groupby("item_id").size()
    last = pd.DataFrame(
        [row for user in events["user_id"].unique() for row in purchases(user, "i00", [-1])]
    )
    rows = pd.concat([events, last]).drop(columns=["event_type", "quantity", "price"])
    types = pa.table({"item_id": sorted(sold.index), "type": ["t"] * len(sold)})
    until = int(NOW.timestamp() * 1e6)
    history = build_history(pa.Table.from_pandas(rows, preserve_index=False), types, until + 1)
    requests = select_requests(history, until, 0)
    (lists,) = personal_lists(history, requests, [FrequencyBaseline(days)])
    # planning numbers items by falling sales, the last baskets included, then by id
    popularity = np.zeros(len(sold) + 1)
    popularity[1:] = sold.to_numpy()
    popularity[1] += 12
    by_number = np.lexsort((np.arange(len(sold)), -popularity[1:]))
    for row, user in enumerate(sorted(events["user_id"].unique())):
        names = [f"i{by_number[number - 1]:02d}" for number in lists[row]]
        assert names == expected_order(events, user, popularity, days)


def test_tifu_knn_breaks_ties_as_counting_does(world: World):
    """Without neighbours, and every basket weighing the same, it is counting."""
    params = world.params.training.baselines.model_copy(
        update={"tifu_alpha": 1.0, "tifu_group_baskets": 1000, "tifu_within_decay": 1.0}
    )
    data, cutoff = world.data, world.data.cutoff
    tifu = build_baseline("tifu_knn", data, params, cutoff)
    personal = build_baseline("personal", data, params, cutoff)
    assert isinstance(tifu, TifuGraph)
    lists = [
        GraphRecommender({"name": "x"}, data.vocabulary, graph).rank(world.requests, K).repeat_items
        for graph in (tifu, personal)
    ]
    np.testing.assert_array_equal(*lists)
