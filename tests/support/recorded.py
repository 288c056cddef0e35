"""Records the examples of the OpenAPI document from the fake bundle's service.

    python -m tests.support.recorded

Add a line to CALLS for a new route.
"""

import contextlib
import json
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from pipeline.contracts.artefacts import write_verdict
from pipeline.contracts.verdicts import Verdict
from pipeline.event_store.store import EventStore
from pipeline.serving.api.app import build_app
from pipeline.serving.api.backend import Backend
from pipeline.serving.api.examples import EXAMPLES_PATH
from pipeline.serving.engine.engine import RecommendationEngine
from tests.support.fake_bundle import AS_OF, FakeBundle, serving_params
from tests.support.live import listening

REQUEST_ID = "d5a00375f2564123a145813eb4831fdb"
EVENING = AS_OF + timedelta(hours=18)
EVENTS: list[dict[str, Any]] = [
    {"user_id": "ann", "item_id": "tea", "event_type": "view", "timestamp": EVENING.isoformat()},
    {
        "user_id": "ann",
        "item_id": "bread",
        "event_type": "cart",
        "timestamp": (EVENING + timedelta(minutes=1)).isoformat(),
        "event_id": "till-4-000123",
    },
]
ASKED = {
    "user_id": "ann",
    "k": 3,
    "explore_slots": 1,
    "at": (EVENING + timedelta(minutes=2)).isoformat(),
}
BATCH = {"k": 2, "at": ASKED["at"]}
# Operation, method, path and body of each call, in order, on one service. Of several bodies of an
# operation, the last is the example; "{request_id}" is that of the last answer.
CALLS: list[tuple[str, str, str, Any]] = [
    ("append_events", "POST", "/events", [{**EVENTS[0], "event_type": "look"}]),
    ("append_events", "POST", "/events", EVENTS),
    ("recommend", "POST", "/recommend", {"user_id": "ann", "k": 1000}),
    ("recommend", "POST", "/recommend", ASKED),
    ("recommend_batch", "POST", "/recommend_batch", {"user_ids": []}),
    ("recommend_batch", "POST", "/recommend_batch", {**BATCH, "user_ids": ["ann", "bob"]}),
    ("similar", "GET", "/similar/nothing", None),
    ("similar", "GET", "/similar/milk?k=2", None),
    ("explain", "GET", "/explain/nothing", None),
    ("explain", "GET", "/explain/{request_id}", None),
    ("set_availability", "POST", "/availability", {"item_id": "tea"}),
    ("set_availability", "POST", "/availability", {"item_id": "tea", "available": True}),
    ("storefront_status", "GET", "/storefront/status", None),
    ("storefront_items", "GET", "/storefront/items", None),
    ("storefront_items", "GET", "/storefront/items?id=bread&id=tea", None),
    ("storefront_shoppers", "GET", "/storefront/shoppers?query=an", None),
    ("storefront_shopper", "GET", "/storefront/shoppers/ann", None),
]
VERDICT = Verdict(
    phase="monitoring",
    status="proceed",
    cause="recall@10 0.1615 [0.1513, 0.1709], 0.1682 in testing: no loss is shown",
)


def record(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the request body and the answers by status, per operation."""
    params = serving_params()
    app = build_app()
    store = EventStore(f"sqlite:///{folder / 'events.db'}")
    app.state.backend = Backend(RecommendationEngine(FakeBundle(), store, params), params)
    operations: dict[str, dict[str, Any]] = {}
    request_id = ""
    with contextlib.chdir(folder), listening(app) as url, httpx.Client(base_url=url) as http:
        write_verdict(VERDICT)
        for name, method, path, body in CALLS:
            answer = http.request(method, path.format(request_id=request_id), json=body)
            request_id = answer.json().get("request_id", request_id)
            operation = operations.setdefault(name, {"answers": {}})
            if body is not None:
                operation["body"] = body
            operation["answers"][str(answer.status_code)] = _replace_ids(answer.json())
    app.state.backend.close()
    return operations


def _replace_ids(answer: Any) -> Any:
    """Return the answer with a fixed request id."""
    if isinstance(answer, list):
        return [_replace_ids(part) for part in answer]
    if isinstance(answer, dict):
        return {
            name: REQUEST_ID if name == "request_id" else _replace_ids(value)
            for name, value in answer.items()
        }
    return answer


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        text = json.dumps(record(Path(scratch)), indent=1, ensure_ascii=False)
        EXAMPLES_PATH.write_text(text + "\n", encoding="utf-8")
