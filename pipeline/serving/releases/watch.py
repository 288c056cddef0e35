"""The running service follows the pointer: a thread that looks, loads, and lets the shelves change.

Nothing of this is on the path of a request. A bundle that does not verify, or cannot be loaded, is
refused: what answered goes on answering, and the refusal is in the log, in a metric and announced.
It is tried again every half minute, for as long as it is wanted.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.bundles.release_pointer import (
    Canary,
    Pointer,
    Stopped,
    lock,
    read_pointer,
    write_pointer,
)
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.params import ServingParams
from pipeline.event_store.store import EventStore
from pipeline.runtime.memory import release_memory
from pipeline.serving.engine.engine import RecommendationEngine
from pipeline.serving.engine.model_bundle import ModelBundle
from pipeline.serving.releases import running
from pipeline.serving.releases.canary import CanaryExperiment
from pipeline.serving.releases.live import Releases, Roles
from pipeline.serving.releases.metrics import release_metrics
from pipeline.serving.releases.sequential_test import Deterioration
from pipeline.serving.releases.shadow import Shadow
from pipeline.serving.releases.store import ReleaseStore

POLL_SECONDS = 0.5
RETRY_SECONDS = 30.0
STOP_SECONDS = 3.0  # what waits must still be written before the worker is killed

log = logging.getLogger("evergreen.serving")

Load = Callable[[Path], ModelBundle]
Announce = Callable[[str, Mapping[str, str]], None]


def announce(event: str, facts: Mapping[str, str]) -> None:
    """Say in the log that something happened to a release."""
    log.warning("%s: %s", event, ", ".join(f"{name} {value}" for name, value in facts.items()))


def first_bundle(place: ReleaseStore, load: Load, tell: Announce = announce) -> ModelBundle:
    """Return the bundle to start with: the pointer's champion, or models/champion.

    A champion that is refused is said, and models/champion answers in its place.

    Raises:
        BundleError: models/champion is missing or damaged too.
    """
    try:
        return load(place.bundle(place.pointer().champion))
    except ArtefactError as error:
        tell("release_refused", {"role": "champion", "reason": str(error)})
        return load(place.deployed)


class Watcher:
    """Lets one service's releases follow one place."""

    def __init__(
        self,
        releases: Releases,
        store: EventStore,
        params: ServingParams,
        *,
        place: ReleaseStore,
        load: Load,
        tell: Announce = announce,
    ) -> None:
        """Prepare; `start` begins to look.

        Args:
            releases: What answers.
            store: The event store that all shelves share.
            params: params.yaml's section.
            place: Where the pointer and the bundles are.
            load: Reads and verifies a bundle.
            tell: Is told the name of an event and its facts, such as `release_refused`.
        """
        self._releases = releases
        self._store = store
        self._params = params
        self._place = place
        self._load = load
        self._tell = tell
        self._mark: object = None
        self._retry_at = float("inf")
        self._change = -1
        self._refused: dict[str, str] = {}
        self._stopped: list[Canary] = []
        self._said: running.Running | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="releases", daemon=True)

    def start(self) -> None:
        """Begin to look, twice a second."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; wait a few seconds for a change that is under way."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        running.gone(self._place.folder)

    def _run(self) -> None:
        while True:
            self.look()
            if self._ending.wait(POLL_SECONDS):
                return

    def look(self) -> None:
        """Follow a change if there is one, judge the canary, and say what answers."""
        mark = self._place.mark()
        if mark != self._mark or time.monotonic() >= self._retry_at:
            self._mark = mark
            self._follow()
        self._judge()
        self._report()

    def _follow(self) -> None:
        refused_before, self._refused = self._refused, {}
        try:
            wanted = self._place.pointer()
        except ArtefactError as error:
            self._refuse("pointer", "pointer", error, refused_before)
        else:
            self._champion(wanted, refused_before)
            self._trials(wanted, refused_before)
            self._change = wanted.change
        self._retry_at = time.monotonic() + RETRY_SECONDS if self._refused else float("inf")

    def _champion(self, wanted: Pointer, refused_before: Mapping[str, str]) -> None:
        """Swap the champion, and end what the pointer does not name any more."""
        now = self._releases.roles
        champion = self._shelf("champion", wanted.champion, refused_before) or now.champion
        same = champion is now.champion
        canary, shadow = now.canary, now.shadow
        if canary is not None and not (same and canary.rules == wanted.canary):
            canary = None
        if shadow is not None and shadow.shelf.version != wanted.shadow:
            shadow = None
        if same and canary is now.canary and shadow is now.shadow:
            return
        self._assign(Roles(champion, canary, shadow))
        if not same:
            release_metrics().swaps.inc()
            facts = {"champion": champion.version, "before": now.champion.version}
            self._tell("release_swapped", facts)

    def _trials(self, wanted: Pointer, refused_before: Mapping[str, str]) -> None:
        """Start the canary and the shadow that the pointer names."""
        now = self._releases.roles
        if wanted.canary and now.canary is None and wanted.canary not in self._stopped:
            shelf = self._shelf("canary", wanted.canary.version, refused_before)
            if shelf is not None:
                timeout = float(self._params.timeout_seconds)
                now = replace(
                    now, canary=CanaryExperiment(shelf, wanted.canary, timeout_seconds=timeout)
                )
        if wanted.shadow and now.shadow is None:
            shelf = self._shelf("shadow", wanted.shadow, refused_before)
            if shelf is not None:
                now = replace(now, shadow=Shadow(shelf, self._store))
        if now is not self._releases.roles:
            self._assign(now)

    def _assign(self, roles: Roles) -> None:
        self._releases.assign(roles)
        # What is not needed any more has no cycles and is freed by itself: to unfreeze what was
        # loaded and look through it would hold every request up for a tenth of a second.
        release_memory()

    def _shelf(
        self, role: str, version: str, refused_before: Mapping[str, str]
    ) -> RecommendationEngine | None:
        """Return a shelf of the version, a loaded one if there is, None if it is refused."""
        loaded = self._releases.roles.shelves().get(version)
        if loaded is not None:
            return loaded
        try:
            bundle = self._load(self._place.bundle(version))
            return self._releases.load(bundle, self._store, self._params)
        except Exception as error:  # noqa: BLE001  whatever is wrong with it: refused, and said
            self._refuse(role, version, error, refused_before)
            return None

    def _refuse(
        self, role: str, version: str, error: Exception, refused_before: Mapping[str, str]
    ) -> None:
        reason = f"{type(error).__name__}: {error}"
        self._refused[version] = reason
        if refused_before.get(version) != reason:
            release_metrics().refused.labels(role=role).inc()
            self._tell("release_refused", {"role": role, "version": version, "reason": reason})

    def _judge(self) -> None:
        """End a canary that is worse than the champion, here and in the pointer."""
        trial = self._releases.roles.canary
        worse = trial.look() if trial is not None else None
        if trial is None or worse is None:
            return
        self._assign(replace(self._releases.roles, canary=None))
        release_metrics().canary_stops.labels(reason=worse.what).inc()
        facts = {"version": trial.rules.version, "because": worse.what, "numbers": worse.told}
        self._tell("canary_stopped", facts)
        try:
            self._write_stop(trial.rules, worse)
        except (OSError, ArtefactError) as error:
            self._stopped.append(trial.rules)
            log.error("The pointer still names the canary: %s", error)  # noqa: TRY400

    def _write_stop(self, rules: Canary, worse: Deterioration) -> None:
        with lock(self._place.folder):
            found = read_pointer(self._place.folder)
            if found is None or found.canary != rules:
                return
            reason = f"{worse.what}: {worse.told}"
            stopped = Stopped(
                version=rules.version, reason=reason, at=datetime.now(UTC).isoformat()
            )
            write_pointer(found.changed(canary=None, stopped=stopped), self._place.folder)

    def _report(self) -> None:
        roles = self._releases.roles
        now = running.Running(
            change=self._change,
            champion=roles.champion.version,
            canary=roles.canary.shelf.version if roles.canary else None,
            trial=roles.canary.progress() if roles.canary else None,
            shadow=roles.shadow.shelf.version if roles.shadow else None,
            refused=dict(self._refused),
        )
        try:
            if now == self._said:
                running.still_there(self._place.folder)
            else:
                running.say(now, self._place.folder)
                self._said = now
        except OSError as error:
            if self._said is not None:
                log.warning("Commands cannot see what this service answers with: %s", error)
            self._said = None
