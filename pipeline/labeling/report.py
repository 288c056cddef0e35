"""Verdict and page of the labeling stage."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.contracts.params import LabelingParams, ShopParams
from pipeline.contracts.review_ids import review_id
from pipeline.contracts.verdicts import Evidence, Verdict, failing
from pipeline.labeling.audit.label_audit import LabelAudit
from pipeline.labeling.audit.label_issues import REASONS
from pipeline.labeling.examples.labelling import Labelled
from pipeline.labeling.repairs import ask_about_labels
from pipeline.presentation.pages import Page, new_figure
from pipeline.validation import Validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "train": "#cfe6d8",
    "validation": "#f6e3b4",
    "test": "#f3c9b8",
    "production": "#cfd9ee",
}
N_SHOWN = 8


def build_verdict(
    audit: LabelAudit,
    balances: pd.DataFrame,
    validations: Sequence[Validation],
    params: LabelingParams,
) -> Verdict:
    """Return the verdict; too many doubtful labels return to collection."""
    labels = audit.labels
    doubtful = Evidence(
        name="doubtful_fraction",
        value=labels.doubtful_fraction,
        bound=params.maximum_doubtful_fraction,
        holds=labels.doubtful_fraction <= params.maximum_doubtful_fraction,
        note=f"{labels.n_doubtful:,} of {labels.n_reviewed:,} labels of training and "
        "validation wait for a reviewer",
    )
    expected = tuple(
        Evidence(
            name=f"failures: {validation.suite}",
            value=len(validation.failures),
            bound=0,
            holds=not validation.failures,
            note="; ".join(f"{f.reason} ({f.observed})" for f in validation.failures)
            or f"{validation.n_expectations} expectations hold on {validation.n_rows:,} rows",
        )
        for validation in validations
    )
    evidence = (_size(balances), doubtful, *_warnings(audit, params), *expected)
    broken = failing(evidence)
    if not broken:
        n_examples, n_labels = int(balances["n_examples"].sum()), labels.n_labels
        cause = f"{n_examples:,} examples with {n_labels:,} labels hold every expectation"
        return Verdict(phase="labeling", status="proceed", cause=cause, evidence=evidence)
    action = "Collect the data that the failing expectations in the Data Docs require."
    if not doubtful.holds:
        action = "Clean the source of the issues in data/labelled/review_queue.csv, or decide on "
        action += "them in data/reviewed/labels.csv."
    return Verdict(
        phase="labeling",
        status="return",
        cause="; ".join(f"{item.name} is {item.value:.4g}" for item in broken),
        evidence=evidence,
        target_phase="collection",
        action=action,
        repairs=(ask_about_labels(broken, action),),
    )


def _size(balances: pd.DataFrame) -> Evidence:
    n_train = int(balances.loc[balances["split"] == "train", "n_examples"].sum())
    return Evidence(name="training_examples", value=n_train, bound=1, holds=n_train >= 1)


def _warnings(audit: LabelAudit, params: LabelingParams) -> tuple[Evidence, ...]:
    """Return warnings about held-out label issues and decisions without effect."""
    labels, reviews = audit.labels, audit.reviews
    n_ignored = reviews.n_without_effect + reviews.n_unmatched
    return (
        Evidence(
            name="held_out_doubtful_fraction",
            value=labels.held_out_doubtful_fraction,
            bound=params.maximum_doubtful_fraction,
            holds=labels.held_out_doubtful_fraction <= params.maximum_doubtful_fraction,
            gates=False,
            note=f"{labels.n_held_out_doubtful:,} of {labels.n_held_out:,} labels of test "
            "and production, which are not reviewed; clean their source",
        ),
        Evidence(
            name="decisions_without_effect",
            value=n_ignored,
            bound=0,
            holds=n_ignored == 0,
            gates=False,
            note=f"rows of data/reviewed/labels.csv: {reviews.n_without_effect} about baskets "
            f"of test or production, {reviews.n_unmatched} about a basket that does not exist",
        ),
    )


def build_page(
    labelled: Labelled,
    audit: LabelAudit,
    conclusion: Verdict,
    items: pd.DataFrame,
    settings: tuple[LabelingParams, ShopParams],
) -> Page:
    """Return the page: definition, number, balance and audit of the examples."""
    params, shop = settings
    page = Page(
        "Labeling", "Examples for training and testing, their balance, and the label audit."
    )
    page.verdict(conclusion)
    page.text(
        "What an example is",
        "A shopper, a moment, and the products that the shopper then bought. A model may use "
        "everything strictly before the moment; the labels lie at or after it, inside one label "
        f"window. The negatives are up to {params.n_negatives} products that were sold or promoted "
        f"in the {params.on_offer_days} days before the window and are not in the basket.",
        "rolling: requested at the start of a basket. first_basket: requested when the window "
        f"opens, for the first basket of the next {params.horizon_days} days. A shopper needs "
        f"{params.minimum_earlier_baskets} earlier baskets. For {params.cart_fraction:.0%} of the "
        "training examples whose basket has two products or more, the first part of the basket is "
        "in the cart; the rest are the labels.",
    )
    page.facts("An example", build_worked_example(labelled, items, shop.timezone))
    page.table("Counts, class balance and coverage", _balances(audit))
    page.figure(
        "Baskets by week",
        draw_weeks(labelled, shop.timezone),
        "Baskets per week in the shop's time zone; the label windows are shaded.",
    )
    page.table(
        "Label audit",
        build_issue_table(audit),
        "A label issue removes nothing. A reviewer removes a label of training or validation with "
        "drop in data/reviewed/labels.csv; labels of test and production measure the model and are "
        "not reviewed. The open issues are in data/labelled/review_queue.csv, and as Label Studio "
        "tasks in data/labelled/review_tasks.json.",
    )
    page.facts("More of the audit", _facts(audit))
    page.text("Where to look further", "Every expectation: reports/labeling/data_docs/index.html.")
    return page


def build_worked_example(
    labelled: Labelled, items: pd.DataFrame, timezone: str
) -> dict[str, object]:
    """Return the first training example with a cart, or else the first example, as text."""
    small = labelled.labels.lengths() <= N_SHOWN
    carts = ((labelled.cart.lengths() > 0) & small).nonzero()[0]
    number = int(carts[0]) if len(carts) else 0
    row = labelled.rows.iloc[number]
    titles = items.set_index("item_id")["title"]

    def shown(positions: Any) -> str:
        ids = labelled.source.names[positions]
        words = [f"{titles[i]} ({i})" if pd.notna(titles.get(i)) else str(i) for i in ids]
        more = f" and {len(words) - N_SHOWN} more" if len(words) > N_SHOWN else ""
        return ", ".join(words[:N_SHOWN]) + more

    lists = {
        "in the cart already": labelled.items(labelled.cart),
        "labels": labelled.items(labelled.labels),
        "negatives": labelled.negatives,
    }
    return {
        "example": review_id(row["example_id"]),
        "split and protocol": f"{row['split']}, {row['protocol']}",
        "window opens": f"{row['cutoff'].tz_convert(timezone):%a %d %b %Y %H:%M}",
        "moment of the request": f"{row['timestamp'].tz_convert(timezone):%a %d %b %Y %H:%M}",
        "earlier baskets": int(row["n_earlier_baskets"]),
        **{
            name: shown(ragged.values[ragged.splits[number] : ragged.splits[number + 1]]) or None
            for name, ragged in lists.items()
        },
    }


def _balances(audit: LabelAudit) -> pd.DataFrame:
    frame = pd.DataFrame(
        [
            {"split": split, "protocol": protocol, **counts.model_dump()}
            for split, protocols in audit.splits.items()
            for protocol, counts in protocols.items()
        ]
    )
    return frame.rename(columns=lambda name: name.removeprefix("n_").replace("_", " "))


def build_issue_table(audit: LabelAudit) -> pd.DataFrame:
    """Return the audit as a table of issues, with those that concern labels in use."""
    open_by_reason = audit.labels.n_doubtful_by_reason
    return pd.DataFrame(
        [
            {
                "issue": reason,
                "meaning": meaning,
                "shoppers": audit.doubts[reason].n_users,
                "baskets": audit.doubts[reason].n_baskets,
                "labels waiting for a reviewer": open_by_reason[reason],
                "suggested": suggested,
            }
            for reason, (suggested, meaning) in REASONS.items()
        ]
    )


def _facts(audit: LabelAudit) -> dict[str, object]:
    labels, reviews = audit.labels, audit.reviews
    return {
        "a basket is bulk beyond": f"{audit.bulk_limit_items:g} products or "
        f"{audit.bulk_limit_units:g} units",
        "basket lines that were returned": audit.n_lines_returned,
        "labels without a category": labels.n_without_category,
        "labels": labels.n_labels,
        "share that is doubtful in training and validation": labels.doubtful_fraction,
        "share that is doubtful in test and production": labels.held_out_doubtful_fraction,
        "decisions of reviewers": f"{reviews.n_keep} keep, {reviews.n_drop} drop; "
        f"{reviews.n_unmatched} match no basket and {reviews.n_without_effect} have no "
        "effect, because they are about baskets of test or production",
        "basket lines dropped by reviewers": reviews.n_lines_dropped,
    }


def draw_weeks(labelled: Labelled, timezone: str) -> "Figure":
    """Return a plot of baskets per local week with the label windows shaded."""
    from matplotlib.dates import date2num

    starts = labelled.source.baskets["timestamp"].dt.tz_convert(timezone).dt.tz_localize(None)
    weeks = starts.dt.to_period("W-SUN").dt.start_time.value_counts().sort_index()
    figure = new_figure()
    axes = figure.subplots()
    for number, window in enumerate(labelled.source.windows):
        opens, closes = (
            date2num(pd.Timestamp(moment).tz_convert(timezone).tz_localize(None))
            for moment in (window.cutoff, window.ends)
        )
        first = window.split not in [w.split for w in labelled.source.windows[:number]]
        label = window.split if first else None
        axes.axvspan(opens, closes, color=COLOURS[window.split], label=label, linewidth=0)
        axes.axvline(opens, color="white", linewidth=1)
    axes.plot(weeks.index, weeks.to_numpy(), color="#1d7a4c", drawstyle="steps-post")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("baskets per week")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(COLOURS), frameon=False)
    return figure
