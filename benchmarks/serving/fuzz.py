"""Ask the endpoint what its own document allows, and what it does not: Schemathesis, all checks.

    uv run python -m benchmarks.serving.fuzz [--cases N]

The whole endpoint with the champion, started by BentoML on loopback, the storefront on. Half of the
valid cases name shoppers, items and answers that exist; the others are made up, and may get a 404.
Writes benchmarks/results/fuzz.json: how many cases, and per route what came of them: valid ones
that were answered, refused or about something that does not exist, invalid ones that were refused;
how many got a 5xx, and how many answers a check of Schemathesis did not like. A valid request may
be refused for what JSON Schema cannot say; those rules are written out here.
"""

import argparse
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from benchmarks.support.machine import write_result
from pipeline.contracts.params import PARAMS_PATH

CASES = 2_400
DOCUMENT = "/docs.json"
# What the document says in words only: limits of time, and explore slots that depend on k.
SAID_IN_WORDS = re.compile(
    r"'explore_slots' of at most|a moment (between 1970 and 2200|that is not in the future)"
)
SWITCHED_OFF = "with the storefront switched on"
NOT_FOUND, REFUSED, SERVER_ERROR = 404, 422, 500
TOO_LONG = frozenset({413, 414})  # no schema says how long a whole body or URL may be
READY_SECONDS = 120.0
N_NAMED = 20
LOGGED_SECONDS = 10.0  # until what was answered can be explained


@dataclass(frozen=True)
class Existing:
    """What the service knows by name.

    Attributes:
        items: Ids of items.
        users: Ids of shoppers.
        answers: Ids of requests that it has answered.
    """

    items: tuple[str, ...]
    users: tuple[str, ...]
    answers: tuple[str, ...]

    def put_into(self, case: Any, at: int) -> None:
        """Let a case name what exists, wherever it names something.

        Args:
            case: Of Schemathesis; changed in place.
            at: Which of the names.
        """
        for part in (case.path_parameters, case.query):
            for key, value in dict(part or {}).items():
                part[key] = self._instead_of(key, value, at)
        case.body = self._instead_of("", case.body, at)

    def _instead_of(self, key: str, value: Any, at: int) -> Any:
        if isinstance(value, dict):
            return {name: self._instead_of(name, part, at) for name, part in value.items()}
        if isinstance(value, list):
            return [self._instead_of(key, part, at + n) for n, part in enumerate(value)]
        names = self._names(key)
        return names[at % len(names)] if names and isinstance(value, str) else value

    def _names(self, key: str) -> tuple[str, ...]:
        kinds = {
            "user_id": self.users,
            "user_ids": self.users,
            "query": self.users,
            "request_id": self.answers,
        }
        kinds |= dict.fromkeys(("item_id", "id", "cart", "viewed", "exclude"), self.items)
        return kinds.get(key, ())


@dataclass
class Fuzzed:
    """What came of it.

    Attributes:
        statuses: By route, kind of case (positive, negative), outcome and status.
        failures: What a check did not like, by route and words.
    """

    statuses: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def n_cases(self) -> int:
        """All requests."""
        return self.statuses.total()

    @property
    def n_5xx(self) -> int:
        """Those that the service answered with an error of its own."""
        return sum(n for key, n in self.statuses.items() if key[-1] >= SERVER_ERROR)

    def n_with(self, outcome: str) -> int:
        """Return how many cases came to this."""
        return sum(n for key, n in self.statuses.items() if outcome in key)

    def by_route(self) -> dict[str, dict[str, int]]:
        """Return per route how many cases came to what, and how many got which class of status."""
        found: dict[str, Counter[str]] = {}
        for (route, kind, outcome, status), n in sorted(self.statuses.items()):
            valid = "valid" if kind == GenerationMode.POSITIVE.value else "invalid"
            for name in (f"{valid}, {outcome}", f"{valid}, {status // 100}xx"):
                found.setdefault(route, Counter())[name] += n
        return {route: dict(sorted(counts.items())) for route, counts in found.items()}


ANSWERED, UNKNOWN, OFF = "answered", "unknown id", "switched off"


def outcome_of(status: int, text: str) -> str:
    """Return what an answer means: only one of a live route tests more than its way there.

    >>> outcome_of(200, ""), outcome_of(422, ""), outcome_of(404, "{}"), outcome_of(503, "")
    ('answered', 'refused', 'unknown id', 'failed')
    """
    if status >= SERVER_ERROR:
        return "failed"
    if status == NOT_FOUND:
        return OFF if SWITCHED_OFF in text else UNKNOWN
    return ANSWERED if status < 400 else "refused"  # noqa: PLR2004


def fuzz(schema: Any, cases: int, existing: Existing) -> Fuzzed:
    """Return what a service answered to about `cases` requests made from its document.

    The same cases every time. Those of a route that takes no input are few.

    Args:
        schema: Of `schemathesis.openapi`.
        cases: How many.
        existing: What half of the valid ones name.
    """
    operations = [_sound(result) for result in schema.get_all_operations()]
    found = Fuzzed()
    with_input = [operation for operation in operations if _takes_input(operation)]
    for operation in operations:
        modes = list(GenerationMode) if operation in with_input else [GenerationMode.POSITIVE]
        examples = -(-cases // (2 * len(with_input)))
        for mode in modes:
            _ask(operation, mode, examples, found, existing)
    return found


def _sound(result: Any) -> Any:
    return result.ok()


def _takes_input(operation: Any) -> bool:
    return bool(list(operation.body) or list(operation.iter_parameters()))


def _ask(
    operation: Any, mode: GenerationMode, examples: int, found: Fuzzed, existing: Existing
) -> None:
    is_valid = mode is GenerationMode.POSITIVE
    examples = examples if _takes_input(operation) else 1  # all its cases are the same

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(
        case=operation.as_strategy(generation_mode=mode),
        is_named=st.booleans(),
        at=st.integers(0, 1_000),
    )
    def ask(case: Any, is_named: bool, at: int) -> None:  # noqa: FBT001
        if is_valid and is_named:
            existing.put_into(case, at)
        answer = case.call()
        outcome = outcome_of(answer.status_code, answer.text)
        found.statuses[operation.label, mode.value, outcome, answer.status_code] += 1
        try:
            case.validate_response(answer)
        except FailureGroup as group:
            for failure in group.exceptions:
                if answer.status_code in TOO_LONG:
                    continue
                if answer.status_code == REFUSED and _only_in_words(failure, answer.text):
                    continue
                found.failures[operation.label, f"{type(failure).__name__}: {answer.text}"] += 1

    ask()


def _only_in_words(failure: Exception, text: str) -> bool:
    """Tell whether a valid request was refused for rules alone that a schema cannot say."""
    if type(failure).__name__ != "RejectedPositiveData":
        return False
    faults = re.split(r"; ", text.partition('"received":')[2].partition('"action":')[0])
    faults = faults if "as described in" in text else [text]
    return all(SAID_IN_WORDS.search(fault) or "and " in fault[:4] for fault in faults)


def answered(client: Any, users: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids of requests that the service has answered and can explain.

    Args:
        client: Of httpx, with the service's address.
        users: Whom the requests are for.

    Raises:
        TimeoutError: It cannot explain the last of them in time.
    """
    bodies = ({"user_id": user} for user in users)
    found = tuple(client.post("/recommend", json=body).json()["request_id"] for body in bodies)
    until = time.monotonic() + LOGGED_SECONDS
    while client.get(f"/explain/{found[-1]}").status_code == NOT_FOUND:
        if time.monotonic() > until:
            message = f"no explanation of {found[-1]} in {LOGGED_SECONDS:.0f} s"
            raise TimeoutError(message)
        time.sleep(0.1)
    return found


@contextmanager
def champion() -> Iterator[tuple[Any, Existing, str]]:
    """Yield the schema of the running champion, what it knows, and what it is called."""
    import httpx

    from pipeline.bundles.bundle import load_bundle
    from pipeline.contracts.artefacts import CHAMPION
    from pipeline.serving.process import running_service

    bundle = load_bundle()
    users = bundle.histories.user_ids[:: max(1, len(bundle.histories.user_ids) // N_NAMED)]
    items = bundle.items["item_id"].tolist()
    with (
        tempfile.TemporaryDirectory(prefix="evergreen-fuzz-") as folder,
        running_service(
            CHAMPION.path,
            params_path=PARAMS_PATH,
            timeout_seconds=READY_SECONDS,
            event_store=f"sqlite:///{folder}/events.db",
        ) as service,
        httpx.Client(base_url=service.url, timeout=30.0, trust_env=False) as client,
    ):
        named = tuple(items[:: max(1, len(items) // N_NAMED)])
        existing = Existing(named, users, answered(client, users))
        schema = schemathesis.openapi.from_url(service.url + DOCUMENT)
        yield schema, existing, f"{bundle.manifest.model.name} {bundle.version}"


def numbers_of(found: Fuzzed, service: str) -> dict[str, Any]:
    """Return what is written down."""
    valid = GenerationMode.POSITIVE.value
    live = sum(n for key, n in found.statuses.items() if key[1:3] == (valid, ANSWERED))
    return {
        "service": service,
        "fuzz_cases": found.n_cases,
        "fuzz_5xx": found.n_5xx,
        "failed_checks": found.failures.total(),
        "valid_answered": live,
        "invalid_answered": found.n_with(ANSWERED) - live,
        "refused": found.n_with("refused"),
        "unknown_ids": found.n_with(UNKNOWN),
        "switched_off": found.n_with(OFF),
        "by_route": found.by_route(),
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="uv run python -m benchmarks.serving.fuzz", description=__doc__
    )
    parser.add_argument("--cases", type=int, default=CASES)
    cases = parser.parse_args().cases
    with champion() as (schema, existing, name):
        found = fuzz(schema, cases, existing)
    for (route, words), n in found.failures.most_common():
        print(f"{n:>5} {route}: {words[:500]}")
    print(write_result("fuzz", numbers_of(found, name)).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
