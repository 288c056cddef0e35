"""Logged explanations: the items of an earlier answer with the reasons given at the time.

Everything except the titles comes from the prediction log. Computing the reasons again would need
the model and the user's history of that moment.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from pipeline.event_store.store import Prediction
from pipeline.serving.payloads import Payload, RecommendedItem, Slot


class ExplainAnswer(Payload):
    """Answer to GET /explain/{request_id}."""

    request_id: str
    user_id: str
    at: datetime
    store_id: str | None = None
    model_version: str
    items: list[RecommendedItem]


def build_explanation(prediction: Prediction, titles: Sequence[str]) -> ExplainAnswer:
    """Return the items of a logged prediction, with their reasons.

    Args:
        prediction: Row of the prediction log.
        titles: [k] current titles of its items; '' for items that the model no longer knows.
    """
    # Rows of earlier versions have no propensities and no reasons; no slot was sampled then.
    n = len(prediction.items)
    rows = zip(
        prediction.items,
        titles,
        prediction.scores,
        prediction.slots,
        prediction.propensities or [1.0] * n,
        prediction.reasons or [[]] * n,
        strict=True,
    )
    items = [
        RecommendedItem(
            item_id=item_id,
            title=title or item_id,
            rank=rank,
            score=score,
            slot=cast("Slot", slot),
            propensity=propensity,
            reasons=reasons,
        )
        for rank, (item_id, title, score, slot, propensity, reasons) in enumerate(rows, start=1)
    ]
    return ExplainAnswer(
        request_id=prediction.request_id,
        user_id=prediction.user_id,
        at=prediction.timestamp,
        store_id=prediction.store_id,
        model_version=prediction.model_version,
        items=items,
    )
