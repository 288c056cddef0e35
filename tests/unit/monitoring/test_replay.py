import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from pipeline.monitoring import replay as replaying
from pipeline.monitoring.replay import MAXIMUM_ATTEMPTS, replay
from pipeline.monitoring.traffic import Traffic
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.client import ServiceError
from pipeline.serving.payloads import Event, RecommendAnswer, RecommendedItem, RecommendRequest

START = datetime(2017, 12, 4, tzinfo=UTC)
VOCABULARY = Vocabulary(("a", "b", "c"))


class Diary:
    """A service that answers with the received events of the shopper, in order."""

    def __init__(
        self, fail_on: str = "", status: int | None = 500, n_failures: int | None = None
    ) -> None:
        self.received: list[Event] = []
        self.asked: list[RecommendRequest] = []
        self.n_posts = 0
        self._fail_on = fail_on
        self._status = status
        self._n_failures = n_failures
        self._lock = threading.Lock()

    def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        with self._lock:
            self.asked.append(request)
            bought_before = [e.item_id for e in self.received if e.user_id == request.user_id]
        if request.user_id == self._fail_on:
            self._fail()
        items = [
            RecommendedItem(
                item_id=name, title="", rank=rank, score=-rank, slot="explore", reasons=[]
            )
            for rank, name in enumerate(bought_before[: request.k], start=1)
        ]
        return RecommendAnswer(request_id="r", model_version="v", items=items)

    def send(self, events: Sequence[Event]) -> None:
        if self._fail_on == "events":
            self._fail()
        with self._lock:
            self.received.extend(events)
            self.n_posts += 1

    def metrics(self) -> str:
        return ""

    def _fail(self) -> None:
        """Raise the given number of times, or always."""
        if self._n_failures is not None:
            if self._n_failures == 0:
                return
            self._n_failures -= 1
        error = ServiceError("An answer", received="none", action="Wait.")
        error.status = self._status
        raise error


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "pause_seconds", lambda _attempt: 0.0)


def moments(hours: list[int]) -> pd.Series:
    return pd.Series(pd.Timestamp(START) + pd.to_timedelta(hours, unit="h"))


def traffic(examples: list[tuple[str, int]], events: list[tuple[str, str, int]]) -> Traffic:
    asked = pd.DataFrame(examples, columns=["user_id", "hour"])
    bought = pd.DataFrame(events, columns=["user_id", "item_id", "hour"])
    return Traffic(
        start=START,
        examples=asked.assign(
            timestamp=moments(asked["hour"].tolist()), cart=[[] for _ in examples]
        ),
        events=bought.assign(
            timestamp=moments(bought["hour"].tolist()),
            event_type="purchase",
            quantity=1.0,
            price=2.0,
            basket_id=None,
        ),
        n_baskets=len(examples),
        n_days=1.0,
    )


def test_a_request_sees_what_was_bought_before_it_and_nothing_at_its_own_moment() -> None:
    shown = replay(
        traffic([("u", 1), ("u", 2), ("u", 3)], [("u", "a", 1), ("u", "b", 2), ("u", "c", 3)]),
        Diary(),
        VOCABULARY,
        k=3,
    ).served
    assert shown.items.tolist() == [[0, 0, 0], [1, 0, 0], [1, 2, 0]]
    assert shown.slots[2].tolist() == [1, 1, 0]
    assert shown.scores[2].tolist() == [-1.0, -2.0, 0.0]


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_answers_stand_in_the_order_of_the_examples_whatever_the_workers(n_workers: int) -> None:
    users = [f"u{n}" for n in range(7)]
    examples = [(user, hour) for hour in range(1, 9) for user in users]
    bought = [
        (user, "abc"[(hour + n) % 3], hour) for hour in range(8) for n, user in enumerate(users)
    ]
    replies = replay(traffic(examples, bought), Diary(), VOCABULARY, k=8, n_workers=n_workers)
    assert replies.served.items[-1].tolist() == [(hour + 6) % 3 + 1 for hour in range(8)]
    assert not replies.failed.any()


def test_events_of_shoppers_who_do_not_ask_are_told_too() -> None:
    diary = Diary()
    replay(traffic([("u", 1)], [("silent", "a", 5)]), diary, VOCABULARY, k=1)
    assert [event.user_id for event in diary.received] == ["silent"]


def test_events_wait_until_their_shopper_asks_again() -> None:
    diary = Diary()
    bought = [(f"u{n}", "a", 1) for n in range(50)]
    examples = [(f"u{n}", 2) for n in range(50)]
    replay(traffic(examples, bought), diary, VOCABULARY, k=1, n_workers=1)
    assert diary.n_posts == 1


def test_every_event_has_an_id_of_its_own() -> None:
    diary = Diary()
    replay(traffic([], [("u", "a", 1), ("u", "a", 1)]), diary, VOCABULARY, k=1)
    assert len({event.event_id for event in diary.received}) == 2


def test_a_refused_request_is_counted_and_the_others_go_on() -> None:
    replies = replay(traffic([("u", 1), ("v", 2)], []), Diary(fail_on="u"), VOCABULARY, k=1)
    assert replies.failed.tolist() == [True, False]
    assert np.isnan(replies.latency_ms).tolist() == [True, False]


@pytest.mark.parametrize("status", [429, 503, None])
def test_every_failed_attempt_is_counted_though_a_later_one_is_answered(status: int | None) -> None:
    diary = Diary(fail_on="u", status=status, n_failures=2)
    replies = replay(traffic([("u", 1), ("u", 2), ("v", 3)], []), diary, VOCABULARY, k=1)
    assert not replies.failed.any()
    assert (replies.calls.n, replies.calls.n_failed_first, replies.calls.n_failed_attempts) == (
        3,
        1,
        2,
    )


def test_an_attempt_to_send_events_that_fails_is_counted_too() -> None:
    replies = replay(
        traffic([("u", 2)], [("u", "a", 1)]), Diary("events", 503, n_failures=1), VOCABULARY, k=1
    )
    assert replies.n_lost_events == 0
    assert (replies.calls.n, replies.calls.n_failed_first) == (2, 1)


def test_calls_that_are_answered_at_once_have_no_failed_attempt() -> None:
    replies = replay(traffic([("u", 2)], [("u", "a", 1)]), Diary(), VOCABULARY, k=1)
    assert (replies.calls.n, replies.calls.n_failed_first, replies.calls.n_failed_attempts) == (
        2,
        0,
        0,
    )


def test_what_cannot_help_is_not_tried_again() -> None:
    diary = Diary(fail_on="u", status=422)
    replay(traffic([("u", 1)], []), diary, VOCABULARY, k=1)
    assert len(diary.asked) == 1


def test_a_service_that_is_gone_is_not_asked_again() -> None:
    diary = Diary(fail_on="u", status=None)
    replies = replay(
        traffic([("u", 1), ("v", 2)], [("v", "a", 3)]), diary, VOCABULARY, k=1, n_workers=1
    )
    assert len(diary.asked) == MAXIMUM_ATTEMPTS
    assert replies.failed.all()
    assert replies.n_lost_events == 1
    assert (replies.calls.n, replies.calls.n_failed_first) == (3, 3)


def test_events_that_were_not_taken_are_counted() -> None:
    replies = replay(traffic([("u", 2)], [("u", "a", 1)]), Diary("events"), VOCABULARY, k=1)
    assert replies.n_lost_events == 1
    assert not replies.failed.any()
