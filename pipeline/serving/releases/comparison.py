"""How a shadow's answers differ from the answers that users got: pure functions of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class AnswerPair:
    """The champion's and the shadow's answer to one request.

    Attributes:
        champion: Item ids by rank.
        champion_ms: Latency in milliseconds.
        shadow: Item ids by rank.
        shadow_ms: Latency in milliseconds, None if the shadow failed.
    """

    champion: Sequence[str]
    champion_ms: float
    shadow: Sequence[str]
    shadow_ms: float | None


def overlap_at_k(one: Sequence[str], other: Sequence[str], k: int) -> float:
    """Return the fraction of the first `k` places that hold the same items, in any order.

    >>> overlap_at_k(["milk", "tea", "jam"], ["tea", "milk", "rye"], 2)
    1.0
    >>> overlap_at_k(["milk"], ["tea"], 10)
    0.0
    >>> overlap_at_k([], [], 10)  # two empty answers are equal
    1.0
    """
    k = min(k, max(len(one), len(other)))
    return len(set(one[:k]) & set(other[:k])) / k if k else 1.0


def rank_agreement(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the mean of overlap@1, overlap@2, ...: 1 for equal rankings, 0 for disjoint ones.

    The top weighs most. References: average overlap, in Webber, Moffat and Zobel 2010 ("A
    similarity measure for indefinite rankings", doi:10.1145/1852102.1852106).

    >>> rank_agreement(["milk", "tea"], ["tea", "milk"])  # (0 + 1) / 2
    0.5
    """
    depth = max(len(one), len(other))
    if not depth:
        return 1.0
    return sum(overlap_at_k(one, other, k) for k in range(1, depth + 1)) / depth


def compare_answers(pairs: Sequence[AnswerPair], n_shown: int) -> dict[str, Any]:
    """Return means over the requests that the shadow answered, and its failed fraction.

    Args:
        pairs: Requests that both versions processed.
        n_shown: Number of requests that the champion answered in the same period.
    """
    answered = [pair for pair in pairs if pair.shadow_ms is not None]
    numbers: dict[str, Any] = {
        "requests_shown": n_shown,
        "requests_compared": len(answered),
        "failed_fraction": (len(pairs) - len(answered)) / len(pairs) if pairs else 0.0,
    }
    if not answered:
        return numbers
    sides = {
        "champion": [p.champion_ms for p in answered],
        "shadow": [p.shadow_ms for p in answered],
    }
    for k in (1, 5, 10):
        overlaps = [overlap_at_k(p.champion, p.shadow, k) for p in answered]
        numbers[f"overlap@{k}"] = float(np.mean(overlaps))
    agreements = [rank_agreement(p.champion, p.shadow) for p in answered]
    numbers["rank_agreement"] = float(np.mean(agreements))
    are_same = [list(p.champion) == list(p.shadow) for p in answered]
    numbers["same_fraction"] = float(np.mean(are_same))
    for name, milliseconds in sides.items():
        latencies = np.array(milliseconds, dtype=np.float64)
        numbers |= {f"{name}_p{q}_ms": float(np.percentile(latencies, q)) for q in (50, 99)}
    return numbers
