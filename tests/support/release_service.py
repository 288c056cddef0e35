"""A backend on fake bundles whose watcher polls only when a test asks, and a clock for canaries."""

import asyncio
import json
from typing import Any

from pipeline.bundles.release_pointer import read_pointer
from pipeline.contracts.params import CanaryParams
from pipeline.event_store.store import EventStore
from pipeline.serving.api.backend import Backend
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.payloads import RecommendRequest
from pipeline.serving.releases import changes
from pipeline.serving.releases.store import ReleaseStore
from pipeline.serving.releases.watch import Watcher, load_first_bundle
from tests.support.fake_bundle import serving_params
from tests.support.fake_releases import load_fake

RULES = CanaryParams(minimum_requests=60, false_stop_probability=0.01, maximum_slowdown=1.5)


class CanaryClock:
    """Every reading advances the clock by half a millisecond; a slow bundle advances it more."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.0005
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class ReleaseService:
    """A backend and its watcher, which polls when the test calls it."""

    def __init__(self, release_store: ReleaseStore, url: str, load: Any = load_fake) -> None:
        self.release_store = release_store
        self.notifications: list[tuple[str, dict[str, str]]] = []
        # The limit allows for a slow machine.
        params = serving_params(distinct_titles="off").model_copy(update={"timeout_seconds": 60})
        event_store = EventStore(url, lock_seconds=30)
        bundle = load_first_bundle(release_store, load_fake, self._notify)
        self.backend = Backend(RecommendationEngine(bundle, event_store, params), params)
        self.watcher = Watcher(
            self.backend.releases,
            event_store,
            params,
            release_store=release_store,
            load=load,
            notify=self._notify,
        )

    def _notify(self, event: str, facts: Any) -> None:
        self.notifications.append((event, dict(facts)))

    def ask(self, user_id: str = "ann", **more: Any) -> dict[str, Any]:
        body = json.dumps({"user_id": user_id, "k": 3, "explore_slots": 0} | more).encode()
        answer: dict[str, Any] = json.loads(asyncio.run(self.backend.recommend(body)))
        return answer

    def ask_engine(self) -> str:
        """Ask on this thread, without the backend; return the version that answered."""
        query = RecommendRequest(user_id="ann", k=1)
        return self.backend.releases.recommend(query).model_version

    def send(self, kind: str, item: str, user_id: str = "ann", **more: Any) -> None:
        event = {"user_id": user_id, "item_id": item, "event_type": kind, **more}
        asyncio.run(self.backend.append(json.dumps(event).encode()))

    def version(self) -> str:
        return str(self.ask()["model_version"])

    def scores(self) -> dict[str, float]:
        return {item["item_id"]: item["score"] for item in self.ask(k=5)["items"]}

    def start_canary(self, bundle: str, *, share: float = 0.5, **rules: Any) -> str:
        """Start a canary and poll; return its version."""
        rules_of_test = RULES.model_copy(update=rules)
        pointer = changes.set_canary(bundle, share, rules_of_test, self.release_store)
        self.watcher.poll()
        assert pointer.canary is not None
        return pointer.canary.version

    def send_traffic(self, n: int = 200) -> None:
        """Each user asks, and puts the first item into the cart if it is milk; then poll."""
        for number in range(n):
            user = f"user{number}"
            answer = self.ask(user, viewed=["milk"], explore_slots=3)
            if answer["items"][0]["item_id"] == "milk":
                self.send("cart", "milk", user)
        self.watcher.poll()

    def stop_reason(self) -> str | None:
        """The reason for which the canary was stopped; checks pointer, engines, notification."""
        pointer = read_pointer(self.release_store.folder)
        assert pointer is not None
        if pointer.stopped is None:
            assert self.backend.releases.roles.canary is not None
            return None
        assert pointer.canary is None
        assert self.backend.releases.roles.canary is None
        event, facts = self.notifications[-1]
        assert (event, facts["version"]) == ("canary_stopped", pointer.stopped.version)
        return facts["because"]

    def close(self) -> None:
        self.watcher.stop()
        self.backend.close()
