"""Page and model card of the testing stage."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts.plan import Plan
from pipeline.contracts.testing_report import (
    MetricSummary,
    PairedDifference,
    RecordedFinding,
    TestReport,
)
from pipeline.contracts.verdicts import Verdict
from pipeline.presentation.pages import Page, new_figure
from pipeline.testing.diagnosis.page import WORDS
from pipeline.testing.protocols import KNOWN, TITLES
from pipeline.testing.slices import CHANCE, FEW, describe_fairness

GREEN, GREY = "#1d7a4c", "#8a968f"
N_WEAKEST = 3


def build_page(report: TestReport, slices: pd.DataFrame, conclusion: Verdict, plan: Plan) -> Page:
    """Return the testing page."""
    page = Page("Testing", "Quality of each candidate on unseen weeks.")
    page.verdict(conclusion)
    for protocol, words in TITLES.items():
        page.table(
            f"Candidates, {words}",
            build_candidate_table(report, protocol),
            f"{KNOWN[protocol]} {report.n_requests[protocol]:,} requests of "
            f"{report.n_users[protocol]:,} "
            "shoppers; 95 % intervals by bootstrap over shoppers. Lead: champion minus candidate "
            "in recall@10, paired.",
        )
    page.figure("Recall@10 with intervals", _comparison(report), "Dots: mean. Bars: interval.")
    page.table(
        "Repeat and explore apart",
        _repeat_explore(report),
        (
            "Recall of repeat items and of new items: within the plain list, and in a list of new "
            "items alone."
        ),
    )
    page.table(
        f"All {len(slices)} slices of the champion",
        slices.rename(columns=lambda name: name.replace("_", " ")),
        f"{plan.primary_metric} by kind of request and group of people, with intervals, largest "
        "gap below the mean first. Gap: difference from the mean, as a fraction of the mean. "
        "Against mean: the side of the mean on which the whole interval lies.",
    )
    page.facts(
        "Beyond accuracy",
        {
            "coverage of the catalogue": report.rolling.mean("coverage@10"),
            "novelty, bits": report.rolling.mean("novelty@10"),
            "popularity bias, 1 = as bought": report.rolling.mean("popularity_bias@10"),
            "fairness gap": describe_fairness(report.fairness),
            "target of the plan": f"{plan.target.value:.4f} {plan.target.metric}",
            "recall@10 as served, with explore slots": report.served.mean("recall@10"),
            "gain in recall@10 of the champion from time and store": _lead(
                report.context_gain["recall@10"]
            ),
        },
    )
    return page


def build_candidate_table(report: TestReport, protocol: str) -> pd.DataFrame:
    """Return the main metrics of each candidate with the champion's paired lead."""
    rows = []
    for name, candidate in report.candidates.items():
        summary = candidate.of(protocol)
        low, high = summary.interval["recall@10"]
        other = report.baselines.get(name)
        lead = None if other is None else other.paired[protocol]["recall@10"]
        rows.append(
            {
                "candidate": name,
                "recall@10": summary.mean("recall@10"),
                "interval": f"{low:.4f} to {high:.4f}",
                "NDCG@10": summary.mean("ndcg@10"),
                "hit rate@10": summary.mean("hit_rate@10"),
                "recall@20": summary.values.get("recall@20"),
                "recall@10, mean of shoppers": summary.mean_over_users["recall@10"],
                "lead of the champion": "–"
                if lead is None
                else f"{lead.difference:+.4f} ({lead.low:+.4f} to {lead.high:+.4f})",
            }
        )
    return pd.DataFrame(rows)


def _repeat_explore(report: TestReport) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "candidate": name,
                "repeat recall@10": rolling["repeat_recall@10"],
                "explore recall@10": rolling["explore_recall@10"],
                "explore recall@10, list of new items": rolling["explore_slots_recall@10"],
                "the same, first basket": first_basket["explore_slots_recall@10"],
            }
            for name, candidate in report.candidates.items()
            for rolling, first_basket in [(candidate.rolling.values, candidate.first_basket.values)]
        ]
    )


def _comparison(report: TestReport) -> Any:
    figure = new_figure(12, 3)
    axes = figure.subplots(1, len(TITLES), sharey=True)
    names = list(report.candidates)
    for axis, (protocol, words) in zip(axes, TITLES.items(), strict=True):
        for at, (name, candidate) in enumerate(report.candidates.items()):
            summary = candidate.of(protocol)
            value, (low, high) = summary.mean("recall@10"), summary.interval["recall@10"]
            colour = GREEN if name == report.champion else GREY
            axis.errorbar(
                value, at, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=3
            )
        axis.set(title=words, xlabel="recall@10")
        axis.set_yticks(np.arange(len(names)), names)
        axis.grid(axis="x", color="#dde4df")
    axes[0].invert_yaxis()
    return figure


def build_model_card(report: TestReport, slices: pd.DataFrame, plan: Plan) -> str:
    """Return the model card in Markdown (Mitchell et al., 2019, doi:10.1145/3287560.3287596)."""
    profile = plan.profile
    lines = [
        f"# Model card: {report.champion}",
        "",
        "## Intended use",
        (
            f"{plan.objective}. The model ranks products that a shopper bought before and new "
            "products, at the time of a visit. It is not meant for decisions about people."
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
        *_list_quality(report),
        "",
        "## Weakest slices",
        *_list_weakest_slices(slices),
        "",
        f"The fairness gap: {describe_fairness(report.fairness)}",
        "",
        f"All {len(slices)} slices are on the testing page.",
        "",
        "## Open findings of the diagnosis",
        *list_open_findings(report.diagnosis),
        "",
        "## Limits",
        *_list_limits(report.rolling),
        "",
    ]
    return "\n".join(lines)


def _list_quality(report: TestReport) -> list[str]:
    """Return the tables of the champion's metrics and of its lead over the other candidates."""
    return [
        "| protocol | recall@10 | NDCG@10 | hit rate@10 |",
        "|---|---|---|---|",
        *(
            f"| {words} | {_cell(summary, 'recall@10')} | {_cell(summary, 'ndcg@10')} "
            f"| {_cell(summary, 'hit_rate@10')} |"
            for words, summary in ((TITLES[name], report.of(name)) for name in TITLES)
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
            f"| {name} | {' | '.join(_lead(other.paired[p]['recall@10']) for p in TITLES)} |"
            for name, other in report.baselines.items()
        ),
    ]


def _list_weakest_slices(slices: pd.DataFrame) -> list[str]:
    worst = slices[slices["against_mean"] != FEW].nsmallest(N_WEAKEST, "gap_fraction")
    return [
        f"- {row.kind}, {row.slice}: {row.value:.4f} [{row.low:.4f}, {row.high:.4f}] "
        f"({row.gap_fraction:+.1%} of the mean, {row.n} requests"
        f"{'; may be chance' if row.against_mean == CHANCE else ''})"
        for row in worst.itertuples()
    ]


def _list_limits(rolling: MetricSummary) -> list[str]:
    return [
        (
            "- First purchases of a product are hard to predict: a list of new products alone has "
            f"recall@10 {rolling.mean('explore_slots_recall@10'):.4f}."
        ),
        (
            f"- {rolling.mean('coverage@10'):.1%} of the catalogue appears in the top ten of any "
            "shopper."
        ),
        (
            "- The training data has no page views: viewed products change only the explore list, "
            "as a cart does."
        ),
        "- One retailer, one year: the model knows no other seasons.",
    ]


def list_open_findings(findings: Mapping[str, RecordedFinding]) -> list[str]:
    """Return one line per suspected or unknown finding, or a line that all are healthy.

    Args:
        findings: Findings about the deep candidate by name.
    """
    lines = []
    for name, finding in findings.items():
        numbers = [
            f" {item.name} {item.value:.4g}, bound {item.bound:.4g}."
            for item in finding.evidence
            if not item.holds and item.value is not None and item.bound is not None
        ]
        if finding.verdict != "healthy":
            text = f"- {WORDS[name]}: {finding.verdict}. {finding.cause}"
            lines.append(text + "".join(numbers))
    return lines or [f"None: {', '.join(WORDS[name].lower() for name in findings)} are healthy."]


def _cell(summary: MetricSummary, metric: str) -> str:
    low, high = summary.interval[metric]
    return f"{summary.mean(metric):.4f} [{low:.4f}, {high:.4f}]"


def _lead(paired: PairedDifference) -> str:
    return f"{paired.difference:+.4f} [{paired.low:+.4f}, {paired.high:+.4f}]"
