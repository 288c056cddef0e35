"""Periodic tasks run repeatedly, and a failing task does not stop the others."""

import logging
import threading
from collections.abc import Callable

import pytest

from pipeline.event_store.errors import StoreError
from pipeline.serving.engine.periodic_tasks import PeriodicTask, PeriodicTasks

SECONDS = 0.005


def count_until(enough: threading.Event, n_calls: int) -> Callable[[], None]:
    calls: list[None] = []

    def work() -> None:
        calls.append(None)
        if len(calls) == n_calls:
            enough.set()

    return work


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StoreError("it", received="away", action="Wait."), "Failing will be retried."),
        (ValueError("a mistake"), "Failing failed."),
    ],
)
def test_a_failure_is_logged_and_the_other_tasks_go_on(
    error: Exception, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    enough, again = threading.Event(), threading.Event()
    count = count_until(again, 2)

    def fail() -> None:
        count()
        raise error

    with caplog.at_level(logging.WARNING, "evergreen.serving"):
        tasks = PeriodicTasks(
            [
                PeriodicTask("Failing", fail, SECONDS),
                PeriodicTask("Counting", count_until(enough, 5), SECONDS),
            ]
        )
        assert enough.wait(5)
        assert again.wait(5)
        tasks.close()
    assert message in caplog.text


def test_a_task_with_a_long_interval_runs_once_at_the_start() -> None:
    enough, twice = threading.Event(), threading.Event()
    tasks = PeriodicTasks(
        [
            PeriodicTask("Often", count_until(enough, 10), SECONDS),
            PeriodicTask("Rarely", count_until(twice, 2), 60.0),
        ]
    )
    assert enough.wait(5)
    tasks.close()
    assert not twice.is_set()
