"""The Prometheus metrics of releases, created once per process, in the worker."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter


@dataclass(frozen=True)
class ReleaseMetrics:
    """All release metrics."""

    swaps: "Counter"
    refused: "Counter"
    canary_stops: "Counter"
    canary_answers: "Counter"
    canary_errors: "Counter"
    shadow: "Counter"


@cache
def release_metrics() -> ReleaseMetrics:
    """Return this process's metrics."""
    from prometheus_client import Counter

    return ReleaseMetrics(
        swaps=Counter("evergreen_release_swaps", "Champions swapped in while running."),
        refused=Counter(
            "evergreen_release_refused", "Bundles refused, by role: champion ...", ["role"]
        ),
        canary_stops=Counter(
            "evergreen_canary_stops", "Canaries stopped automatically, by reason.", ["reason"]
        ),
        canary_answers=Counter(
            "evergreen_canary_answers",
            "Answers during a canary, by side: canary, champion.",
            ["side"],
        ),
        canary_errors=Counter(
            "evergreen_canary_errors", "Canary failures that the champion answered."
        ),
        shadow=Counter(
            "evergreen_shadow_requests",
            "Requests offered to a shadow, by outcome: answered, failed, dropped, lost.",
            ["outcome"],
        ),
    )
