import os
import signal
import threading

import pytest

from pipeline.lifecycle.errors import LoopError
from pipeline.lifecycle.loop.loop import ExitCode, Outcome
from pipeline.lifecycle.loop.watch import stop_on_signals, watch

WELL = Outcome(ExitCode.HEALTHY, "All is well.")


def test_the_watch_runs_again_after_an_error_and_ends_when_it_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stopping = threading.Event()
    outcomes: list[Outcome | LoopError] = [
        WELL,
        LoopError("a cycle that ends with verdicts", received="a crash", action="Look."),
        Outcome(ExitCode.QUESTION, "Question 3: What now?"),
    ]

    def run() -> Outcome:
        outcome = outcomes.pop(0)
        if not outcomes:
            stopping.set()
        if isinstance(outcome, LoopError):
            raise outcome
        return outcome

    with caplog.at_level("INFO"):
        watch(run, 0.0001, stopping)
    assert outcomes == []
    assert "healthy: All is well." in caplog.text
    assert "The loop failed. Expected a cycle that ends with verdicts, got a crash" in caplog.text
    assert "question: Question 3: What now?" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_watch_between_two_runs(number: signal.Signals) -> None:
    earlier = signal.getsignal(number)
    runs = []

    def run() -> Outcome:
        runs.append(1)
        os.kill(os.getpid(), number)
        runs.append(2)  # the run is not cut off
        return WELL

    with stop_on_signals(number) as stopping:
        watch(run, 60.0, stopping)
    assert runs == [1, 2]
    assert signal.getsignal(number) is earlier


def test_a_signal_ends_the_pause() -> None:
    with stop_on_signals(signal.SIGTERM) as stopping:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        watch(lambda: WELL, 60.0, stopping)
        timer.join()
