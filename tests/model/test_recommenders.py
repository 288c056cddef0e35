"""One suite for every recommender, on a shop whose answer is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.errors import BundleError, RequestError
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.recommender import Ranked, Recommendations
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.saved import GraphRecommender, load_recommender
from pipeline.recommenders.names import BAGS, BASELINES, FAMILIES
from pipeline.recommenders.onnx.graph import GRAPH, export_onnx, load_onnx
from tests.model.conftest import FittedCandidates, World, make_data, monday
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

REPEAT, EXPLORE, POPULAR = range(3)
CANDIDATES = (*FAMILIES, *BASELINES)
BY_VECTORS = ("sasrec", *BAGS)  # they see no features, only which items go together


@pytest.fixture(params=CANDIDATES)
def recommender(
    request: pytest.FixtureRequest, fitted_by_name: Callable[[str], GraphRecommender]
) -> GraphRecommender:
    return fitted_by_name(request.param)


@pytest.fixture(params=[name for name in CANDIDATES if name != "popular"])
def personal(
    request: pytest.FixtureRequest, fitted_by_name: Callable[[str], GraphRecommender]
) -> GraphRecommender:
    return fitted_by_name(request.param)


def assert_same(one: Recommendations, other: Recommendations, tolerance: float = 1e-5) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.slots, other.slots)
    np.testing.assert_allclose(one.scores, other.scores, rtol=tolerance, atol=tolerance)


def habits_of(world: World) -> list[set[int]]:
    numbers = world.test["user_id"].str.removeprefix("user-").astype(int)
    encode = world.data.vocabulary.encode
    return [
        set(encode([tiny_shop.item_id(n) for n in tiny_shop.habits(number)]).tolist())
        for number in numbers
    ]


def count_habits(world: World, result: Recommendations) -> float:
    habits = habits_of(world)
    return float(
        np.mean(
            [
                len(expected & set(row)) / 6
                for expected, row in zip(habits, result.items.tolist(), strict=True)
            ]
        )
    )


@pytest.mark.parametrize("name", CANDIDATES)
def test_it_has_its_name(name: str, fitted_by_name: Callable[[str], GraphRecommender]) -> None:
    assert fitted_by_name(name).name == name


def test_it_finds_the_habits(personal: GraphRecommender, world: World) -> None:
    enough = 0.8 if personal.name in BY_VECTORS else 0.95
    assert count_habits(world, personal.recommend(world.requests, 8)) > enough


def test_the_popular_list_does_not_find_them(fitted: FittedCandidates, world: World) -> None:
    recommendations = fitted.recommenders["popular"].recommend(world.requests, 8)
    assert count_habits(world, recommendations) < 0.3
    assert len({tuple(row) for row in recommendations.items.tolist()}) == 1


def test_a_batch_gives_what_each_request_alone_gives(
    recommender: GraphRecommender, world: World
) -> None:
    several = world.cart_requests.part(0, 40)
    batch = recommender.recommend(several, 12, explore_slots=4)
    for at in range(0, 40, 5):
        alone = recommender.recommend(several.part(at, at + 1), 12, explore_slots=4)
        row = slice(at, at + 1)
        assert_same(alone, Recommendations(batch.items[row], batch.scores[row], batch.slots[row]))


def test_more_requests_than_one_part_keep_their_order(
    recommender: GraphRecommender, world: World
) -> None:
    assert len(world.requests) > 256
    whole = recommender.recommend(world.requests, 5)
    last = len(world.requests)
    tail = recommender.recommend(world.requests.part(last - 20, last), 5)
    assert_same(tail, Recommendations(whole.items[-20:], whole.scores[-20:], whole.slots[-20:]))


@pytest.mark.parametrize("explore_slots", [0, 5])
def test_what_is_in_the_cart_is_never_offered(
    recommender: GraphRecommender, world: World, explore_slots: int
) -> None:
    recommendations = recommender.recommend(world.cart_requests, 60, explore_slots=explore_slots)
    in_cart = (recommendations.items[:, :, None] == world.carts[:, None, :]).any()
    assert not in_cart


def test_without_a_cart_the_habits_in_it_would_be_offered(
    personal: GraphRecommender, world: World
) -> None:
    recommendations = personal.recommend(world.requests, 8)
    offered = (recommendations.items[:, :, None] == world.carts[:, None, :2]).any(axis=1)
    assert offered.mean() > (0.75 if personal.name in BY_VECTORS else 0.9)


def test_a_k_beyond_the_catalogue_gives_every_item_once(
    recommender: GraphRecommender, world: World
) -> None:
    recommendations = recommender.recommend(world.requests.part(0, 20), 100, explore_slots=10)
    assert (
        recommendations.items.shape
        == recommendations.scores.shape
        == recommendations.slots.shape
        == (20, 100)
    )
    for row in recommendations.items:
        assert sorted(row[row > 0]) == list(range(1, tiny_shop.N_ITEMS + 1))


def test_a_user_without_history_gets_a_full_list(
    recommender: GraphRecommender, world: World
) -> None:
    asked = build_requests(
        world.data.histories,
        ["nobody", "user-03"],
        np.array([monday(18).timestamp()] * 2),
        attributes=world.data.attributes,
    )
    assert asked.row_splits[1] == 0
    for requests in (asked, asked.part(0, 1)):
        recommendations = recommender.recommend(requests, 10, explore_slots=3)
        assert (recommendations.items > 0).all()
        assert len(set(recommendations.items[0].tolist())) == 10
        assert np.isfinite(recommendations.scores).all()


def test_no_history_and_no_attribute_and_no_look_is_a_request_too(
    recommender: GraphRecommender, world: World
) -> None:
    viewed = [np.array([4, 5]), np.array([], dtype=np.int32)]
    asked = build_requests(
        world.data.histories,
        ["nobody", "user-03"],
        np.array([monday(60).timestamp()] * 2),
        viewed=viewed,
        attributes=world.data.attributes,
    )
    assert (recommender.recommend(asked, 10, explore_slots=10).items > 0).all()


def test_it_is_the_same_after_saving_and_loading(
    recommender: GraphRecommender, world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    recommender.save(folder)
    loaded = load_recommender(folder)
    assert loaded.description == recommender.description
    assert loaded.vocabulary == recommender.vocabulary
    for requests in (world.requests.part(0, 30), world.cart_requests.part(0, 30)):
        assert_same(
            loaded.recommend(requests, 70, explore_slots=5),
            recommender.recommend(requests, 70, explore_slots=5),
            tolerance=1e-6,
        )


def test_scores_fall_within_each_kind_of_slot(recommender: GraphRecommender, world: World) -> None:
    recommendations = recommender.recommend(world.cart_requests, 60, explore_slots=7)
    for row in range(0, len(recommendations.items), 9):
        for slot in (REPEAT, EXPLORE, POPULAR):
            in_slot = (recommendations.slots[row] == slot) & (recommendations.items[row] > 0)
            assert (np.diff(recommendations.scores[row][in_slot]) <= 0).all()


def bought(requests: Requests, row: int) -> set[int]:
    start, stop = requests.row_splits[row : row + 2]
    return set(requests.item[start:stop].tolist())


def test_the_explore_list_holds_nothing_bought_before(
    recommender: GraphRecommender, world: World
) -> None:
    ranked = recommender.rank(world.requests, 60)
    for row in range(0, len(world.requests), 9):
        explored = set(ranked.explore_items[row].tolist()) - {0}
        repeat_items = bought(world.requests, row)
        assert not explored & repeat_items
        assert len(explored) == tiny_shop.N_ITEMS - len(repeat_items)


def test_the_repeat_list_holds_only_what_was_bought_before(
    personal: GraphRecommender, world: World
) -> None:
    ranked = personal.rank(world.requests, 60)
    for row in range(0, len(world.requests), 9):
        assert set(ranked.repeat_items[row].tolist()) - {0} == bought(world.requests, row)


def test_explore_slots_hold_new_items(personal: GraphRecommender, world: World) -> None:
    recommendations = personal.recommend(world.requests, 10, explore_slots=3)
    assert (recommendations.slots == [REPEAT] * 7 + [EXPLORE] * 3).all()


def test_what_happens_after_the_request_changes_nothing(
    recommender: GraphRecommender, world: World
) -> None:
    moment = monday(19).timestamp()
    users = [tiny_shop.user_id(n) for n in range(20)]
    known = world.events[world.events["timestamp"] < monday(19)]
    lists = []
    for events in (known, world.events):
        histories = build_histories(events, world.data.vocabulary)
        requests = build_requests(
            histories, users, np.full(20, moment), attributes=world.data.attributes
        )
        lists.append(recommender.recommend(requests, 30, explore_slots=5))
    assert_same(*lists, tolerance=0.0)


@pytest.mark.parametrize(("k", "explore_slots"), [(0, 0), (-3, 0), (5, 6), (5, -1)])
def test_impossible_sizes_are_refused(
    recommender: GraphRecommender, world: World, k: int, explore_slots: int
) -> None:
    with pytest.raises(RequestError):
        recommender.recommend(world.requests.part(0, 1), k, explore_slots=explore_slots)


def test_requests_are_left_as_they_were(recommender: GraphRecommender, world: World) -> None:
    part = world.cart_requests.part(0, 10)
    before = {name: getattr(part, name).copy() for name in Requests.__dataclass_fields__}
    ranked: Ranked = recommender.rank(part, 5)
    assert ranked.repeat_items.shape == (10, 5)
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(part, name), values)


def test_a_shop_does_not_know_what_comes_after_its_cutoff(world: World) -> None:
    """Later events, of known and of new items, and later examples leave the shop as it is."""
    late = world.events["timestamp"] >= monday(18)
    changed = world.events.copy()
    changed.loc[late, "item_id"] = "item-new"
    other = make_data(changed, monday(18))
    assert other.vocabulary == world.data.vocabulary
    for name in ("row_splits", "item", "time", "basket", "quantity", "price"):
        np.testing.assert_array_equal(
            getattr(other.histories, name), getattr(world.data.histories, name)
        )
    pd.testing.assert_frame_equal(other.train, world.data.train)
    pd.testing.assert_frame_equal(other.validation, world.data.validation)
    assert (world.data.validation["timestamp"] < monday(18)).all()


@pytest.mark.parametrize("name", CANDIDATES)
def test_onnx_runtime_answers_what_tensorflow_does(
    name: str,
    fitted_by_name: Callable[[str], GraphRecommender],
    world: World,
    tmp_path: Path,
) -> None:
    recommender = fitted_by_name(name)
    recommender.save(tmp_path)
    export_onnx(recommender.module, tmp_path / GRAPH)
    served = load_onnx(tmp_path)
    strangers = build_requests(
        world.later.histories,
        ["nobody", "user-0"],
        pd.to_datetime(["2020-01-06", "2024-06-03"], utc=True),
        attributes=world.later.attributes,
    )
    for asked in (world.requests, world.cart_requests, strangers):
        wanted, why = recommender.explain(asked, 8, explore_slots=2)
        result, reported = served.explain(asked, 8, explore_slots=2)
        # Scores that are equal but for rounding may change places.
        np.testing.assert_allclose(result.scores, wanted.scores, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(result.slots, wanted.slots)
        here, mask = np.argsort(result.items, axis=1), np.argsort(wanted.items, axis=1)
        rows = np.arange(len(asked))[:, None]
        np.testing.assert_array_equal(result.items[rows, here], wanted.items[rows, mask])
        np.testing.assert_allclose(
            reported.why[rows, here], why.why[rows, mask], rtol=1e-4, atol=1e-4
        )
        np.testing.assert_array_equal(reported.values[rows, here], why.values[rows, mask])
        assert (reported.groups, reported.facts) == (why.groups, why.facts)
        assert_same(served.recommend(asked, 8, explore_slots=2), result)


def test_an_operation_that_onnx_has_not_is_a_bundle_error(tmp_path: Path) -> None:
    import tensorflow as tf

    class Strange(tf.Module):
        groups, facts = (), ()

        def serve_explained(self, *inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"scores": tf.math.igamma(inputs[2], inputs[2])}

    with pytest.raises(BundleError, match="handler"):
        export_onnx(Strange(), tmp_path / GRAPH)
    assert not (tmp_path / GRAPH).exists()


def test_a_damaged_onnx_graph_is_a_bundle_error(fitted: FittedCandidates, tmp_path: Path) -> None:
    fitted.recommenders["personal"].save(tmp_path)
    with pytest.raises(BundleError, match=", got "):
        load_onnx(tmp_path)
    (tmp_path / GRAPH).write_bytes(b"no graph")
    with pytest.raises(BundleError, match=", got "):
        load_onnx(tmp_path)


class TestASavedModel:
    """What is not what was saved is refused."""

    @pytest.fixture
    def folder(self, fitted: FittedCandidates, tmp_path: Path) -> Path:
        folder = tmp_path / "saved"
        fitted.recommenders["personal"].save(folder)
        return folder

    @pytest.mark.parametrize(
        "damage",
        [
            lambda f: (f / "saved_model" / "saved_model.pb").unlink(),
            lambda f: (f / "saved_model" / "saved_model.pb").write_bytes(b"no model"),
            lambda f: (f / "vocabulary.json").unlink(),
            lambda f: (f / "vocabulary.json").write_bytes(b"\xff\xfe\xff"),
            lambda f: (f / "model.json").unlink(),
            lambda f: (f / "model.json").write_text("{"),
            lambda f: (f / "vocabulary.json").write_text('["milk"]'),
        ],
        ids=[
            "no graph",
            "graph",
            "no vocabulary",
            "vocabulary",
            "no json",
            "json",
            "mismatch",
        ],
    )
    def test_damage_is_a_bundle_error(self, folder: Path, damage: Callable[[Path], object]) -> None:
        damage(folder)
        with pytest.raises(BundleError, match=", got "):
            load_recommender(folder)
