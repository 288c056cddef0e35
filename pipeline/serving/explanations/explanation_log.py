"""Why what was shown was shown: the log's own words, not a second opinion.

All but the titles is as it was logged with the answer, reasons included. To work it out again would
take the model and the history of that moment, and a newer model would tell another story.
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


def explanation_of(prediction: Prediction, titles: Sequence[str]) -> ExplainAnswer:
    """Return what was shown and why.

    Args:
        prediction: What was logged.
        titles: Of its items, as they are now; '' for an item that the model does not know any more.
    """
    # Rows of an earlier version have neither; before slots were drawn, each was certain.
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
