"""What kills and odd requests met, in words and tables of docs/endpoint.md."""

from typing import Any

KILLED = {
    "of_the_service": "the service itself, its worker and its supervisor in turn",
    "of_the_store_process": "HTTP app and event store alone, with a recommender of five items",
}


def crash_rows(crashes: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return a row for each thing that was killed: what holds of one is not shown of the other."""
    names = ("events_acknowledged", "acknowledged_events_lost", "events_duplicated")
    counted = "events acknowledged, lost, duplicated"
    return [
        (
            f"{crashes[kind]['kills']} times `kill -9` under load on {what}: {counted}",
            "0 lost",
            ", ".join(f"{crashes[kind][name]:,}" for name in names),
        )
        for kind, what in KILLED.items()
    ]


FUZZ_COLUMNS = (
    "valid, answered",
    "valid, refused",
    "valid, unknown id",
    "invalid, refused",
    "invalid, unknown id",
    "invalid, answered",
)


def fuzz_section(fuzz: dict[str, Any]) -> str:
    """Return per route how many cases came to what: only some of them test what a route does."""
    columns = [
        name for name in FUZZ_COLUMNS if any(name in counts for counts in fuzz["by_route"].values())
    ]
    lines = [
        f"| route | {' | '.join(columns)} | 2xx | 4xx | 5xx |",
        "|---|" + "---|" * (len(columns) + 3),
    ]
    for route, counts in fuzz["by_route"].items():
        classes = [
            sum(n for name, n in counts.items() if name.endswith(f", {status}"))
            for status in ("2xx", "4xx", "5xx")
        ]
        cells = [*(counts.get(name, 0) for name in columns), *classes]
        lines.append(f"| `{route}` | {' | '.join(f'{n:,}' for n in cells)} |")
    return (
        "## Fuzzing\n\n"
        f"Schemathesis generated {fuzz['fuzz_cases']:,} cases from the OpenAPI document for "
        f"{fuzz['service']} behind BentoML on loopback, {fuzz['date']}, at commit "
        f"`{fuzz['commit']}`. Half of the valid cases name existing shoppers, items and answers. "
        f"{fuzz['valid_answered']:,} valid cases were answered by an active route; "
        f"{fuzz['refused']:,} cases were refused: invalid ones, and valid ones that break a rule "
        f"beyond JSON Schema; {fuzz['unknown_ids']:,} named something that does not exist; "
        f"{fuzz['switched_off']:,} met a disabled route. Answers that differ from the document: "
        f"{fuzz['failed_checks']:,}.\n\n" + "\n".join(lines)
    )
