"""The loop on a schedule, beside a running service: it judges, acts and sleeps."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.contracts.errors import EvergreenError
from pipeline.lifecycle.loop.loop import Outcome

log = logging.getLogger("evergreen")


@contextmanager
def stop_on_signals(*numbers: signal.Signals) -> Iterator[threading.Event]:
    """Yield an event that these signals set, instead of ending the process."""
    stopping = threading.Event()
    earlier = {number: signal.signal(number, lambda *_: stopping.set()) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def watch(run: Callable[[], Outcome], every_minutes: float, stopping: threading.Event) -> None:
    """Run the loop again and again until `stopping` is set; an error waits for the next time.

    Args:
        run: Runs the loop once.
        every_minutes: Minutes between the end of a run and the start of the next.
        stopping: Ends the watch between two steps.
    """
    while not stopping.is_set():
        try:
            outcome = run()
        except EvergreenError as error:
            log.error("The loop failed. %s", error)  # noqa: TRY400  the message suffices
        else:
            log.info("%s: %s", outcome.code.name.lower().replace("_", " "), outcome.message)
        stopping.wait(60 * every_minutes)
    log.info("The watch has ended.")
