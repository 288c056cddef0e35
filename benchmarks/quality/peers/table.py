"""quality.json as Markdown that people read."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.quality.peers.compare import CLAIMED, REFERENCE_NOTE
from benchmarks.quality.peers.methods import BOOSTING
from pipeline.testing.protocols import KNOWN, TITLES

COLUMNS = (
    "recall@10",
    "ndcg@10",
    "hit_rate@10",
    "recall@20",
    "ndcg@20",
    "repeat_recall@10",
    "explore_recall@10",
    "explore_slots_recall@10",
)
TYPE_COLUMNS = ("recall@10", "ndcg@10", "hit_rate@10", "recall@20", "ndcg@20")
DAYS_OF_CHOICE = {"2017-10-09": "choices of the project were made on this window"}


def quality_page(result: Mapping[str, Any]) -> str:
    """Return docs/quality.md for a quality.json."""
    days = result["cutoffs"]
    machine = result["machine"]
    parts = [
        "# Quality",
        "",
        (
            "Written by `uv run python -m benchmarks.quality --table` from "
            f"benchmarks/results/quality.json: commit {result['commit']}, {result['date']}, "
            f"{machine['cores']} cores, {machine['memory_gib']} GiB. {result['how']}"
        ),
        "",
        f"The default is **{result['default']}**.",
        "",
        *claim_lines(result),
        *cost_lines(result["methods"]),
    ]
    for protocol, title in TITLES.items():
        for day in days:
            parts += ["", *cell_lines(result, protocol, day, title.capitalize())]
    parts += ["", *reference_lines(result["reference"])]
    return "\n".join(parts) + "\n"


def claim_lines(result: Mapping[str, Any]) -> list[str]:
    """Return the table of claims, and the differences that they rest on."""
    default, days = result["default"], result["cutoffs"]
    lines = [
        f"## {default} against each method",
        "",
        (
            f"Difference of {default} minus the method, on the same requests, with the "
            "95 % interval of a bootstrap over users, by cut-off. *Better* and *worse* mean that "
            "the interval leaves out 0 at all cut-offs; where one was not measured it is undecided."
        ),
        *earlier_lines(result["methods"]),
        *unequal_lines(result["methods"]),
        "",
        f"| method | protocol | metric | {' | '.join(days)} | verdict |",
        f"|---|---|---|{'---|' * len(days)}---|",
    ]
    for method, protocols in result["paired"].items():
        for protocol, cells in protocols.items():
            for metric in CLAIMED:
                shown = [_difference(cells[day][metric]) if day in cells else "–" for day in days]
                said = result["claims"][method][protocol][metric]
                lines.append(f"| {method} | {protocol} | {metric} | {' | '.join(shown)} | {said} |")
    return lines


def earlier_lines(methods: Mapping[str, Any]) -> list[str]:
    """Return which methods were measured at an earlier commit and not again."""
    commits: dict[str, list[str]] = {}
    for name, method in methods.items():
        if "commit" in method:
            commits.setdefault(method["commit"], []).append(name)
    lines = []
    for commit, names in commits.items():
        text = (
            f"Not measured again: {', '.join(names)}. Their rows are of commit {commit}, and their "
            "differences are to the default as it then was. But for lightgbm_without_offers they "
            "make no use of the time or the store of a request, so what holds for every basket "
            "with both known holds with both withheld."
        )
        lines += ["", text]
    return lines


def unequal_lines(methods: Mapping[str, Any]) -> list[str]:
    """Return which boosters had fewer inputs than the network, whatever their rows say."""
    names = [
        name for name in BOOSTING if name in methods and "inputs" not in methods[name]["notes"]
    ]
    if not names:
        return []
    text = (
        f"**Not on equal terms: {', '.join(names)}.** These rows are of a booster without the "
        "product type, which the network has, and with settings that nobody searched; the "
        "verdicts on them claim nothing about LightGBM on the network's inputs. "
        "`make quality` measures that."
    )
    return ["", text]


def cost_lines(methods: Mapping[str, Any]) -> list[str]:
    """Return seconds and memory of each method."""
    lines = [
        "",
        "## Cost",
        "",
        (
            "Seconds of the slowest cut-off: to fit (for families the choice of the number of "
            "epochs and the fit on everything), and to rank both protocols' requests, 100 products "
            "each. Memory is the peak of the process, the tables that every method reads included. "
            "Cores are those that the process might use. Other work on the machine at the time "
            "makes seconds larger."
        ),
        "",
        "| method | cores | fit seconds | rank seconds | peak GiB |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {name} | {found['cores']} | {found['fit_seconds']:.1f} "
        f"| {found['rank_seconds']:.1f} | {found['peak_gib']:.2f} |"
        for name, found in methods.items()
    ]


def cell_lines(result: Mapping[str, Any], protocol: str, day: str, title: str) -> list[str]:
    """Return the table of one protocol at one cut-off, product types below products."""
    methods = {
        name: found[protocol][day]
        for name, found in result["methods"].items()
        if day in found.get(protocol, {})
    }
    if not methods:
        return []
    any_cell = next(iter(methods.values()))
    note = f" ({DAYS_OF_CHOICE[day]})" if day in DAYS_OF_CHOICE else ""
    return [
        f"## {title}, from {day}",
        "",
        (
            f"{KNOWN[protocol]} {any_cell['n_requests']:,} requests of "
            f"{any_cell['n_users']:,} users{note}; means over requests. Explore slots: the list "
            "of what was never bought, alone."
        ),
        "",
        *_rows(methods, COLUMNS),
        "",
        "Product types instead of products:",
        "",
        *_rows({name: cell["product_type"] for name, cell in methods.items()}, TYPE_COLUMNS),
    ]


def _rows(cells: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    head = [f"| method | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    ordered = sorted(cells.items(), key=lambda item: -item[1]["ndcg@10"])
    return head + [
        f"| {name} | {' | '.join(_value(cell, metric) for metric in columns)} |"
        for name, cell in ordered
    ]


def _value(cell: Mapping[str, Any], metric: str) -> str:
    if cell.get(metric) is None:
        return "–"
    low, high = cell["interval"][metric]
    return f"{cell[metric]:.4f} ({low:.4f}–{high:.4f})"


def _difference(each: Mapping[str, float]) -> str:
    return f"{each['difference']:+.4f} ({each['low']:+.4f}…{each['high']:+.4f})"


def reference_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how near the reference numbers were measured again."""
    lines = [
        "## The same protocol?",
        "",
        REFERENCE_NOTE,
        "",
        "| protocol | method | metric | reference | here | relative | within 3 % |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {row['protocol']} | {row['method']} | {row['metric']} | {row['reference']:.4f} "
        f"| {row['ours']:.4f} | {row['relative']:+.1%} | {'yes' if row['within'] else 'no'} |"
        for row in rows
    ]
