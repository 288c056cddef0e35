"""What self-attention over purchases must be able to do, on a shop where A is followed by B."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pipeline.contracts.params import FamiliesParams, Params, SasrecParams
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.saved import GraphRecommender, load_recommender
from pipeline.recommenders.base.training_data import TrainingData, build_training_data
from pipeline.recommenders.sequence.sasrec import (
    Negatives,
    SasrecFamily,
    add_negatives,
    build_graph,
    build_loss,
    build_network,
)
from pipeline.recommenders.sequence.self_attention import SequenceNetwork
from pipeline.recommenders.sequence.sequences import WindowBatches, assign_codes, build_sequences
from pipeline.training.fit.candidates import fit_family, measure_quality
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

START = datetime(2024, 1, 1, tzinfo=UTC)
N_ITEMS, N_USERS, N_DAYS = 12, 40, 16
VALIDATION_DAY, CUTOFF_DAY = 12, 14


def moment(day: int) -> datetime:
    return START + timedelta(days=day)


def name_of(item: int) -> str:
    return f"item-{item:02d}"


def bought(user: int, day: int) -> int:
    """One item a day, in a circle: item 0 is followed by item 1, item 11 by item 0."""
    return (5 * user + day) % N_ITEMS


def events(n_users: int = N_USERS, n_items: int = N_ITEMS) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": f"user-{user:02d}",
            "item_id": name_of(bought(user, day) % n_items),
            "timestamp": moment(day),
            "event_type": "purchase",
            "quantity": 1.0,
            "price": 1.0,
            "basket_id": f"{user}-{day}",
        }
        for user in range(n_users)
        for day in range(N_DAYS)
    )


def examples(bought: pd.DataFrame, days: range, cutoff: int) -> pd.DataFrame:
    inside = bought[bought["timestamp"].isin([pd.Timestamp(moment(day)) for day in days])]
    return pd.DataFrame(
        {
            "split": "validation",
            "protocol": "rolling",
            "cutoff": pd.Timestamp(moment(cutoff)),
            "user_id": inside["user_id"].to_numpy(),
            "timestamp": inside["timestamp"].to_numpy(),
            "cart": [[] for _ in range(len(inside))],
            "labels": [[item] for item in inside["item_id"]],
            "relevance": [[1.0]] * len(inside),
        }
    )


def make_data(bought: pd.DataFrame, *, validate: bool = True) -> TrainingData:
    validation = examples(bought, range(VALIDATION_DAY, CUTOFF_DAY), VALIDATION_DAY)
    return build_training_data(
        cutoff=pd.Timestamp(moment(CUTOFF_DAY)),
        timezone="UTC",
        events=bought,
        items=pd.DataFrame({"item_id": [name_of(n) for n in range(N_ITEMS)]}),
        users=pd.DataFrame({"user_id": pd.Series([], dtype=str)}),
        offers=tiny_shop.clean_offers(),
        train=examples(bought, range(6, VALIDATION_DAY), 6),
        validation=validation if validate else validation.iloc[:0],
    )


def small(**changes: Any) -> FamiliesParams:
    families = Params.model_validate(tiny_shop.params()).families
    settings: dict[str, Any] = {
        "embedding_dim": 16,
        "n_blocks": 1,
        "max_length": 8,
        "dropout": 0.0,
        "n_negatives": 32,
        "epochs": 40,
        "patience": 40,
        "batch_size": 8,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "explore_catalogue": 60,
        "popular_days": 28,
    } | changes
    section = families.sasrec.model_copy(
        update={name: value for name, value in settings.items() if name != "popular_days"}
    )
    return families.model_copy(update={"sasrec": section, "popular_days": settings["popular_days"]})


def fit_in(
    folder: Path, data: TrainingData, params: FamiliesParams, epochs: dict[str, int] | None = None
) -> GraphRecommender:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return fit_family("sasrec", data, params, seed=3, epochs=epochs)[1]


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return make_data(events())


@pytest.fixture(scope="module")
def fitted(data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> GraphRecommender:
    return fit_in(tmp_path_factory.mktemp("fitting"), data, small())


@pytest.fixture(scope="module")
def later(data: TrainingData) -> Requests:
    """One request per shopper on the day of the cut-off, from the history up to it."""
    users = list(data.histories.user_ids)
    return build_requests(data.histories, users, np.full(len(users), moment(14).timestamp()))


def best_of_all(recommender: GraphRecommender, requests: Requests) -> np.ndarray[Any, Any]:
    """The item with the best score of the repeat and the explore list together."""
    ranked = recommender.rank(requests, N_ITEMS)
    items = np.concatenate([ranked.repeat_items, ranked.explore_items], axis=1)
    scores = np.concatenate([ranked.repeat_scores, ranked.explore_scores], axis=1)
    place = np.where(items > 0, scores, -np.inf).argmax(axis=1)
    return np.asarray(np.take_along_axis(items, place[:, None], axis=1)[:, 0])


def assert_same(one: Recommendations, other: Recommendations, tolerance: float = 1e-5) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_allclose(one.scores, other.scores, rtol=tolerance, atol=tolerance)


def test_it_learns_what_follows_what(
    fitted: GraphRecommender, data: TrainingData, later: Requests
) -> None:
    names = data.vocabulary.decode(best_of_all(fitted, later))
    assert names == [name_of(bought(user, 14)) for user in range(N_USERS)]


@pytest.mark.parametrize(("loss", "negative_power"), [("sampled_softmax", 1.0), ("gbce", 0.0)])
def test_either_loss_learns_it(
    data: TrainingData, later: Requests, tmp_path: Path, loss: str, negative_power: float
) -> None:
    params = small(loss=loss, negative_power=negative_power)
    result = fit_in(tmp_path, data, params, {"network": 40})
    names = data.vocabulary.decode(best_of_all(result, later))
    assert np.mean([n == name_of(bought(u, 14)) for u, n in enumerate(names)]) > 0.95


def test_the_order_of_purchases_matters(fitted: GraphRecommender, data: TrainingData) -> None:
    """The same four items in two orders: what follows is what follows the last one."""
    lines = [("ann", [4, 3, 2, 1]), ("bob", [1, 2, 3, 4])]
    frame = pd.DataFrame(
        {
            "user_id": user,
            "item_id": name_of(item),
            "timestamp": moment(day),
            "event_type": "purchase",
            "quantity": 1.0,
            "price": 1.0,
            "basket_id": f"{user}-{day}",
        }
        for user, items in lines
        for day, item in enumerate(items)
    )
    histories = build_histories(frame, data.vocabulary)
    requests = build_requests(histories, ["ann", "bob"], np.full(2, moment(9).timestamp()))
    assert data.vocabulary.decode(best_of_all(fitted, requests))[1] == name_of(5)
    ranked = fitted.rank(requests, 4)
    order = np.argsort(ranked.repeat_items, axis=1)
    scores = np.take_along_axis(ranked.repeat_scores, order, axis=1)
    assert np.abs(scores[0] - scores[1]).max() > 0.5


def test_a_batch_gives_what_each_request_alone_gives(
    fitted: GraphRecommender, data: TrainingData
) -> None:
    """Histories of different length, an empty one among them."""
    users = ["nobody", *[f"user-{n:02d}" for n in range(8)]]
    times = np.array([moment(day).timestamp() for day in (9, 0, 1, 2, 3, 5, 8, 11, 14)])
    requests = build_requests(data.histories, users, times)
    batch = fitted.recommend(requests, 8, explore_slots=4)
    for at in range(len(users)):
        alone = fitted.recommend(requests.part(at, at + 1), 8, explore_slots=4)
        row = slice(at, at + 1)
        assert_same(alone, Recommendations(batch.items[row], batch.scores[row], batch.slots[row]))


def test_a_shopper_without_purchases_gets_what_sells_most(tmp_path: Path) -> None:
    """Before anything is learned to the contrary: item 0 sells most, then item 1, and so on."""
    bought = events()
    more = [bought[bought["item_id"] == name_of(n)].head(3 * (N_ITEMS - n)) for n in range(N_ITEMS)]
    uneven = make_data(pd.concat(more))
    result = fit_in(tmp_path, uneven, small(learning_rate=1e-6), {"network": 1})
    requests = build_requests(uneven.histories, ["nobody"], np.array([moment(14).timestamp()]))
    opens = moment(VALIDATION_DAY).timestamp()
    sold = np.bincount(uneven.histories.item[uneven.histories.time < opens], minlength=13)
    items = result.rank(requests, N_ITEMS).explore_items[0]
    assert (np.diff(sold[items]) <= 0).all()


def test_a_k_beyond_the_catalogue_gives_every_item_once(
    fitted: GraphRecommender, later: Requests
) -> None:
    recommendations = fitted.recommend(later, 50)
    for row in recommendations.items:
        assert sorted(row[row > 0]) == list(range(1, N_ITEMS + 1))


def test_it_is_the_same_after_saving_and_loading(
    fitted: GraphRecommender, later: Requests, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "saved")
    loaded = load_recommender(tmp_path / "saved")
    expected = fitted.recommend(later, 12, explore_slots=5)
    assert_same(loaded.recommend(later, 12, explore_slots=5), expected, 1e-6)


def test_two_fits_with_one_seed_are_the_same(
    data: TrainingData, later: Requests, tmp_path: Path
) -> None:
    params = small(dropout=0.3)
    results = [fit_in(tmp_path, data, params, {"network": 2}) for _ in range(2)]
    (tmp_path / "models/checkpoints/sasrec.npz").unlink()
    results.append(fit_in(tmp_path, data, params, {"network": 2}))
    first, *others = (entry.recommend(later, 12) for entry in results)
    for other in others:
        assert_same(first, other, 0.0)


def test_a_vocabulary_of_two_items_is_enough(tmp_path: Path) -> None:
    """Items 0 and 1 take turns."""
    two = make_data(events(n_users=6, n_items=2))
    result = fit_in(tmp_path, two, small(epochs=15, patience=15))
    requests = build_requests(
        two.histories, list(two.histories.user_ids), np.full(6, moment(14).timestamp())
    )
    names = two.vocabulary.decode(best_of_all(result, requests))
    assert names == [name_of(bought(user, 14) % 2) for user in range(6)]


def test_items_without_a_vector_rank_behind_all_others(
    data: TrainingData, later: Requests, tmp_path: Path
) -> None:
    params = small(maximum_items=5)
    result = fit_in(tmp_path, data, params, {"network": 2})
    opens = moment(VALIDATION_DAY).timestamp()
    opens = moment(VALIDATION_DAY).timestamp()
    codes = assign_codes(data.histories, len(data.vocabulary), opens, 5)
    rows = result.rank(later, N_ITEMS).repeat_items
    for row in rows:
        known = codes[row[row > 0]] > 0
        assert not (np.diff(known.astype(int)) > 0).any()


def test_at_another_cutoff_only_what_is_popular_changes(
    data: TrainingData, later: Requests
) -> None:
    params = small(popular_days=1)
    codes = np.arange(len(data.vocabulary), dtype=np.int32)
    network = build_network(len(codes), params.sasrec)
    one = build_graph(moment(13).timestamp(), data, params, codes, network)
    other = SasrecFamily().at(moment(14).timestamp(), one, data, params)
    lists = [
        GraphRecommender({"name": "sasrec"}, data.vocabulary, graph).rank(later, N_ITEMS)
        for graph in (one, other)
    ]
    np.testing.assert_array_equal(lists[0].repeat_scores, lists[1].repeat_scores)
    assert (lists[0].popular_items != lists[1].popular_items).any()


def test_nothing_after_the_validation_window_opens_is_learned_from(
    data: TrainingData, later: Requests, tmp_path: Path
) -> None:
    changed = events()
    late = changed["timestamp"] >= pd.Timestamp(moment(VALIDATION_DAY))
    changed.loc[late, "item_id"] = changed.loc[late, "item_id"].to_numpy()[::-1]
    results = [
        fit_in(tmp_path, entry, small(), {"network": 2}) for entry in (data, make_data(changed))
    ]
    assert_same(*(entry.recommend(later, 5) for entry in results), 0.0)


def test_early_stop_looks_at_the_lists_that_are_served(data: TrainingData, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        fitted, recommender = fit_family("sasrec", data, small(epochs=3), seed=3)
    best = max(row["validation"] for row in fitted.fits["network"].curve)
    opened = SasrecFamily().at(moment(VALIDATION_DAY).timestamp(), fitted.graph, data, small())
    again = GraphRecommender({"name": "sasrec"}, data.vocabulary, opened)
    asked = data.build_batch(data.validation)
    expected = measure_quality(again, data, asked)["ndcg@10"]  # all 12 items were bought before
    assert best == pytest.approx(expected, abs=1e-6)
    assert recommender.description["epochs"] == {"network": fitted.fits["network"].epochs}


def test_early_stop_sees_progress_where_nothing_is_bought_twice(tmp_path: Path) -> None:
    """Everybody walks on through 60 items; after 12 of them the repeat list holds ten."""
    walk = [(5 * user + day) % 60 for user in range(N_USERS) for day in range(N_DAYS)]
    bought = events().assign(item_id=[name_of(item) for item in walk])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        fitted, _ = fit_family("sasrec", make_data(bought), small(epochs=20), seed=3)
    curve = [row["validation"] for row in fitted.fits["network"].curve]
    assert max(curve) > 0.5
    assert max(curve) > 2 * curve[0]


Parts = tuple[SequenceNetwork, Callable[..., tf.Tensor], tuple[Any, ...]]


def parts(data: TrainingData, section: SasrecParams) -> Parts:
    """A fresh network, its loss, and one batch."""
    keras.utils.set_random_seed(1)
    codes = assign_codes(data.histories, len(data.vocabulary), data.cutoff, 100)
    sequences = build_sequences(data.histories, codes, data.cutoff, section.max_length)
    network = build_network(int(codes.max()) + 1, section)
    negatives = Negatives(sequences, section)
    windows = WindowBatches(sequences, section.max_length, section.batch_size)
    batch = next(add_negatives(windows, negatives, np.random.default_rng(0)))
    return network, build_loss(network, negatives, section), batch


def test_the_loss_starts_at_about_the_logarithm_of_the_number_of_items(data: TrainingData) -> None:
    _, loss, batch = parts(data, small(n_negatives=256).sasrec)
    assert float(loss(*batch)) == pytest.approx(np.log(N_ITEMS), rel=0.1)


def test_it_learns_one_batch_by_heart(data: TrainingData) -> None:
    network, loss, batch = parts(data, small(n_negatives=64).sasrec)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(*batch)
        gradients = tape.gradient(value, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return value

    start = float(step())
    for _ in range(150):
        end = float(step())
    assert end < 0.02 * start


def test_a_later_item_does_not_change_what_came_out_before() -> None:
    network = build_network(20, small(n_blocks=2).sasrec)
    codes = np.random.default_rng(0).integers(1, 20, size=(3, 8)).astype(np.int32)
    changed = codes.copy()
    changed[:, 5] = changed[:, 5] % 19 + 1
    one, other = (network(tf.constant(entry)).numpy() for entry in (codes, changed))
    np.testing.assert_array_equal(one[:, :5], other[:, :5])
    assert (np.abs(one[:, 5:] - other[:, 5:]).max(axis=2) > 0).all()


def test_filling_up_on_the_right_changes_nothing() -> None:
    network = build_network(20, small(n_blocks=2).sasrec)
    codes = np.random.default_rng(0).integers(1, 20, size=(3, 5)).astype(np.int32)
    wide = np.pad(codes, ((0, 0), (0, 3)))
    one, other = (network(tf.constant(entry)).numpy() for entry in (codes, wide))
    np.testing.assert_allclose(one, other[:, :5], atol=1e-6)


def test_every_variable_gets_a_gradient(data: TrainingData) -> None:
    network, loss, batch = parts(data, small().sasrec)
    with tf.GradientTape() as tape:
        value = loss(*batch)
    for variable, gradient in zip(
        network.trainable_variables, tape.gradient(value, network.trainable_variables), strict=True
    ):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path
