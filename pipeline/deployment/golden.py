"""Golden requests: the service must return the answers that the graph gives offline."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np

from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.recommender import SLOTS, Recommendations
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.saved import GraphRecommender

UNKNOWN_USER = "nobody-knows-this-shopper"
CART_EVERY = 3
TIMEOUT_SECONDS = 30.0
# The graph applies no reranking rules, so the comparison switches the rules off.
NO_RULES = {"diversity": 0.0, "distinct_titles": "off", "bought_hours": 0.0}


def build_golden_requests(  # noqa: PLR0913  the inputs of a request, and their number
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
    """Return requests with the graph's answers, for known users, some with a cart, and one unknown.

    Args:
        recommender: The challenger.
        histories: Purchases before as_of.
        attributes: User attribute codes, indexed by user_id.
        as_of: The time of the requests.
        timezone: The shop's time zone.
        n: Maximum number of requests, including the unknown user's.
        k: Number of items per answer.
        explore_slots: Number of explore slots per answer.
    """
    step = max(1, len(histories.user_ids) // n)
    users = [*histories.user_ids[::step][: n - 1], UNKNOWN_USER]
    carts = [
        _choose_cart(histories, user) if at % CART_EVERY == 0 else []
        for at, user in enumerate(users)
    ]
    golden = []
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
        golden.append({"request": body, "expected": _format_answer(answer, recommender)})
    return golden


def _format_answer(answer: Recommendations, recommender: GraphRecommender) -> dict[str, Any]:
    """Return the items, scores and slots of the first answer, without padding."""
    mask = answer.items[0] > 0
    return {
        "items": recommender.vocabulary.decode(answer.items[0][mask]),
        "scores": [round(float(score), 7) for score in answer.scores[0][mask]],
        "slots": [SLOTS[slot] for slot in answer.slots[0][mask]],
    }


def _choose_cart(histories: Histories, user_id: str) -> list[int]:
    """Return two items of the user's history."""
    items = np.unique(histories.item[histories.lines(user_id)])
    return [int(item) for item in items[:2]]


@dataclass(frozen=True)
class GoldenResult:
    """The service's answers to the golden requests.

    Attributes:
        n: Number of requests.
        n_different: Number of answers that differ from the expected ones.
        largest_difference: Largest difference of a score, relative above 1.
        first_difference: The first difference in words, empty if there is none.
    """

    n: int
    n_different: int
    largest_difference: float
    first_difference: str


def compare_golden(url: str, requests: list[dict[str, Any]], tolerance: float) -> GoldenResult:
    """Compare the service's answers: items and slots must be equal, scores within a tolerance.

    The verdict is committed, so a difference gives the number of the request in golden.json, but
    not its user or the text of an error, which may repeat the request.

    Args:
        url: URL of the running service.
        requests: Golden requests from `build_golden_requests`.
        tolerance: Allowed difference of a score, relative above 1.
    """
    different, largest, first = 0, 0.0, ""
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        for number, entry in enumerate(requests, start=1):
            response = client.post("/recommend", json=entry["request"])
            problem, distance = _compare_answer(response, entry["expected"])
            largest = max(largest, distance)
            if problem or distance > tolerance:
                different += 1
                first = first or f"request {number} of {len(requests)}: {problem or distance}"
    return GoldenResult(len(requests), different, largest, first)


def _compare_answer(response: httpx.Response, expected: dict[str, Any]) -> tuple[str, float]:
    if response.status_code != httpx.codes.OK:
        return f"status {response.status_code}", 0.0
    items = response.json()["items"]
    received = [item["item_id"] for item in items], [item["slot"] for item in items]
    if received != (expected["items"], expected["slots"]):
        return f"items {received[0]} instead of {expected['items']}", 0.0
    distances = [
        abs(item["score"] - score) / max(1.0, abs(score))
        for item, score in zip(items, expected["scores"], strict=True)
    ]
    return "", max(distances, default=0.0)
