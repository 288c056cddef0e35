"""The families that see a shopper as a bag of items, on a checkerboard with a known answer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.params import PARAMS_PATH, read_params
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.saved import GraphRecommender, load_recommender
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.family import FittedFamily, validation_start
from pipeline.recommenders.fitting.fit import clear_checkpoints
from pipeline.recommenders.names import BAGS
from pipeline.recommenders.registry import get_family
from pipeline.recommenders.vectors.bags import UNKNOWN, BagGraph
from pipeline.training.fit.candidates import fit_family, measure_on_validation, refit
from tests.model import two_groups
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

SEED = 3
ALL = two_groups.N_ITEMS


@pytest.fixture(scope="session")
def data() -> TrainingData:
    return two_groups.data()


def fit_in(
    folder: Path, name: str, data: TrainingData, n_epochs: int, **changes: object
) -> tuple[FittedFamily, GraphRecommender]:
    """Fit for so many epochs: validation has nothing to say where all lists are equally good."""
    params = two_groups.params(**{name: changes})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return fit_family(name, data, params, seed=SEED, epochs={name: n_epochs})


@pytest.fixture(scope="session", params=BAGS)
def fitted(
    request: pytest.FixtureRequest, data: TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FittedFamily, GraphRecommender]:
    n_epochs = two_groups.params().of(request.param).epochs
    return fit_in(tmp_path_factory.mktemp("fit"), request.param, data, n_epochs)


@pytest.fixture(scope="session", params=BAGS)
def one_epoch(
    request: pytest.FixtureRequest, data: TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> GraphRecommender:
    return fit_in(tmp_path_factory.mktemp("fit"), request.param, data, 1)[1]


@pytest.fixture
def recommender(fitted: tuple[FittedFamily, GraphRecommender]) -> GraphRecommender:
    return fitted[1]


def graph_of(recommender: GraphRecommender) -> BagGraph:
    assert isinstance(recommender.module, BagGraph)
    return recommender.module


def asked(data: TrainingData, lines: pd.DataFrame, users: list[str], day: int) -> Requests:
    histories = build_histories(lines, data.vocabulary)
    moments = np.full(len(users), two_groups.day(day).timestamp())
    return build_requests(histories, users, moments)


@pytest.fixture(scope="session")
def requests(data: TrainingData) -> Requests:
    users = [two_groups.user_id(number) for number in range(two_groups.N_USERS)]
    return asked(data, two_groups.events(), users, two_groups.CUTOFF_DAY)


def half_of(data: TrainingData, user: int) -> set[int]:
    names = [two_groups.item_id(item) for item in two_groups.own_half(user)]
    return set(data.vocabulary.encode(names).tolist())


def test_everyone_explores_what_the_own_group_buys(
    recommender: GraphRecommender, data: TrainingData, requests: Requests
) -> None:
    first = recommender.rank(requests, 1).explore_items[:, 0]
    wanted = [two_groups.item_id(two_groups.never_bought(n)) for n in range(two_groups.N_USERS)]
    assert (first == data.vocabulary.encode(wanted)).mean() > 0.9


def test_a_list_puts_the_own_group_before_the_other(
    recommender: GraphRecommender, data: TrainingData, requests: Requests
) -> None:
    items = recommender.recommend(requests, len(two_groups.own_half(0))).items
    shares = [len(half_of(data, user) & set(row)) / 6 for user, row in enumerate(items.tolist())]
    assert np.mean(shares) > 0.97


def test_a_stranger_with_two_purchases_is_understood(
    recommender: GraphRecommender, data: TrainingData
) -> None:
    lines = two_groups.events()
    lines = lines[lines["user_id"] == two_groups.user_id(0)]
    two = lines[lines["item_id"].isin(sorted(lines["item_id"].unique())[:2])]
    strangers = asked(data, two.assign(user_id="stranger"), ["stranger"], two_groups.CUTOFF_DAY)
    explore_items = recommender.rank(strangers, 4).explore_items[0]
    assert set(explore_items.tolist()) <= half_of(data, 0)


def test_nobody_gets_a_full_list(recommender: GraphRecommender, data: TrainingData) -> None:
    nobody = asked(data, two_groups.events(), ["nobody"], two_groups.CUTOFF_DAY)
    recommendations = recommender.recommend(nobody, ALL, explore_slots=3)
    assert sorted(recommendations.items[0].tolist()) == list(range(1, ALL + 1))
    assert np.isfinite(recommendations.scores).all()


def test_a_k_beyond_the_catalogue_gives_every_item_once(
    recommender: GraphRecommender, requests: Requests
) -> None:
    recommendations = recommender.recommend(requests.part(0, 6), 50, explore_slots=5)
    for row in recommendations.items:
        assert sorted(row[row > 0].tolist()) == list(range(1, ALL + 1))


def test_a_batch_gives_what_each_request_alone_gives(
    recommender: GraphRecommender, requests: Requests
) -> None:
    batch = recommender.rank(requests, ALL)
    for at in range(0, len(requests), 7):
        alone = recommender.rank(requests.part(at, at + 1), ALL)
        np.testing.assert_allclose(
            alone.explore_scores[0], batch.explore_scores[at], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            alone.repeat_scores[0], batch.repeat_scores[at], rtol=1e-4, atol=1e-5
        )


def test_it_is_the_same_after_saving_and_loading(
    recommender: GraphRecommender, requests: Requests, tmp_path: Path
) -> None:
    recommender.save(tmp_path / "saved")
    loaded = load_recommender(tmp_path / "saved")
    before, after = recommender.rank(requests, ALL), loaded.rank(requests, ALL)
    np.testing.assert_array_equal(before.explore_items, after.explore_items)
    np.testing.assert_array_equal(before.repeat_items, after.repeat_items)
    np.testing.assert_allclose(before.repeat_scores, after.repeat_scores, rtol=1e-6)


def test_its_loss_falls(fitted: tuple[FittedFamily, GraphRecommender]) -> None:
    family, recommender = fitted
    curve = family.fits[recommender.name].curve
    falls = [row["loss"] for row in curve]
    assert falls[-1] < falls[0] or recommender.name == "irgan"  # whose opponent grows too


def test_at_its_own_cutoff_it_is_the_same(
    recommender: GraphRecommender, data: TrainingData, requests: Requests
) -> None:
    family = get_family(recommender.name)
    graph = graph_of(recommender)
    same = family.at(data.cutoff, graph, data, two_groups.params())
    assert same is not graph
    again = GraphRecommender(recommender.description, recommender.vocabulary, same)
    np.testing.assert_array_equal(
        again.rank(requests, ALL).explore_items, recommender.rank(requests, ALL).explore_items
    )


def test_its_quality_on_validation_is_that_of_a_list_of_the_own_group(
    recommender: GraphRecommender, data: TrainingData
) -> None:
    on_validation = measure_on_validation(recommender.name, recommender, data, two_groups.params())
    assert (
        on_validation["recall@10"] == 1.0
    )  # five items of the own half are bought again and again


def assert_same_vectors(one: GraphRecommender, other: GraphRecommender) -> None:
    for part, values in graph_of(one).values().items():
        np.testing.assert_array_equal(values, graph_of(other).values()[part])


def test_the_same_seed_gives_the_same_vectors(
    one_epoch: GraphRecommender, data: TrainingData, tmp_path: Path
) -> None:
    assert_same_vectors(one_epoch, fit_in(tmp_path, one_epoch.name, data, 1)[1])


def test_what_is_bought_in_the_validation_window_is_not_learned_from(
    one_epoch: GraphRecommender, data: TrainingData, tmp_path: Path
) -> None:
    lines = two_groups.events()
    late = lines["timestamp"] >= pd.Timestamp(validation_start(data), unit="s", tz="UTC")
    lines.loc[late, "item_id"] = two_groups.item_id(4)
    changed = two_groups.data(lines)
    assert_same_vectors(one_epoch, fit_in(tmp_path, one_epoch.name, changed, 1)[1])


@pytest.mark.parametrize("name", BAGS)
class TestFittedAnew:
    """What needs a fit of its own."""

    def test_it_stops_by_validation_and_is_fitted_again_without(
        self, name: str, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        params = two_groups.params(**{name: {"patience": 1, "epochs": 2}})
        first, recommender = fit_family(name, data, params, seed=SEED)
        assert all(0.5 < row["validation"] <= 1.0 for row in first.fits[name].curve)
        clear_checkpoints()
        baselines = read_params(tiny_shop.PROJECT / PARAMS_PATH).training.baselines
        again = refit(recommender.description, data, params, baselines, seed=SEED)
        assert again.description["epochs"] == recommender.description["epochs"]

    def test_two_items_are_enough(self, name: str, tmp_path: Path) -> None:
        lines = two_groups.events()
        lines = lines[lines["item_id"].isin(["item-00", "item-02"])].reset_index(drop=True)
        small = two_groups.data(lines)
        _, recommender = fit_in(tmp_path, name, small, 1)
        recommendations = recommender.recommend(small.build_requests(small.validation.iloc[:5]), 10)
        assert all(sorted(row[row > 0].tolist()) == [1, 2] for row in recommendations.items)

    def test_items_beyond_the_limit_come_last_but_come(
        self, name: str, data: TrainingData, requests: Requests, tmp_path: Path
    ) -> None:
        _, recommender = fit_in(tmp_path, name, data, 1, maximum_items=7)
        bias = graph_of(recommender).values()["bias"]
        assert (bias > UNKNOWN / 2).sum() == 7
        unknown = set(np.flatnonzero(bias == UNKNOWN).tolist()) - {0}
        ranked = recommender.rank(requests, ALL)
        for items in (ranked.repeat_items, ranked.explore_items):
            for row in items:
                is_unknown = [item in unknown for item in row[row > 0].tolist()]
                assert is_unknown == sorted(is_unknown)
        counts = [(items > 0).sum(axis=1) for items in (ranked.repeat_items, ranked.explore_items)]
        assert (sum(counts) == ALL).all()
