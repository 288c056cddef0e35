"""What /metrics tells of releases; made once per process, in the worker."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter


@dataclass(frozen=True)
class ReleaseMetrics:
    """All metrics of this room."""

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
        swaps=Counter("evergreen_release_swaps", "Champions that were swapped in while running."),
        refused=Counter(
            "evergreen_release_refused", "Bundles that were refused by role: champion ...", ["role"]
        ),
        canary_stops=Counter(
            "evergreen_canary_stops", "Canaries stopped automatically, by reason.", ["reason"]
        ),
        canary_answers=Counter(
            "evergreen_canary_answers",
            "Answers during a canary by side: canary, champion.",
            ["side"],
        ),
        canary_errors=Counter(
            "evergreen_canary_errors", "Answers of a canary that the champion had to give."
        ),
        shadow=Counter(
            "evergreen_shadow_requests",
            "Requests offered to a shadow by outcome: answered, failed, dropped, lost.",
            ["outcome"],
        ),
    )
