"""A thread of the running service that follows the release pointer: it polls, loads and assigns.

None of this is on the request path. A bundle that does not verify or load is refused: the current
versions keep serving, and the log, a metric and the audit log record the refusal. The bundle is
tried again every 30 seconds as long as the pointer names it.
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
    StoppedCanary,
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
from pipeline.serving.releases import worker_state
from pipeline.serving.releases.canary import CanaryExperiment
from pipeline.serving.releases.live import Releases, Roles
from pipeline.serving.releases.metrics import release_metrics
from pipeline.serving.releases.sequential_test import Deterioration
from pipeline.serving.releases.shadow import Shadow
from pipeline.serving.releases.store import ReleaseStore
from pipeline.serving.releases.worker_state import WorkerState

POLL_SECONDS = 0.5
RETRY_SECONDS = 30.0
STOP_SECONDS = 3.0  # the worker is killed soon after, and pending answers must be written first

log = logging.getLogger("evergreen.serving")

Load = Callable[[Path], ModelBundle]
Notify = Callable[[str, Mapping[str, str]], None]


def log_event(event: str, facts: Mapping[str, str]) -> None:
    """Log a release event with its facts."""
    log.warning("%s: %s", event, ", ".join(f"{name} {value}" for name, value in facts.items()))


def load_first_bundle(
    release_store: ReleaseStore, load: Load, notify: Notify = log_event
) -> ModelBundle:
    """Return the pointer's champion, or models/champion if that is refused.

    Raises:
        BundleError: models/champion is missing or damaged too.
    """
    try:
        return load(release_store.bundle_path(release_store.read_pointer().champion))
    except ArtefactError as error:
        notify("release_refused", {"role": "champion", "reason": str(error)})
        return load(release_store.deployed)


class Watcher:
    """Lets the releases of one service follow one release store."""

    def __init__(
        self,
        releases: Releases,
        event_store: EventStore,
        params: ServingParams,
        *,
        release_store: ReleaseStore,
        load: Load,
        notify: Notify = log_event,
    ) -> None:
        """Prepare; `start` begins to poll.

        Args:
            releases: The engines that serve.
            event_store: The event store that all engines share.
            params: The section serving of params.yaml.
            release_store: The pointer and the bundles.
            load: Reads and verifies a bundle.
            notify: Receives each event, such as `release_refused`, and its facts.
        """
        self._releases = releases
        self._event_store = event_store
        self._params = params
        self._release_store = release_store
        self._load = load
        self._notify = notify
        self._stamps: object = None
        self._retry_at = float("inf")
        self._change = -1
        self._refused: dict[str, str] = {}
        self._stopped: list[Canary] = []
        self._reported: WorkerState | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="releases", daemon=True)

    def start(self) -> None:
        """Begin to poll, twice a second."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling; wait STOP_SECONDS at most for a change in progress."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        worker_state.remove_state(self._release_store.folder)

    def _run(self) -> None:
        while True:
            self.poll()
            if self._ending.wait(POLL_SECONDS):
                return

    def poll(self) -> None:
        """Follow the pointer if it changed, test the canary, and report this worker's state."""
        stamps = self._release_store.stamps()
        if stamps != self._stamps or time.monotonic() >= self._retry_at:
            self._stamps = stamps
            self._follow()
        self._test_canary()
        self._report()

    def _follow(self) -> None:
        refused_before, self._refused = self._refused, {}
        try:
            pointer = self._release_store.read_pointer()
        except ArtefactError as error:
            self._refuse("pointer", "pointer", error, refused_before)
        else:
            self._follow_champion(pointer, refused_before)
            self._start_trials(pointer, refused_before)
            self._change = pointer.change
        self._retry_at = time.monotonic() + RETRY_SECONDS if self._refused else float("inf")

    def _follow_champion(self, pointer: Pointer, refused_before: Mapping[str, str]) -> None:
        """Swap the champion, and end the trials that the pointer no longer names."""
        now = self._releases.roles
        champion = self._get_engine("champion", pointer.champion, refused_before) or now.champion
        same = champion is now.champion
        canary, shadow = now.canary, now.shadow
        if canary is not None and not (same and canary.rules == pointer.canary):
            canary = None
        if shadow is not None and shadow.engine.version != pointer.shadow:
            shadow = None
        if same and canary is now.canary and shadow is now.shadow:
            return
        self._assign(Roles(champion, canary, shadow))
        if not same:
            release_metrics().swaps.inc()
            facts = {"champion": champion.version, "before": now.champion.version}
            self._notify("release_swapped", facts)

    def _start_trials(self, pointer: Pointer, refused_before: Mapping[str, str]) -> None:
        """Start the canary and the shadow that the pointer names."""
        now = self._releases.roles
        if pointer.canary and now.canary is None and pointer.canary not in self._stopped:
            engine = self._get_engine("canary", pointer.canary.version, refused_before)
            if engine is not None:
                timeout = float(self._params.timeout_seconds)
                canary = CanaryExperiment(engine, pointer.canary, timeout_seconds=timeout)
                now = replace(now, canary=canary)
        if pointer.shadow and now.shadow is None:
            engine = self._get_engine("shadow", pointer.shadow, refused_before)
            if engine is not None:
                now = replace(now, shadow=Shadow(engine, self._event_store))
        if now is not self._releases.roles:
            self._assign(now)

    def _assign(self, roles: Roles) -> None:
        self._releases.assign(roles)
        # Released engines have no reference cycles, so they are freed without the collector: to
        # unfreeze and scan all objects would delay every request by a tenth of a second.
        release_memory()

    def _get_engine(
        self, role: str, version: str, refused_before: Mapping[str, str]
    ) -> RecommendationEngine | None:
        """Return the loaded engine of a version, else a new one, or None if it is refused."""
        loaded = self._releases.roles.engines().get(version)
        if loaded is not None:
            return loaded
        try:
            bundle = self._load(self._release_store.bundle_path(version))
            return self._releases.load(bundle, self._event_store, self._params)
        except Exception as error:  # noqa: BLE001  any failure to load is a refusal
            self._refuse(role, version, error, refused_before)
            return None

    def _refuse(
        self, role: str, version: str, error: Exception, refused_before: Mapping[str, str]
    ) -> None:
        reason = f"{type(error).__name__}: {error}"
        self._refused[version] = reason
        if refused_before.get(version) != reason:
            release_metrics().refused.labels(role=role).inc()
            self._notify("release_refused", {"role": role, "version": version, "reason": reason})

    def _test_canary(self) -> None:
        """End a canary that is worse than the champion, here and in the pointer."""
        canary = self._releases.roles.canary
        deterioration = canary.find_deterioration() if canary is not None else None
        if canary is None or deterioration is None:
            return
        self._assign(replace(self._releases.roles, canary=None))
        release_metrics().canary_stops.labels(reason=deterioration.metric).inc()
        facts = {
            "version": canary.rules.version,
            "because": deterioration.metric,
            "numbers": deterioration.numbers,
        }
        self._notify("canary_stopped", facts)
        try:
            self._write_stop(canary.rules, deterioration)
        except (OSError, ArtefactError) as error:
            self._stopped.append(canary.rules)
            log.error("The pointer still names the canary: %s", error)  # noqa: TRY400

    def _write_stop(self, rules: Canary, deterioration: Deterioration) -> None:
        with lock(self._release_store.folder):
            pointer = read_pointer(self._release_store.folder)
            if pointer is None or pointer.canary != rules:
                return
            stopped = StoppedCanary(
                version=rules.version,
                reason=f"{deterioration.metric}: {deterioration.numbers}",
                at=datetime.now(UTC).isoformat(),
            )
            changed = pointer.advance(canary=None, stopped=stopped)
            write_pointer(changed, self._release_store.folder)

    def _report(self) -> None:
        roles = self._releases.roles
        state = WorkerState(
            change=self._change,
            champion=roles.champion.version,
            canary=roles.canary.engine.version if roles.canary else None,
            trial=roles.canary.progress() if roles.canary else None,
            shadow=roles.shadow.engine.version if roles.shadow else None,
            refused=dict(self._refused),
        )
        try:
            if state == self._reported:
                worker_state.touch_state(self._release_store.folder)
            else:
                worker_state.write_state(state, self._release_store.folder)
                self._reported = state
        except OSError as error:
            if self._reported is not None:
                log.warning("This worker's state is not written, so commands miss it: %s", error)
            self._reported = None
