"""The request in progress, for its log lines and its trace."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pipeline.serving.observability.tracing import RequestTrace

T = TypeVar("T")


@dataclass(slots=True)
class CurrentRequest:
    """One request.

    Attributes:
        request_id: The caller's id if it is well-formed, else a new one.
        user_id: The user of the request, if known; only the pseudonym is ever written.
        trace: The trace, or None if tracing is off.
    """

    request_id: str
    user_id: str | None = None
    trace: "RequestTrace | None" = None


CURRENT: ContextVar[CurrentRequest | None] = ContextVar("evergreen_request", default=None)


def set_user(user_id: str) -> None:
    """Record the user of the current request."""
    current = CURRENT.get()
    if current is not None:
        current.user_id = user_id


def bind_to_request(work: Callable[[], T]) -> Callable[[], T]:
    """Return `work` so that it belongs to the current request in another thread too.

    Copies the context of traced requests only.
    """
    current = CURRENT.get()
    if current is None or current.trace is None:
        return work
    context = copy_context()
    return lambda: context.run(work)


def add_stages(seconds: Mapping[str, float]) -> None:
    """Add stages that just ended, in order, to the current trace if there is one.

    Args:
        seconds: Duration by stage.
    """
    current = CURRENT.get()
    if current is not None and current.trace is not None:
        current.trace.add_stages(seconds)
