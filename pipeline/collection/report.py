"""The results of collection: report, verdict and page."""

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.collection.manifest import Manifest, Partition
from pipeline.collection.partitions import UNDATED
from pipeline.contracts.params import CollectionParams, ShopParams
from pipeline.contracts.verdicts import Evidence, Verdict, failing
from pipeline.presentation.pages import Page, new_figure
from pipeline.validation import Validator

Report = dict[str, Any]
DECLARED = {
    "corrections": "Corrections of the source, in order",
    "held_out": "Lines held out, in data/quarantine",
}


def build_report(manifest: Manifest) -> Report:
    """Return the numbers of rows read, dropped, quarantined and kept."""
    assert manifest.totals is not None
    months = [(name, part) for name, part in sorted(manifest.events.items()) if name != UNDATED]
    rare = {
        "suppressed": dict(manifest.suppressed),
        "corrections": [count.model_dump() for count in manifest.corrections],
        "held_out": [count.model_dump() for count in manifest.held_out],
        "read_as": dict(manifest.read_as),
    }
    return {
        **{name: value for name, value in rare.items() if value},
        "source": manifest.source,
        "raw": {
            name: {"n_rows": checked.n_rows, "n_failing": checked.n_failing}
            for name, checked in manifest.raw.items()
        },
        "not_mapped": list(manifest.not_mapped),
        "events": _summary(manifest.events),
        "offers": _summary(manifest.offers),
        "whole": {
            name: {"n_rows": checked.n_rows, "n_failing": checked.n_failing}
            for name, checked in manifest.whole.items()
        },
        "totals": manifest.totals.model_dump(),
        "months": [_month(name, part) for name, part in months],
    }


def _summary(partitions: dict[str, Partition]) -> Report:
    n_in = sum(part.n_in for part in partitions.values())
    n_quarantined = sum(part.n_quarantined for part in partitions.values())
    n_failing = sum(part.checked.n_failing for part in partitions.values())
    return {
        "n_in": n_in,
        "n_rows": sum(part.n_rows for part in partitions.values()),
        "dropped": _sum(part.dropped for part in partitions.values()),
        "n_quarantined": n_quarantined,
        "quarantined_fraction": n_failing / n_in if n_in else 0.0,
        "reasons": _sum(part.reasons for part in partitions.values()),
    }


def _sum(counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))


def _month(name: str, part: Partition) -> Report:
    return {
        "month": name,
        "n_in": part.n_in,
        "n_dropped": sum(part.dropped.values()),
        "n_quarantined": part.n_quarantined,
        "n_rows": part.n_rows,
        "n_users": part.n_users,
        "n_baskets": part.n_baskets,
    }


def build_verdict(report: Report, params: CollectionParams, shop: ShopParams) -> Verdict:
    """Return whether the clean tables cover the windows of the plan."""
    events, totals = report["events"], report["totals"]
    limit = params.maximum_failure_fraction
    start = shop.windows().validation_start.astimezone(shop.windows().as_of.tzinfo)
    needed_from, needed_to = pd.Timestamp(start).date(), shop.as_of
    first, last = date.fromisoformat(totals["first"]), date.fromisoformat(totals["last"])
    evidence = (
        Evidence(name="rows_in", value=events["n_in"], holds=events["n_in"] > 0),
        Evidence(
            name="rows_kept",
            value=events["n_rows"],
            holds=events["n_rows"] > 0,
            note=f"{events['n_rows'] / max(events['n_in'], 1):.1%} of the rows read",
        ),
        Evidence(
            name="quarantined_fraction",
            value=events["quarantined_fraction"],
            bound=limit,
            holds=events["quarantined_fraction"] <= limit,
        ),
        Evidence(name="users", value=totals["n_users"], holds=totals["n_users"] > 0),
        Evidence(name="items", value=totals["n_items"], holds=totals["n_items"] > 0),
        Evidence(name="baskets", value=totals["n_baskets"], holds=totals["n_baskets"] > 0),
        Evidence(name="months", value=len(report["months"]), holds=bool(report["months"])),
        Evidence(
            name="days_before_validation",
            value=(needed_from - first).days,
            bound=1,
            holds=first < needed_from,
            note=f"first event {first}, validation from {needed_from}",
        ),
        Evidence(
            name="days_missing_before_as_of",
            value=max((needed_to - last).days - 1, 0),
            bound=shop.test_days - 1,
            holds=(needed_to - last).days - 1 < shop.test_days,
            note=f"last event {last}, as_of {needed_to}",
        ),
        *_declared_evidence(report),
    )
    missing = [item.name for item in failing(evidence)]
    if not missing:
        return Verdict(
            phase="collection",
            status="proceed",
            cause=f"{events['n_rows']:,} clean events of {totals['n_users']:,} users, "
            f"{first} to {last}",
            evidence=evidence,
        )
    return Verdict(
        phase="collection",
        status="return",
        cause=f"data that the plan needs are missing: {', '.join(missing)}",
        evidence=evidence,
        target_phase="planning",
        action=f"Choose shop.as_of and the windows within {first} to {last}, or add data.",
    )


def _declared_evidence(report: Report) -> list[Evidence]:
    """Return the lines of each declared correction and quarantine; none is a warning."""
    return [
        Evidence(
            name=f"{name}_{number}_lines",
            value=count["n_lines"],
            bound=1,
            holds=count["n_lines"] > 0,
            gates=False,
            note=count["description"],
        )
        for name, key in (("correction", "corrections"), ("quarantine", "held_out"))
        for number, count in enumerate(report.get(key, ()), start=1)
    ]


def write_docs(manifest: Manifest, validator: Validator, folder: Path) -> None:
    """Write the Data Docs of all validations in the manifest."""
    for checked in (*manifest.raw.values(), *manifest.whole.values()):
        validator.add_document(checked.document["suite_name"], checked.document)
    for part in (*manifest.events.values(), *manifest.offers.values()):
        validator.add_document(part.checked.document["suite_name"], part.checked.document)
    validator.write_docs(folder)


def build_page(report: Report, conclusion: Verdict) -> Page:
    """Return the page about rows read, dropped, quarantined and kept."""
    totals = report["totals"]
    view = Page("Collection", "Rows read, dropped, quarantined and kept, with the reasons.")
    view.verdict(conclusion)
    view.text(
        "More details",
        "Every expectation and its outcome: reports/collection/data_docs/index.html. "
        "Quarantined rows, with reasons: data/quarantine. "
        "All numbers: reports/collection/report.json.",
    )
    view.table("Raw tables", _raw_table(report), f"Source: {report['source']}.")
    view.table("Events: what each rule drops", _rules_table(report["events"]))
    view.table("Offers: what each rule drops", _rules_table(report["offers"]))
    view.facts(
        "Clean data",
        {
            "users": totals["n_users"],
            "users with attributes": totals["n_known_users"],
            "items sold": totals["n_items"],
            "items in the catalogue": totals["n_catalogue"],
            "sold items that the catalogue does not list": totals["n_unknown_items"],
            "baskets": totals["n_baskets"],
            "offers to an audience of unknown size, which the model ignores": totals[
                "n_offers_of_unknown_reach"
            ],
            "first and last day": f"{totals['first']} to {totals['last']}",
            "after departments alone": f"{totals['n_users_after_departments']:,} users, "
            f"{totals['n_items_after_departments']:,} items, "
            f"{totals['n_baskets_after_departments']:,} baskets",
        },
    )
    if "suppressed" in report:
        view.facts(
            "People who asked to be forgotten",
            {
                "people on the list and in the source": report["suppressed"]["n_users"],
                "dropped events": report["suppressed"]["n_events"],
            },
        )
    if "read_as" in report:
        view.facts("How columns of the files are read", report["read_as"])
    for key, heading in DECLARED.items():
        if key in report:
            view.table(heading, _declared_table(report[key]))
    months = pd.DataFrame(report["months"])
    view.figure("Events by month", _month_figure(months), "Clean purchase lines per local month.")
    view.table("Months", months.rename(columns=lambda name: name.removeprefix("n_")))
    return view


def _raw_table(report: Report) -> pd.DataFrame:
    rows = [
        {
            "table": name,
            "rows": raw["n_rows"],
            "rows that break an expectation": raw["n_failing"],
            "mapped": name not in report["not_mapped"],
        }
        for name, raw in report["raw"].items()
    ]
    return pd.DataFrame(rows)


def _rules_table(summary: Report) -> pd.DataFrame:
    steps = [("read", summary["n_in"])]
    steps += [(f"dropped: {rule}", -count) for rule, count in summary["dropped"].items()]
    steps += [(f"quarantined: {why}", -count) for why, count in summary["reasons"].items()]
    steps += [("kept", summary["n_rows"])]
    return pd.DataFrame(steps, columns=["", "rows"])


def _declared_table(counts: list[dict[str, Any]]) -> pd.DataFrame:
    names = {
        "description": "declared in params.yaml",
        "n_lines": "lines",
        "n_merged_ids": "new ids of several old ones",
    }
    return pd.DataFrame(counts).rename(columns=names)


def _month_figure(months: pd.DataFrame) -> Any:
    figure = new_figure()
    axes = figure.subplots()
    axes.bar(range(len(months)), months["n_rows"], color="#1d7a4c")
    axes.set_xticks(range(len(months)), months["month"].tolist(), rotation=45)
    axes.set_ylabel("events")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
