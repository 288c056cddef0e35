"""Bundles on disk that verify, load in a millisecond, and misbehave on demand."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any

from pipeline.bundles.bundle import verify_bundle, write_manifest
from pipeline.recommenders.base.recommender import Ranked
from pipeline.recommenders.base.requests import Requests
from pipeline.serving.engine.model_bundle import as_of_moment
from pipeline.serving.releases.store import ReleaseStore
from tests.support.fake_bundle import CountingRecommender, FakeBundle


@dataclass
class Behaving(CountingRecommender):
    """Counts, but may fail, dawdle, or begin with what is wanted least.

    Warm-up, at the moment of as_of, is spared: what is wrong shows only when it answers shoppers.
    """

    behaviour: dict[str, Any] = field(default_factory=dict)
    warm_up: float = 0.0

    def rank(self, requests: Requests, k: int) -> Ranked:
        found = super().rank(requests, k)
        if requests.time[0] == self.warm_up:
            return found
        if self.behaviour.get("fails"):
            message = "this bundle fails"
            raise ZeroDivisionError(message)
        sleep(self.behaviour.get("seconds", 0.0))
        if self.behaviour.get("reversed"):
            for items in (found.repeat_items, found.explore_items, found.popular_items):
                known = int((items[0] > 0).sum())
                items[0, :known] = items[0, :known][::-1].copy()
        return found


def write_fake(folder: Path, name: str, **behaviour: Any) -> str:
    """Write a bundle and return its version."""
    folder.mkdir(parents=True)
    text = json.dumps({"name": name, **behaviour})
    (folder / "behaviour.json").write_text(text, encoding="utf-8")
    facts = {"model": {"name": name}, "as_of": behaviour.get("as_of", "2024-03-01")}
    return str(write_manifest(folder, {**facts, "timezone": "UTC"})["version"])


def load_fake(path: Path) -> FakeBundle:
    """Return a bundle that `write_fake` wrote, verified as a real one is."""
    manifest = verify_bundle(path)
    behaviour = json.loads((path / "behaviour.json").read_text(encoding="utf-8"))
    if behaviour.get("does_not_load"):
        raise ZeroDivisionError("this bundle does not load")
    warm_up = as_of_moment(manifest).timestamp()
    recommender = Behaving(behaviour=behaviour, warm_up=warm_up)
    return FakeBundle(recommender=recommender, manifest=manifest)


def fake_place(root: Path) -> ReleaseStore:
    """A project's releases, with a champion `old` deployed."""
    write_fake(root / "champion", "old")
    return ReleaseStore(folder=root / "releases", deployed=root / "champion")
