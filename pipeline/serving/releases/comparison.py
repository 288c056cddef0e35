"""How a shadow's answers differ from those that were shown: pure functions of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Pair:
    """One request: what was shown, and what the shadow would have shown.

    Attributes:
        champion: Items by rank, and the milliseconds that the answer took.
        shadow: The same; milliseconds are None when it failed.
    """

    champion: Sequence[str]
    champion_ms: float
    shadow: Sequence[str]
    shadow_ms: float | None


def overlap_at_k(one: Sequence[str], other: Sequence[str], k: int) -> float:
    """Return the share of the first `k` places that hold the same items, whatever their order.

    >>> overlap_at_k(["milk", "tea", "jam"], ["tea", "milk", "rye"], 2)
    1.0
    >>> overlap_at_k(["milk"], ["tea"], 10)
    0.0
    >>> overlap_at_k([], [], 10)  # nothing was to be shown, and nothing was
    1.0
    """
    k = min(k, max(len(one), len(other)))
    return len(set(one[:k]) & set(other[:k])) / k if k else 1.0


def rank_agreement(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the mean of overlap@1, overlap@2, ...: 1 for the same ranking, 0 for nothing shared.

    The top weighs most. References: average overlap, in Webber, Moffat and Zobel 2010 ("A
    similarity measure for indefinite rankings", doi:10.1145/1852102.1852106).

    >>> rank_agreement(["milk", "tea"], ["tea", "milk"])  # (0 + 1) / 2
    0.5
    """
    depth = max(len(one), len(other))
    if not depth:
        return 1.0
    return sum(overlap_at_k(one, other, k) for k in range(1, depth + 1)) / depth


def compare(pairs: Sequence[Pair], n_shown: int) -> dict[str, Any]:
    """Return the means over all requests that the shadow answered, and how often it did not.

    Args:
        pairs: Requests that both worked on.
        n_shown: How many the champion answered in that time.
    """
    answered = [pair for pair in pairs if pair.shadow_ms is not None]
    found: dict[str, Any] = {
        "requests_shown": n_shown,
        "requests_compared": len(answered),
        "failed_fraction": (len(pairs) - len(answered)) / len(pairs) if pairs else 0.0,
    }
    if not answered:
        return found
    sides = {
        "champion": [p.champion_ms for p in answered],
        "shadow": [p.shadow_ms for p in answered],
    }
    for k in (1, 5, 10):
        overlaps = [overlap_at_k(p.champion, p.shadow, k) for p in answered]
        found[f"overlap@{k}"] = float(np.mean(overlaps))
    agreements = [rank_agreement(p.champion, p.shadow) for p in answered]
    found["rank_agreement"] = float(np.mean(agreements))
    found["same_fraction"] = float(np.mean([list(p.champion) == list(p.shadow) for p in answered]))
    for name, milliseconds in sides.items():
        taken = np.array(milliseconds, dtype=np.float64)
        found |= {f"{name}_p{q}_ms": float(np.percentile(taken, q)) for q in (50, 99)}
    return found
