"""Chores are done again and again, and one that fails does not stop the others."""

import logging
import threading
from collections.abc import Callable

import pytest

from pipeline.event_store.errors import StoreError
from pipeline.serving.engine.periodic_tasks import PeriodicTask, PeriodicTasks

SECONDS = 0.005


def counting(enough: threading.Event, wanted: int) -> Callable[[], None]:
    done: list[None] = []

    def work() -> None:
        done.append(None)
        if len(done) == wanted:
            enough.set()

    return work


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("it", received="away", action="Wait."), "Failing waits."),
        (ValueError("a mistake"), "Failing failed."),
    ],
)
def test_a_chore_that_fails_is_said_and_the_others_go_on(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    enough, again = threading.Event(), threading.Event()
    count = counting(again, 2)

    def fail() -> None:
        count()
        raise error

    with caplog.at_level(logging.WARNING, "evergreen.serving"):
        keeping = PeriodicTasks(
            [
                PeriodicTask("Failing", fail, SECONDS),
                PeriodicTask("Counting", counting(enough, 5), SECONDS),
            ]
        )
        assert enough.wait(5)
        assert again.wait(5)
        keeping.close()
    assert said in caplog.text


def test_a_rare_chore_is_done_at_the_start_and_then_rarely() -> None:
    enough, twice = threading.Event(), threading.Event()
    keeping = PeriodicTasks(
        [
            PeriodicTask("Often", counting(enough, 10), SECONDS),
            PeriodicTask("Rarely", counting(twice, 2), 60.0),
        ]
    )
    assert enough.wait(5)
    keeping.close()
    assert not twice.is_set()
