"""The quality benchmark at one cut-off of the tiny shop, after labeling."""

from datetime import date, timedelta

import numpy as np
import pytest

from benchmarks.quality.peers.moment import read_moment, with_validation
from benchmarks.quality.peers.run import measure
from pipeline.collection.__main__ import main as collect
from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.params import Params, read_params
from pipeline.contracts.schemas import PROTOCOLS
from pipeline.labeling.__main__ import main as label
from pipeline.planning.__main__ import main as plan
from pipeline.testing.protocols import TITLES
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

AS_OF = tiny_shop.START.date() + timedelta(weeks=22)
TEST_OPENS = AS_OF - timedelta(days=28)


@pytest.fixture
def params(shop_folder) -> Params:
    assert [plan([]), collect([]), label([])] == [0, 0, 0]
    return read_params()


def test_a_cutoff_knows_nothing_that_came_after_it(params):
    moment = read_moment(AS_OF, params)
    shop, cutoff = moment.shop, params.shop.midnight(AS_OF)
    assert shop.histories.time.max() < shop.cutoff == cutoff.timestamp()
    assert shop.train["cutoff"].max() == params.shop.midnight(TEST_OPENS)
    assert set(shop.train["protocol"]) == set(PROTOCOLS)
    rolling = moment.questions["rolling"]
    assert (rolling.examples["cutoff"] == cutoff).all()
    assert rolling.requests.time.min() >= shop.cutoff
    assert (rolling.requests.age_days > 0).all()
    chosen = with_validation(shop)
    assert set(chosen.validation["cutoff"]) == {shop.train["cutoff"].max()}
    assert chosen.train["cutoff"].max() < chosen.validation["cutoff"].min()
    assert shop.validation.empty


def test_counting_a_habit_beats_the_popular_list_on_both_protocols_and_levels(params):
    values, cost = measure("decayed", TEST_OPENS, params)
    popular, _ = measure("popular", TEST_OPENS, params)
    for protocol in TITLES:
        assert len(values[f"{protocol}/users/code"]) == len(values[f"{protocol}/product/recall@10"])
        key = f"{protocol}/product/recall@10"
        assert np.nanmean(values[key]) > np.nanmean(popular[key]) + 0.2
        assert np.isfinite(np.nanmean(values[f"{protocol}/product_type/ndcg@10"]))
    assert cost["peak_gib"] > 0


def test_a_family_is_fitted_on_everything_for_as_long_as_the_last_window_said(params):
    values, cost = measure("mlp", AS_OF, params)
    assert cost["notes"]["epochs"]["network"] >= 1
    assert np.nanmean(values["rolling/product/recall@10"]) > 0.5


def test_a_day_without_a_window_says_which_there_are(params):
    with pytest.raises(DataQualityError, match=str(AS_OF)):
        read_moment(date(2024, 1, 2), params)
