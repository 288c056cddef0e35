"""Put the measured numbers into the pages, so that none is typed by hand.

    uv run python -m benchmarks.lifecycle.readme

Reads reports/ and benchmarks/results/, rewrites the parts of README.md and docs/results.md between
`<!-- name -->` and `<!-- /name -->`, writes docs/endpoint.md, and draws docs/circle.svg.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.serving.survival import crash_rows, fuzz_section
from pipeline.contracts.phases import PHASES
from pipeline.contracts.verdicts import Verdict
from pipeline.runtime.gates import check_gate, find_acceptance
from pipeline.testing.protocols import KNOWN, TITLES, WITHOUT_CONTEXT

PROJECT = Path(__file__).resolve().parents[2]
NAMES = {"recall@10": "recall@10", "ndcg@10": "NDCG@10", "hit_rate@10": "hit rate@10"}
KIB = 1024
GREEN, AMBER, RED = "#1d7a4c", "#a15c00", "#b3261e"


def read(path: str) -> Any:
    """Return the parsed JSON of a file of the project."""
    return json.loads((PROJECT / path).read_text(encoding="utf-8"))


def quality_table(protocol: str) -> str:
    """Return what is known, and the champion against every baseline as a Markdown table."""
    metrics = read("reports/testing/metrics.json")
    rows = [
        f"{TITLES[protocol].capitalize()}. {KNOWN[protocol]}",
        "",
        "| method | " + " | ".join(NAMES.values()) + " | recall@10: champion minus method |",
        "|---|---|---|---|---|",
        f"| **{metrics['champion']}** | {_cells(metrics[protocol])} | |",
    ]
    for name, baseline in metrics["baselines"].items():
        paired = baseline["paired"][protocol]["recall@10"]
        difference = f"{paired['difference']:+.4f} [{paired['low']:+.4f}, {paired['high']:+.4f}]"
        rows.append(f"| {name} | {_cells(baseline[protocol])} | {difference} |")
    return "\n".join(rows)


def _cells(values: dict[str, Any]) -> str:
    cells = []
    for name in NAMES:
        low, high = values["interval"][name]
        cells.append(f"{values[name]:.4f} [{low:.4f}, {high:.4f}]")
    return " | ".join(cells)


def budget_table() -> str:
    """Return what the budgets allow and what was measured."""
    cycle, serving = read("benchmarks/results/cycle.json"), read("benchmarks/results/serving.json")
    ours = serving["ours"]
    kept, anew, empty = ours["clients"], ours["clients_anew"], serving["empty_bentoml"]
    rows = [
        ("fresh clone to deployed model, without downloads", "12 min", cycle["deployed_seconds"]),
        ("the whole circle, monitoring included", "–", cycle["seconds"]),
    ]
    lines = ["| what | budget | measured |", "|---|---|---|"]
    lines += [f"| {what} | {bound} | {seconds / 60:.1f} min |" for what, bound, seconds in rows]
    lines += [
        f"| peak memory | 8 GiB | {cycle['peak_gib']:.1f} GiB |",
        f"| `uv run dvc repro` with nothing to do | 4 s | {cycle['no_op_seconds']:.1f} s |",
        (
            "| `POST /recommend`, p99 with one client: nothing new of the shopper, the model asked "
            f"anew | 5 ms | {kept['1']['p99_ms']:.1f} ms, {anew['1']['p99_ms']:.1f} ms |"
        ),
        (
            "| requests/s with 32 clients, likewise; the budget is an empty BentoML endpoint's | "
            f"{empty['32']['requests_per_second']:,.0f} | "
            f"{kept['32']['requests_per_second']:,.0f}, {anew['32']['requests_per_second']:,.0f} |"
        ),
        (
            f"| service: time from start to ready, memory of the worker | 10 s, 600 MiB | "
            f"{ours['seconds_to_ready']:.1f} s, {ours['worker_memory_after_gib'] * KIB:.0f} MiB |"
        ),
    ]
    where = f"{cycle['machine']['cores']} cores, {cycle['machine']['memory_gib']} GiB"
    return "\n".join(lines) + (
        f"\n\nMeasured on {where}, {cycle['date']}: the circle at commit `{cycle['commit']}`, the "
        f"service at `{serving['commit']}`; `benchmarks/results/` has the details."
    )


def endpoint_page() -> str:
    """Return docs/endpoint.md."""
    serving = read("benchmarks/results/serving.json")
    where = f"{serving['machine']['cores']} cores, {serving['machine']['memory_gib']} GiB"
    head = f"""# Speed and robustness of the endpoint

Written by `uv run python -m benchmarks.lifecycle.readme`. Measured on {where}, {serving["date"]},
at commit `{serving["commit"]}`, by `uv run python -m benchmarks.serving --soak-seconds 600`:
medians of {serving["rounds"]} rounds of {serving["seconds_per_round"]:.0f} s, the clients on the
same cores. In brackets, the ratio to an empty BentoML endpoint in the same run.

"""
    fuzz = read("benchmarks/results/fuzz.json")
    parts = (_latency_table(serving), _endurance_table(serving), fuzz_section(fuzz))
    return head + "\n\n".join(parts) + "\n"


def _latency_table(serving: dict[str, Any]) -> str:
    ours, empty = serving["ours"], serving["empty_bentoml"]
    endpoints = {
        "Evergreen, answer from the cache": ours["clients"],
        "Evergreen, answer from the model": ours["clients_anew"],
        "empty BentoML": empty,
        "bare Starlette": serving["bare_starlette"],
    }
    measures = {"p50_ms": 2, "p99_ms": 2, "requests_per_second": 0}  # and their digits
    lines = [
        "| clients | endpoint | p50, ms | p99, ms | answers per second |",
        "|---|---|---|---|---|",
    ]
    for clients in sorted(empty, key=int):
        for name, found in endpoints.items():
            cells = [
                f"{found[clients][measure]:,.{digits}f} "
                f"({found[clients][measure] / empty[clients][measure]:.2f})"
                for measure, digits in measures.items()
            ]
            lines.append(f"| {clients} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _endurance_table(serving: dict[str, Any]) -> str:
    ours = serving["ours"]
    soak, pages = ours["soak"], ours["after_events"]
    releases, crashes, fuzz, many = (
        read(f"benchmarks/results/{name}.json")
        for name in ("releases", "crashes", "fuzz", "many_items")
    )
    larger = f"{many['many']['n_items']:,} items instead of {many['own']['n_items']:,}"
    told = [
        (
            "first answer after an event, p50 and p99",
            "–",
            f"{pages['p50_ms']:.1f} ms, {pages['p99_ms']:.1f} ms",
        ),
        (
            f"{soak['seconds'] / 60:.0f} minutes of eight clients: answers, failures",
            "0 failed",
            f"{soak['n']:,}, {soak['n_failed']}",
        ),
        ("longest of these answers", "50 ms", f"{soak['longest_ms']:.0f} ms"),
        (
            "memory of all processes before and after these minutes",
            "flat",
            f"{soak['memory_before_gib']:.3f} GiB, {soak['memory_after_gib']:.3f} GiB",
        ),
        (
            "memory of the worker when ready and at the end",
            "600 MiB",
            " and ".join(
                f"{ours[name] * KIB:.0f} MiB"
                for name in ("worker_memory_gib", "worker_memory_after_gib")
            ),
        ),
        ("time from start to ready", "10 s", f"{ours['seconds_to_ready']:.1f} s"),
        (
            f"{releases['n_swaps']} model swaps under load: requests, failures",
            "0 failed",
            f"{releases['n_requests']:,}, {releases['failed_requests_in_swap']}",
        ),
        ("time of a rollback", "–", f"{releases['rollback_seconds']:.1f} s"),
        *crash_rows(crashes),
        (
            "fuzzing the documented API: cases, valid cases answered, 5xx",
            "0 of 5xx",
            f"{fuzz['fuzz_cases']:,}, {fuzz['valid_answered']:,}, {fuzz['fuzz_5xx']}",
        ),
        (
            f"{larger}: p99 of the model",
            "2 times",
            f"{many['ratio']['p99']:.2f} times",
        ),
    ]
    lines = ["| what | budget | measured |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in told)])


def circle(width: int = 760, height: int = 560) -> str:
    """Return the circle of phases as SVG, each with the number that it stands on."""
    verdicts = [Verdict.model_validate(read(f"reports/{phase}/verdict.json")) for phase in PHASES]
    centre, radius = (width / 2, height / 2), 200
    parts = []
    for index, verdict in enumerate(verdicts):
        angle = 2 * math.pi * index / len(verdicts) - math.pi / 2
        x = centre[0] + 1.35 * radius * math.cos(angle)
        y = centre[1] + radius * math.sin(angle)
        parts.append(_node(x, y, verdict))
    ring = (
        f'<ellipse cx="{centre[0]}" cy="{centre[1]}" rx="{1.35 * radius}" ry="{radius}" '
        'fill="none" stroke="#c9d6ce" stroke-width="6"/>'
    )
    middle = (
        f'<text x="{centre[0]}" y="{centre[1] - 4}" class="big">Evergreen</text>'
        f'<text x="{centre[0]}" y="{centre[1] + 20}">one `make repro` around the circle</text>'
    )
    style = (
        "text { font: 13px system-ui, sans-serif; text-anchor: middle; fill: #1f2a24; } "
        ".name { font-weight: 600; fill: #fff; } .big { font-size: 24px; font-weight: 600; }"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="The circle of phases"><style>{style}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{ring}{middle}'
        f"{''.join(parts)}</svg>\n"
    )


def colour_of(verdict: Verdict) -> str:
    """Return green, amber for what warns or was accepted, red for what returns or stops."""
    if verdict.status != "proceed":
        return AMBER if find_acceptance(verdict) else RED
    return AMBER if verdict.warnings else GREEN


def _node(x: float, y: float, verdict: Verdict) -> str:
    colour, phase = colour_of(verdict), verdict.phase
    telling = (*verdict.failing, *verdict.warnings, *verdict.evidence)[0]
    number = telling.model_copy(update={"bound": None}).in_words().replace("_", " ")
    return (
        f'<rect x="{x - 62}" y="{y - 17}" width="124" height="34" rx="17" fill="{colour}"/>'
        f'<text x="{x}" y="{y + 5}" class="name">{phase}</text>'
        f'<rect x="{x - 100}" y="{y + 19}" width="200" height="18" fill="#fff" opacity=".85"/>'
        f'<text x="{x}" y="{y + 33}">{number}</text>'
    )


def write_parts(path: Path, parts: Mapping[str, str]) -> None:
    """Rewrite the parts of a page between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: The page has no such part.
    """
    text = path.read_text(encoding="utf-8")
    for name, body in parts.items():
        head, tail = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if head not in text or tail not in text:
            message = f"Expected {head.strip()} … {tail} in {path}"
            raise ValueError(message)
        before, _, rest = text.partition(head)
        text = f"{before}{head}{body}\n{tail}{rest.partition(tail)[2]}"
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Rewrite the measured parts of README.md and docs/results.md, and docs/endpoint.md.

    Raises:
        GateError: Testing did not let the model that it measured go on.
    """
    check_gate("the README", "testing")
    write_parts(PROJECT / "README.md", {"quality-rolling": quality_table("rolling")})
    parts = {
        "quality-without-context": quality_table(WITHOUT_CONTEXT),
        "quality-first-basket": quality_table("first_basket"),
        "budgets": budget_table(),
    }
    write_parts(PROJECT / "docs" / "results.md", parts)
    (PROJECT / "docs" / "endpoint.md").write_text(endpoint_page(), encoding="utf-8")
    (PROJECT / "docs" / "circle.svg").write_text(circle(), encoding="utf-8")


if __name__ == "__main__":
    main()
