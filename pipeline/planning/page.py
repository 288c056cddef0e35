"""The planning page for managers: the decision, the goal, the potential of the data, the cost."""

from typing import TYPE_CHECKING

import pandas as pd

from pipeline.contracts.plan import Estimate, LearningCurve, Plan
from pipeline.contracts.verdicts import Verdict
from pipeline.planning.viability import popular_baseline
from pipeline.presentation.pages import Page, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAF, SOFT, INK = "#1d7a4c", "#8a978f", "#1f2a24"


def build_page(plan: Plan, conclusion: Verdict) -> Page:
    """Return the page: first the decision, then the details."""
    view = Page("Planning", f"{plan.objective}: is it worth the cost, and what does it require?")
    view.verdict(conclusion)
    _goal(view, plan)
    view.figure(
        "How much data is enough",
        _curves(plan),
        f"{_describe_weeks(plan.learning_curves[0])} {_describe_users(plan.learning_curves[1])}",
    )
    view.table(
        "The ceiling of each set of candidates",
        pd.DataFrame(
            {
                "candidates": [row.name for row in plan.ceiling],
                "share of wanted items": [row.reachable_fraction for row in plan.ceiling],
                f"{plan.primary_metric}, perfectly ranked": [r.best_metric for r in plan.ceiling],
            }
        ),
        "Means over baskets of the validation window. A list of ten cannot hold a basket of more "
        "than ten items, so even a perfect ranking stays below 1.",
    )
    view.table(
        "Frequency baselines",
        pd.DataFrame(
            {
                "method": [row.name for row in plan.baselines],
                plan.primary_metric: [f"{row.value:.4f}" for row in plan.baselines],
                "interval": [_interval(row) for row in plan.baselines],
                "": ["to beat" if r.name == plan.baseline.name else "" for r in plan.baselines],
            }
        ),
        f"{plan.viability.n_requests:,} baskets of {plan.viability.n_users:,} shoppers in the "
        "validation window, each predicted from earlier purchases.",
    )
    _costs(view, plan)
    _guardrails(view, plan)
    view.text("Which events count as wanted", *plan.label_policy.reasons)
    _profile(view, plan)
    return view


def _goal(view: Page, plan: Plan) -> None:
    target, viability = plan.target, plan.viability
    popular = popular_baseline(plan)
    view.facts(
        "Goal",
        {
            "objective": plan.objective,
            "measured by": plan.primary_metric,
            "target": f"{target.value:.4f} ({_interval(target)}): {target.derivation}",
            "baseline to beat": f"{plan.baseline.value:.4f} ({_interval(plan.baseline)}), "
            f"{plan.baseline.name}",
            "popular list": f"{popular.value:.4f} ({_interval(popular)})",
            "smallest significant improvement": f"about {viability.detectable_improvement:.4f} "
            f"with {viability.n_users:,} shoppers in the window",
        },
    )


def _interval(estimate: Estimate) -> str:
    return f"{estimate.low:.4f} to {estimate.high:.4f}"


def _describe_weeks(curve: LearningCurve) -> str:
    last, more = curve.points[-1], curve.extrapolated
    return (
        f"Left: twice the {curve.axis} ({curve.extrapolated_size:,.0f}) would change the value by "
        f"{more.value - last.value:+.4f}, to {_interval(more)}. To test the curve: fitted without "
        f"the last point, it predicts {curve.hidden_point.value:.4f} there; "
        f"{last.value:.4f} was measured."
    )


def _describe_users(curve: LearningCurve) -> str:
    first, last = curve.points[0], curve.points[-1]
    twice = last.gain_half_width / 2**0.5
    return (
        "Right: more users hardly change a shopper's own frequencies, but they narrow the "
        f"interval of the gain: ±{first.gain_half_width:.3f} with "
        f"{first.size:,.0f} users, ±{last.gain_half_width:.3f} with {last.size:,.0f} and "
        f"±{twice:.3f} with twice as many. Of the wanted items, {first.known_item_fraction:.0%} to "
        f"{last.known_item_fraction:.0%} have sold before."
    )


def _curves(plan: Plan) -> "Figure":
    figure = new_figure(9.0, 3.4)
    axes = figure.subplots(1, len(plan.learning_curves), sharey=True)
    for axis, curve in zip(axes, plan.learning_curves, strict=True):
        _draw(axis, curve)
    highest = max(point.high for curve in plan.learning_curves for point in curve.points)
    axes[0].set_ylim(0, 1.05 * highest)
    axes[0].set_ylabel(plan.primary_metric)
    axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _draw(axes: "Axes", curve: LearningCurve) -> None:
    sizes = [point.size for point in curve.points]
    axes.fill_between(
        sizes,
        [point.low for point in curve.points],
        [point.high for point in curve.points],
        color=LEAF,
        alpha=0.15,
        linewidth=0,
    )
    axes.plot(sizes, [point.value for point in curve.points], "o-", color=LEAF, label="measured")
    more = curve.extrapolated
    axes.plot(
        [sizes[-1], curve.extrapolated_size],
        [curve.points[-1].value, more.value],
        linestyle="--",
        color=LEAF,
    )
    axes.errorbar(
        [curve.extrapolated_size],
        [more.value],
        yerr=[[more.value - more.low], [more.high - more.value]],
        fmt="s",
        color=INK,
        capsize=3,
        label="expected with twice as much",
    )
    axes.plot(
        sizes, [point.popular for point in curve.points], ":", color=SOFT, label="popular list"
    )
    axes.set_xlabel(curve.axis)
    axes.spines[["top", "right"]].set_visible(False)


def _costs(view: Page, plan: Plan) -> None:
    stages = [str(cost.stage) for cost in plan.costs]
    view.table(
        "The cost of a cycle",
        pd.DataFrame(
            {
                "phase": [*stages, "all phases (memory: the largest)"],
                "minutes": [round(c.minutes, 1) for c in plan.costs] + [round(plan.minutes(), 1)],
                "GiB": [round(c.memory_gib, 1) for c in plan.costs] + [round(plan.memory_gib(), 1)],
            }
        ),
        "Estimated for the reference machine of two cores from the size of the source "
        "(pipeline/planning/costs.py). `make estimates` compares the estimates with measurements.",
    )


def _guardrails(view: Page, plan: Plan) -> None:
    limits = plan.guardrails
    view.facts(
        "Guardrails",
        {
            "99th percentile of latency": f"{limits.p99_latency_ms:g} ms",
            "memory of the service": f"{limits.serving_memory_gib:g} GiB",
            "duration of a cycle": f"{limits.cycle_minutes:g} minutes",
            "memory of any phase": f"{limits.training_memory_gib:g} GiB",
            "minimum share of the catalogue in someone's top 10": f"{limits.minimum_coverage:.0%}",
            "maximum gap of a demographic group below the mean": (
                f"{limits.maximum_fairness_gap:.0%}"
            ),
        },
    )


def _profile(view: Page, plan: Plan) -> None:
    data = plan.profile
    view.facts(
        "The data",
        {
            "source": data.source,
            "span": f"{data.first_day} to {data.last_day}",
            "shoppers": data.n_users,
            "items sold": data.n_items,
            "baskets": data.n_baskets,
            "baskets per shopper": round(data.baskets_per_user, 1),
            "items per basket": round(data.items_per_basket, 1),
            "share of a basket bought before": f"{data.repeat_fraction_items:.0%} of items, "
            f"{data.repeat_fraction_types:.0%} of types",
            "shoppers with attributes": f"{data.known_user_fraction:.0%}",
            "pairs of shopper and item without a purchase": f"{data.sparsity:.2%}",
            **{f"rows of {name}": count for name, count in data.n_rows.items()},
        },
    )
    if data.missing:
        rows = [(item.name, item.switched_off) for item in data.missing]
        view.table("Missing data", pd.DataFrame(rows, columns=["missing", "effect"]))
