from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality.peers.types import first_types, item_types, type_answers, type_questions
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.measure import EvaluationSet, Predictions, compute_metrics

# Codes: milk 1, product beet 2, tea 3; beet has no type.
ITEMS = pd.DataFrame(
    {
        "item_id": ["beet", "earl", "green", "skimmed", "whole"],
        "type": [None, "tea", "tea", "milk", "milk"],
    }
)
VOCABULARY = Vocabulary(("beet", "earl", "skimmed", "whole"))  # green was never sold
TYPES = item_types(ITEMS, VOCABULARY)


def test_items_of_one_type_share_a_code_and_an_item_without_type_has_its_own():
    assert TYPES.names == ("milk", "product beet", "tea")
    assert TYPES.of_index.tolist() == [0, 2, 3, 1, 1]


def test_an_item_that_is_not_described_is_a_type_of_its_own():
    types = item_types(ITEMS, Vocabulary(("beet", "new")))
    assert types.names[types.of_index[2] - 1] == "product new"


@pytest.mark.parametrize(
    ("items", "k", "wanted"),
    [
        ([3, 4, 2, 1], 3, [1, 3, 2]),  # skimmed, whole, earl, beet
        ([3, 4, 2, 1], 2, [1, 3]),
        ([4, 0, 3, 0], 3, [1, 0, 0]),
        ([2], 3, [3, 0, 0]),
    ],
)
def test_types_keep_the_order_of_their_first_product(items, k, wanted):
    assert first_types(np.array([items], dtype=np.int32), TYPES, k).tolist() == [wanted]


def _questions() -> EvaluationSet:
    """One shopper who bought whole milk, then wants skimmed, earl and the never sold green tea."""
    events = pd.DataFrame(
        {
            "user_id": ["ann"],
            "item_id": ["whole"],
            "timestamp": pd.to_datetime(["2017-01-01"], utc=True),
            "event_type": ["purchase"],
            "quantity": [1.0],
            "price": [1.0],
            "basket_id": ["b1"],
        }
    )
    examples = pd.DataFrame({"user_id": ["ann"], "labels": [["earl", "green", "skimmed"]]})
    times = pd.Series(pd.to_datetime(["2017-01-05"], utc=True))
    requests = build_requests(build_histories(events, VOCABULARY), ["ann"], times)
    return EvaluationSet.of(examples, requests, VOCABULARY)


def test_truth_counts_each_type_once_and_knows_products_that_never_sold():
    found = type_questions(_questions(), TYPES)
    assert found.label_item.tolist() == [1, 3]  # milk, tea
    assert found.n_true.tolist() == [2]


def test_a_type_is_a_repeat_when_another_product_of_it_was_bought():
    questions = _questions()
    assert not questions.is_repeat.any()
    assert type_questions(questions, TYPES).is_repeat.tolist() == [True, False]


def test_metrics_of_types_by_hand():
    items = np.array([[4, 3, 1]], dtype=np.int32)  # whole, skimmed, beet: types milk, beet
    nothing = np.zeros(items.shape)
    plain = Recommendations(items, nothing, nothing)
    answers = Predictions(plain, plain, items)
    found = compute_metrics(
        type_answers(answers, TYPES, 2), type_questions(_questions(), TYPES), (2,)
    )
    assert found["recall@2"].tolist() == [1 / 2]
    assert found["repeat_recall@2"].tolist() == [1.0]
    assert found["explore_recall@2"].tolist() == [0.0]
    assert found["ndcg@2"].tolist() == pytest.approx([1 / (1 + 1 / np.log2(3))])


def test_the_arguments_stay_as_they_were():
    questions = _questions()
    before = replace(questions)
    type_questions(questions, TYPES)
    assert questions == before or questions.label_item.tolist() == before.label_item.tolist()
