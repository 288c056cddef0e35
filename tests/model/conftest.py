"""Every candidate, fitted once on the tiny shop, and what is asked of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.params import Params
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import GraphRecommender
from pipeline.recommenders.base.training_data import TrainingData, build_training_data
from pipeline.recommenders.base.vocabulary import Ints
from pipeline.recommenders.fitting.family import FittedFamily
from pipeline.recommenders.names import BASELINES
from pipeline.training.fit.candidates import build_baseline_recommender, fit_family
from tests.support import tiny_shop

TRAIN_WEEKS, VALIDATION_WEEKS, TEST_WEEKS = range(6, 14), range(14, 18), range(18, 22)
WINDOW_WEEKS = 4


def monday(week: int) -> pd.Timestamp:
    return pd.Timestamp(tiny_shop.START) + pd.Timedelta(weeks=week)


def examples(events: pd.DataFrame, weeks: range, split: str) -> pd.DataFrame:
    """One example per basket; every third has its first item in the cart."""
    since = (events["timestamp"] - tiny_shop.START).dt.days // 7
    rows = []
    for number, (basket, lines) in enumerate(
        events[since.isin(weeks)].groupby("basket_id", sort=True)
    ):
        moment, items = lines["timestamp"].min(), sorted(lines["item_id"])
        week = (moment - tiny_shop.START).days // 7
        n_in_cart = 1 if split == "train" and number % 3 == 0 and len(items) > 1 else 0
        opens = weeks.start + (week - weeks.start) // WINDOW_WEEKS * WINDOW_WEEKS
        rows.append(
            {
                "split": split,
                "protocol": "rolling",
                "cutoff": monday(opens),
                "user_id": lines["user_id"].iloc[0],
                "timestamp": moment,
                "basket_id": basket,
                "n_earlier_baskets": week,
                "cart": items[:n_in_cart],
                "labels": items[n_in_cart:],
                "relevance": [1.0] * len(items[n_in_cart:]),
            }
        )
    return pd.DataFrame(rows)


def make_data(events: pd.DataFrame, cutoff: pd.Timestamp) -> TrainingData:
    return build_training_data(
        cutoff=cutoff,
        timezone="UTC",
        events=events,
        items=tiny_shop.items(),
        users=tiny_shop.users(),
        offers=tiny_shop.clean_offers(),
        train=examples(events, TRAIN_WEEKS, "train"),
        validation=examples(events, VALIDATION_WEEKS, "validation"),
    )


@dataclass(frozen=True)
class World:
    """The tiny shop before its test window, and its requests in the test window.

    Attributes:
        events: All, the test window's included.
        data: What may be known before the test window.
        later: The same with the histories up to `shop.as_of`: what test requests see.
        params: Small.
        test: Examples of the test window.
        requests: One per test example.
        cart_requests: The same with three items in each cart: two habits and a product at random.
        carts: Those items, [n, 3].
    """

    events: pd.DataFrame
    data: TrainingData
    later: TrainingData
    params: Params
    test: pd.DataFrame
    requests: Requests
    cart_requests: Requests
    carts: Ints


@pytest.fixture(scope="session")
def world() -> World:
    events = tiny_shop.events()
    params = Params.model_validate(tiny_shop.params())
    data, later = make_data(events, monday(18)), make_data(events, monday(22))
    test = examples(events, TEST_WEEKS, "test")
    carts = [cart_of(name) for name in test["user_id"]]
    in_cart = test.assign(cart=pd.Series(carts, dtype=object))
    return World(
        events=events,
        data=data,
        later=later,
        params=params,
        test=test,
        requests=later.build_requests(test),
        cart_requests=later.build_requests(in_cart),
        carts=np.array([data.vocabulary.encode(cart) for cart in carts]),
    )


def cart_of(name: str) -> list[str]:
    """Two habits of a shopper, and a product that is none."""
    number = int(name.removeprefix("user-"))
    habits = tiny_shop.habits(number)
    other = next(n for n in range(number % 7, tiny_shop.N_ITEMS) if n not in habits)
    return [tiny_shop.item_id(n) for n in (*habits[:2], other)]


@dataclass(frozen=True)
class FittedCandidates:
    """The family mlp and every baseline."""

    recommenders: dict[str, GraphRecommender]
    family: FittedFamily


@pytest.fixture(scope="session")
def fitted(world: World, tmp_path_factory: pytest.TempPathFactory) -> FittedCandidates:
    return fit_in(tmp_path_factory.mktemp("fitting"), world.data, world.params)


@pytest.fixture(scope="session")
def fitted_by_name(
    world: World, fitted: FittedCandidates, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], GraphRecommender]:
    """Any candidate; a family is fitted when it is first asked for."""
    known, seed = dict(fitted.recommenders), world.params.shop.seed
    params = world.params.families.without_learning_curve()

    def of(name: str) -> GraphRecommender:
        if name not in known:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(tmp_path_factory.mktemp(name))
                known[name] = fit_family(name, world.data, params, seed=seed)[1]
        return known[name]

    return of


def fit_in(folder: Path, data: TrainingData, params: Params) -> FittedCandidates:
    """Fit with the checkpoints in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        family, recommender = fit_family("mlp", data, params.families, seed=params.shop.seed)
    results = {"mlp": recommender}
    for name in BASELINES:
        results[name] = build_baseline_recommender(name, data, params.training.baselines)
    return FittedCandidates(results, family)


@pytest.fixture(scope="session")
def ranker(fitted: FittedCandidates) -> GraphRecommender:
    return fitted.recommenders["mlp"]
