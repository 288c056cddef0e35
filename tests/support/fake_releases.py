"""Bundles on disk that verify, load in a millisecond, and fail on demand."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any

from pipeline.bundles.bundle import verify_bundle
from pipeline.bundles.manifest import write_manifest
from pipeline.recommenders.base.recommender import Ranked
from pipeline.recommenders.base.requests import Requests
from pipeline.serving.releases.store import ReleaseStore
from tests.support.fake_bundle import CountingRecommender, FakeBundle, make_manifest


@dataclass
class Behaving(CountingRecommender):
    """Ranks by counts, but may fail, be slow, or reverse the ranking.

    Warm-up requests, at as_of, are answered normally: a fault shows only in answers to users.
    """

    behaviour: dict[str, Any] = field(default_factory=dict)
    warm_up: float = 0.0

    def rank(self, requests: Requests, k: int) -> Ranked:
        ranked = super().rank(requests, k)
        if requests.time[0] == self.warm_up:
            return ranked
        if self.behaviour.get("fails"):
            message = "this bundle fails"
            raise ZeroDivisionError(message)
        sleep(self.behaviour.get("seconds", 0.0))
        if self.behaviour.get("reversed"):
            for items in (ranked.repeat_items, ranked.explore_items, ranked.popular_items):
                known = int((items[0] > 0).sum())
                items[0, :known] = items[0, :known][::-1].copy()
        return ranked


def write_fake(folder: Path, name: str, **behaviour: Any) -> str:
    """Write a bundle and return its version."""
    folder.mkdir(parents=True)
    text = json.dumps({"name": name, **behaviour})
    (folder / "behaviour.json").write_text(text, encoding="utf-8")
    facts = make_manifest(name, behaviour.get("as_of", "2024-03-01"))
    return write_manifest(folder, facts).version


def load_fake(path: Path) -> FakeBundle:
    """Return a bundle that `write_fake` wrote, after verifying it."""
    manifest = verify_bundle(path)
    behaviour = json.loads((path / "behaviour.json").read_text(encoding="utf-8"))
    if behaviour.get("does_not_load"):
        raise ZeroDivisionError("this bundle does not load")
    warm_up = manifest.as_of_moment.timestamp()
    recommender = Behaving(behaviour=behaviour, warm_up=warm_up)
    return FakeBundle(recommender=recommender, manifest=manifest)


def write_fake_store(root: Path) -> ReleaseStore:
    """Write a release store in which the champion `old` is deployed."""
    write_fake(root / "champion", "old")
    return ReleaseStore(folder=root / "releases", deployed=root / "champion")
