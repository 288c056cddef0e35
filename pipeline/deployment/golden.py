"""Golden requests: their answers are known offline and must come back from the service."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np

from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.recommender import SLOTS
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.saved import GraphRecommender

UNKNOWN_USER = "nobody-knows-this-shopper"
CART_EVERY = 3
TIMEOUT_SECONDS = 30.0
# The graph knows no rule of the shelf; what is compared is what the model says.
NO_RULES = {"diversity": 0.0, "distinct_titles": "off", "bought_hours": 0.0}


def golden_requests(  # noqa: PLR0913  what a request needs, and how many
    recommender: GraphRecommender,
    histories: Histories,
    attributes: Any,
    *,
    as_of: datetime,
    timezone: str,
    n: int,
    k: int,
    explore_slots: int,
) -> list[dict[str, Any]]:
    """Return requests with the answers of the graph: known users, some with a cart, one unknown."""
    step = max(1, len(histories.user_ids) // n)
    users = [*histories.user_ids[::step][: n - 1], UNKNOWN_USER]
    carts = [
        _cart(histories, user) if at % CART_EVERY == 0 else [] for at, user in enumerate(users)
    ]
    found = []
    for user, cart in zip(users, carts, strict=True):
        requests = build_requests(
            histories,
            [user],
            np.array([as_of.timestamp()]),
            carts=[np.array(cart, dtype=np.int32)],
            attributes=attributes,
            timezone=timezone,
        )
        answer = recommender.recommend(requests, k, explore_slots=explore_slots)
        body = {
            "user_id": user,
            "k": k,
            "cart": recommender.vocabulary.decode(np.array(cart, dtype=np.int32)),
            "explore_slots": explore_slots,
            **NO_RULES,
            "at": as_of.astimezone(UTC).isoformat(),
        }
        there = answer.items[0] > 0
        expected = {
            "items": recommender.vocabulary.decode(answer.items[0][there]),
            "scores": [round(float(score), 7) for score in answer.scores[0][there]],
            "slots": [SLOTS[slot] for slot in answer.slots[0][there]],
        }
        found.append({"request": body, "expected": expected})
    return found


def _cart(histories: Histories, user_id: str) -> list[int]:
    """Return two items of the user's history."""
    items = np.unique(histories.item[histories.lines(user_id)])
    return [int(item) for item in items[:2]]


@dataclass(frozen=True)
class GoldenResult:
    """How the service answered: how many differ, and the largest difference of a score."""

    n: int
    n_different: int
    largest_difference: float
    first_difference: str


def compare_golden(url: str, requests: list[dict[str, Any]], tolerance: float) -> GoldenResult:
    """Ask the service every golden request: items and slots must be equal, scores nearly.

    A difference goes into a verdict that is committed, so it tells the number of the request in
    golden.json and neither its user nor the text of an error, which may repeat what was asked.

    Args:
        url: Of the running service.
        requests: From `golden_requests`.
        tolerance: Of a score, relative above 1.
    """
    different, largest, first = 0, 0.0, ""
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        for number, entry in enumerate(requests, start=1):
            response = client.post("/recommend", json=entry["request"])
            problem, distance = _difference(response, entry["expected"])
            largest = max(largest, distance)
            if problem or distance > tolerance:
                different += 1
                first = first or f"request {number} of {len(requests)}: {problem or distance}"
    return GoldenResult(len(requests), different, largest, first)


def _difference(response: httpx.Response, expected: dict[str, Any]) -> tuple[str, float]:
    if response.status_code != httpx.codes.OK:
        return f"status {response.status_code}", 0.0
    items = response.json()["items"]
    got = [item["item_id"] for item in items], [item["slot"] for item in items]
    if got != (expected["items"], expected["slots"]):
        return f"items {got[0]} instead of {expected['items']}", 0.0
    distances = [
        abs(item["score"] - score) / max(1.0, abs(score))
        for item, score in zip(items, expected["scores"], strict=True)
    ]
    return "", max(distances, default=0.0)
