"""Ask the endpoint what its own document allows, and what it does not: Schemathesis, all checks.

    python -m benchmarks.fuzz [--cases N]

The whole endpoint but for BentoML, on a bundle of five items. Writes benchmarks/results/fuzz.json:
how many cases, by route and status, how many of them were answered with a 5xx, and how many answers
a check of Schemathesis did not like. A valid request may be refused for what JSON Schema cannot
say; those rules are written out here.
"""

import argparse
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from starlette.types import ASGIApp

from benchmarks.machine import write_result

CASES = 2_400
DOCUMENT = "/docs.json"
# What the document says in words only: limits of time, and explore slots that depend on k.
SAID_IN_WORDS = re.compile(
    r"'explore_slots' must be at most|a moment (between 1970 and 2200|that is not in the future)"
)
TOO_LONG, REFUSED, SERVER_ERROR = 414, 422, 500


@dataclass
class Fuzzed:
    """What came of it.

    Attributes:
        statuses: By route, kind of case (positive, negative) and status.
        failures: What a check did not like, by route and words.
    """

    statuses: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def n_cases(self) -> int:
        """All requests."""
        return self.statuses.total()

    @property
    def n_5xx(self) -> int:
        """Those that the service answered with an error of its own."""
        return sum(n for (_, _, code), n in self.statuses.items() if code >= SERVER_ERROR)


def fuzz(app: ASGIApp, cases: int) -> Fuzzed:
    """Return what an app answered to about `cases` requests made from its document.

    The same cases every time. Those of a route that takes no input are few.
    """
    schema = schemathesis.openapi.from_asgi(DOCUMENT, app)
    operations = [_sound(result) for result in schema.get_all_operations()]
    found = Fuzzed()
    with_input = [operation for operation in operations if _takes_input(operation)]
    for operation in operations:
        modes = list(GenerationMode) if operation in with_input else [GenerationMode.POSITIVE]
        each = -(-cases // (2 * len(with_input)))
        for mode in modes:
            _ask(operation, mode, each, found)
    return found


def _sound(result: Any) -> Any:
    return result.ok()


def _takes_input(operation: Any) -> bool:
    return bool(list(operation.body) or list(operation.iter_parameters()))


def _ask(operation: Any, mode: GenerationMode, examples: int, found: Fuzzed) -> None:
    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call()
        found.statuses[operation.label, mode.value, answer.status_code] += 1
        try:
            case.validate_response(answer)
        except FailureGroup as group:
            for failure in group.exceptions:
                if answer.status_code == TOO_LONG:  # no schema says how long a whole URL may be
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


def main() -> None:
    """Measure and write the result."""
    from tests.fake_service import fake_service

    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as folder:
        service = fake_service(Path(folder))
        found = fuzz(service.local, cases)
        service.close()
    for (route, words), n in found.failures.most_common():
        print(f"{n:>5} {route}: {words[:500]}")
    numbers = {
        "fuzz_cases": found.n_cases,
        "fuzz_5xx": found.n_5xx,
        "failed_checks": found.failures.total(),
        "by_route": {
            " ".join(map(str, key)): count for key, count in sorted(found.statuses.items())
        },
    }
    print(write_result("fuzz", numbers).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
