"""What people read about the test: the page and the model card."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.plan import Plan
from pipeline.contracts.verdicts import Verdict
from pipeline.presentation.pages import Page, new_figure
from pipeline.testing.diagnosis.page import WORDS
from pipeline.testing.protocols import KNOWN, TITLES
from pipeline.testing.slices import CHANCE, FEW, Fairness

GREEN, GREY = "#1d7a4c", "#8a968f"
N_WEAKEST = 3


def page(metrics: Mapping[str, Any], slices: pd.DataFrame, conclusion: Verdict, plan: Plan) -> Page:
    """Return the testing page."""
    made = Page("Testing", "How good is each candidate on weeks that none of them has seen?")
    made.verdict(conclusion)
    for protocol, words in TITLES.items():
        made.table(
            f"Candidates, {words}",
            candidate_table(metrics, protocol),
            f"{KNOWN[protocol]} {metrics['n_requests'][protocol]:,} requests of "
            f"{metrics['n_users'][protocol]:,} "
            "shoppers; 95 % intervals by bootstrap over shoppers. Lead: champion minus candidate "
            "in recall@10, paired.",
        )
    made.figure("Recall@10 with intervals", _comparison(metrics), "Dots: mean. Bars: interval.")
    made.table(
        "Repeat and explore apart",
        _repeat_explore(metrics),
        (
            "Recall of items bought before, and of items never bought: within the plain list, "
            "and in a list of new items alone."
        ),
    )
    made.table(
        f"All {len(slices)} slices of the champion",
        slices.rename(columns=lambda name: name.replace("_", " ")),
        f"{plan.primary_metric} by kind of request and group of people, with intervals, the widest "
        "gap below the mean first. Gap: against the mean, as a fraction of it. Against mean: on "
        "which side of it the whole interval lies.",
    )
    made.facts(
        "Beyond accuracy",
        {
            "coverage of the catalogue": metrics["rolling"]["coverage@10"],
            "novelty, bits": metrics["rolling"]["novelty@10"],
            "popularity against what is bought": metrics["rolling"]["popularity_bias@10"],
            "fairness gap": str(Fairness(**metrics["fairness"])),
            "target of the plan": f"{plan.target.value:.4f} {plan.target.metric}",
            "recall@10 as served, with explore slots": metrics["served"]["recall@10"],
            "recall@10 that the champion gains by knowing time and store": _lead(
                metrics["context_gain"]["recall@10"]
            ),
        },
    )
    return made


def _entries(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {metrics["champion"]: metrics, **metrics["baselines"]}


def candidate_table(metrics: Mapping[str, Any], protocol: str) -> pd.DataFrame:
    """Return the main metrics of each candidate with the champion's paired lead."""
    rows = []
    for name, entry in _entries(metrics).items():
        values = entry[protocol]
        low, high = values["interval"]["recall@10"]
        lead = entry.get("paired", {}).get(protocol, {}).get("recall@10")
        rows.append(
            {
                "candidate": name,
                "recall@10": values["recall@10"],
                "interval": f"{low:.4f} to {high:.4f}",
                "NDCG@10": values["ndcg@10"],
                "hit rate@10": values["hit_rate@10"],
                "recall@20": values.get("recall@20"),
                "recall@10, mean of shoppers": values["mean_over_users"]["recall@10"],
                "lead of the champion": "–"
                if lead is None
                else f"{lead['difference']:+.4f} ({lead['low']:+.4f} to {lead['high']:+.4f})",
            }
        )
    return pd.DataFrame(rows)


def _repeat_explore(metrics: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "candidate": name,
                "repeat recall@10": entry["rolling"]["repeat_recall@10"],
                "explore recall@10": entry["rolling"]["explore_recall@10"],
                "explore recall@10, list of new items": entry["rolling"]["explore_slots_recall@10"],
                "the same, first basket": entry["first_basket"]["explore_slots_recall@10"],
            }
            for name, entry in _entries(metrics).items()
        ]
    )


def _comparison(metrics: Mapping[str, Any]) -> Any:
    figure = new_figure(12, 3)
    axes = figure.subplots(1, len(TITLES), sharey=True)
    names = list(_entries(metrics))
    for axis, (protocol, words) in zip(axes, TITLES.items(), strict=True):
        for at, (name, entry) in enumerate(_entries(metrics).items()):
            value, (low, high) = (
                entry[protocol]["recall@10"],
                entry[protocol]["interval"]["recall@10"],
            )
            colour = GREEN if name == metrics["champion"] else GREY
            axis.errorbar(
                value, at, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=3
            )
        axis.set(title=words, xlabel="recall@10")
        axis.set_yticks(np.arange(len(names)), names)
        axis.grid(axis="x", color="#dde4df")
    axes[0].invert_yaxis()
    return figure


def model_card(metrics: Mapping[str, Any], slices: pd.DataFrame, plan: Plan) -> str:
    """Return the model card in Markdown (Mitchell et al., 2019, doi:10.1145/3287560.3287596)."""
    rolling = metrics["rolling"]
    profile = plan.profile
    worst = slices[slices["against_mean"] != FEW].nsmallest(N_WEAKEST, "gap_fraction")
    lines = [
        f"# Model card: {metrics['champion']}",
        "",
        "## What it is for",
        (
            f"{plan.objective}. It ranks products that a shopper bought before and products that "
            "are new to them, at the moment of a visit. It is not meant for decisions about people."
        ),
        "",
        "## Data",
        (
            f"Source `{profile.source}`: {profile.n_users:,} shoppers, "
            f"{profile.n_items:,} products, {profile.n_baskets:,} baskets before the test window "
            f"({profile.first_day} to {profile.last_day} in the whole source)."
        ),
        "",
        "## Quality on unseen weeks",
        "| protocol | recall@10 | NDCG@10 | hit rate@10 |",
        "|---|---|---|---|",
        *(
            f"| {words} | {_cell(values, 'recall@10')} | {_cell(values, 'ndcg@10')} "
            f"| {_cell(values, 'hit_rate@10')} |"
            for words, values in ((TITLES[name], metrics[name]) for name in TITLES)
        ),
        "",
        "Means over requests with 95 % intervals by bootstrap over shoppers.",
        "",
        *(f"- {words}: {KNOWN[protocol]}" for protocol, words in TITLES.items()),
        "",
        "Champion minus candidate in recall@10, paired:",
        "",
        f"| candidate | {' | '.join(TITLES.values())} |",
        f"|---|{'---|' * len(TITLES)}",
        *(
            f"| {name} | {' | '.join(_lead(entry['paired'][p]['recall@10']) for p in TITLES)} |"
            for name, entry in metrics["baselines"].items()
        ),
        "",
        "## Where it is weakest",
        *(
            f"- {row.kind}, {row.slice}: {row.value:.4f} [{row.low:.4f}, {row.high:.4f}] "
            f"({row.gap_fraction:+.1%} of the mean, {row.n} requests"
            f"{'; may be chance' if row.against_mean == CHANCE else ''})"
            for row in worst.itertuples()
        ),
        "",
        f"The fairness gap: {Fairness(**metrics['fairness'])}",
        "",
        f"All {len(slices)} slices are on the testing page.",
        "",
        "## What the diagnosis of the fit leaves open",
        *open_findings(metrics["diagnosis"]),
        "",
        "## Limits",
        (
            "- Products that a shopper never bought are hard to foresee: a list of new products "
            f"alone has recall@10 {rolling['explore_slots_recall@10']:.4f}."
        ),
        f"- {rolling['coverage@10']:.1%} of the catalogue reaches anyone's first ten places.",
        (
            "- Browsing is not in the training data: what was just viewed moves only the explore "
            "list, the way a cart does."
        ),
        "- One retailer, one year: seasons that were not seen are not known.",
        "",
    ]
    return "\n".join(lines)


def open_findings(findings: Mapping[str, Any]) -> list[str]:
    """Return one line per finding that is suspected or unknown, or that there is none.

    Args:
        findings: Of the deep candidate, as in metrics.json.
    """
    lines = []
    for name, finding in findings.items():
        broken = [item for item in finding["evidence"] if not item["holds"]]
        numbers = [
            f" {item['name']} {item['value']:.4g}, bound {item['bound']:.4g}."
            for item in broken
            if item["value"] is not None and item["bound"] is not None
        ]
        if finding["verdict"] != "healthy":
            text = f"- {WORDS[name]}: {finding['verdict']}. {finding['cause']}"
            lines.append(text + "".join(numbers))
    return lines or [f"Nothing: {', '.join(WORDS[name].lower() for name in findings)} are healthy."]


def _cell(values: Mapping[str, Any], metric: str) -> str:
    low, high = values["interval"][metric]
    return f"{values[metric]:.4f} [{low:.4f}, {high:.4f}]"


def _lead(paired: Mapping[str, float]) -> str:
    return f"{paired['difference']:+.4f} [{paired['low']:+.4f}, {paired['high']:+.4f}]"
