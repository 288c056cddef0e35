"""The request that is being answered now: what its log lines and its trace are about."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pipeline.serving.observability.tracing import RequestTrace

T = TypeVar("T")


@dataclass(slots=True)
class Current:
    """One request.

    Attributes:
        request_id: Sent along by the caller, or made here.
        user_id: Who it is about, if that is known; only its pseudonym is ever written.
        trace: Its trace, None where tracing is off.
    """

    request_id: str
    user_id: str | None = None
    trace: "RequestTrace | None" = None


CURRENT: ContextVar[Current | None] = ContextVar("evergreen_request", default=None)


def about(user_id: str) -> None:
    """Note whom the current request is about."""
    current = CURRENT.get()
    if current is not None:
        current.user_id = user_id


def carried(work: Callable[[], T]) -> Callable[[], T]:
    """Return `work` such that in another thread it still belongs to the current request.

    Only a traced request pays for that.
    """
    current = CURRENT.get()
    if current is None or current.trace is None:
        return work
    context = copy_context()
    return lambda: context.run(work)


def add_stage(seconds: Mapping[str, float]) -> None:
    """Tell the current trace, if there is one, of stages that just ended, in their order."""
    current = CURRENT.get()
    if current is not None and current.trace is not None:
        current.trace.add_stages(seconds)
