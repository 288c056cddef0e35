"""Many requests are asked in parts: all of them, in order, the first one alone."""

from threading import Lock

import pytest

from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.requests import Requests, build_requests
from pipeline.recommenders.base.saved import PART, map_parts
from pipeline.recommenders.base.vocabulary import Vocabulary
from tests.support import tiny_shop


@pytest.fixture(scope="module")
def requests() -> Requests:
    vocabulary = Vocabulary(tuple(tiny_shop.item_id(n) for n in range(tiny_shop.N_ITEMS)))
    histories = build_histories(tiny_shop.events(), vocabulary)
    users = [tiny_shop.user_id(n % tiny_shop.N_USERS) for n in range(2 * PART + 10)]
    return build_requests(histories, users, [tiny_shop.START] * len(users))


def test_every_request_is_asked_once_in_order(requests: Requests) -> None:
    assert map_parts(requests, len) == [PART, PART, 10]


def test_what_fails_first_fails_alone(requests: Requests) -> None:
    asked, lock = [], Lock()

    def fail(part: Requests) -> None:
        with lock:
            asked.append(len(part))
        message = "not this model"
        raise ValueError(message)

    with pytest.raises(ValueError, match="not this model"):
        map_parts(requests, fail)
    assert asked == [PART]
