"""The plan for a manager: the decision, the goal, what the data can give, and what it costs."""

from typing import TYPE_CHECKING

import pandas as pd

from pipeline.contracts.plan import Estimate, LearningCurve, Plan
from pipeline.contracts.verdicts import Verdict
from pipeline.planning.viability import popular
from pipeline.presentation.pages import Page, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAF, SOFT, INK = "#1d7a4c", "#8a978f", "#1f2a24"


def page(plan: Plan, conclusion: Verdict) -> Page:
    """Return the page, from the decision down to the details."""
    view = Page("Planning", f"{plan.objective}: is it worth it, and what will it take?")
    view.verdict(conclusion)
    _goal(view, plan)
    view.figure(
        "How much data is enough",
        _curves(plan),
        f"{_say_weeks(plan.learning_curves[0])} {_say_users(plan.learning_curves[1])}",
    )
    view.table(
        "What can be reached at all",
        pd.DataFrame(
            {
                "candidates": [row.name for row in plan.ceiling],
                "share of wanted items": [row.reachable_fraction for row in plan.ceiling],
                f"{plan.primary_metric}, perfectly ranked": [r.best_metric for r in plan.ceiling],
            }
        ),
        "Means over baskets of the validation window. A basket of more than ten items cannot be "
        "shown whole in ten places, so even a perfect ranking stays below 1.",
    )
    view.table(
        "What counting alone gives",
        pd.DataFrame(
            {
                "method": [row.name for row in plan.baselines],
                plan.primary_metric: [f"{row.value:.4f}" for row in plan.baselines],
                "interval": [_interval(row) for row in plan.baselines],
                "": ["to beat" if r.name == plan.baseline.name else "" for r in plan.baselines],
            }
        ),
        f"{plan.viability.n_requests:,} baskets of {plan.viability.n_users:,} shoppers in the "
        "validation window, each predicted from what came before it.",
    )
    _costs(view, plan)
    _guardrails(view, plan)
    view.text("What will count as wanted", *plan.label_policy.reasons)
    _profile(view, plan)
    return view


def _goal(view: Page, plan: Plan) -> None:
    target, found = plan.target, plan.viability
    view.facts(
        "Goal",
        {
            "objective": plan.objective,
            "measured by": plan.primary_metric,
            "target": f"{target.value:.4f} ({_interval(target)}): {target.derivation}",
            "baseline to beat": f"{plan.baseline.value:.4f} ({_interval(plan.baseline)}), "
            f"{plan.baseline.name}",
            "popular list": f"{popular(plan).value:.4f} ({_interval(popular(plan))})",
            "smallest improvement that can be proved": f"about {found.detectable_improvement:.4f} "
            f"with {found.n_users:,} shoppers in the window",
        },
    )


def _interval(estimate: Estimate) -> str:
    return f"{estimate.low:.4f} to {estimate.high:.4f}"


def _say_weeks(curve: LearningCurve) -> str:
    last, more = curve.points[-1], curve.extrapolated
    return (
        f"Left: twice the {curve.axis} ({curve.extrapolated_size:,.0f}) would change the value by "
        f"{more.value - last.value:+.4f}, to {_interval(more)}. The curve's own test: fitted "
        f"without the last point it foretells {curve.hidden_point.value:.4f} there, and "
        f"{last.value:.4f} was measured."
    )


def _say_users(curve: LearningCurve) -> str:
    first, last = curve.points[0], curve.points[-1]
    twice = last.gain_half_width / 2**0.5
    return (
        "Right: other shoppers tell little about what one of them counts for herself, but they "
        f"make the answer certain. The gain is known to ±{first.gain_half_width:.3f} with "
        f"{first.size:,.0f} users, ±{last.gain_half_width:.3f} with {last.size:,.0f} and "
        f"±{twice:.3f} with twice as many; and {first.known_item_fraction:.0%} to "
        f"{last.known_item_fraction:.0%} of the wanted items have been seen before."
    )


def _curves(plan: Plan) -> "Figure":
    figure = new_figure(9.0, 3.4)
    axes = figure.subplots(1, len(plan.learning_curves), sharey=True)
    for place, curve in zip(axes, plan.learning_curves, strict=True):
        _draw(place, curve)
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
        "What a cycle costs",
        pd.DataFrame(
            {
                "phase": [*stages, "all phases (memory: the largest)"],
                "minutes": [round(c.minutes, 1) for c in plan.costs] + [round(plan.minutes(), 1)],
                "GiB": [round(c.memory_gib, 1) for c in plan.costs] + [round(plan.memory_gib(), 1)],
            }
        ),
        "Estimated for the reference machine of two cores from the size of the source "
        "(pipeline/planning/costs.py). `make estimates` compares "
        "it with what the phases then took.",
    )


def _guardrails(view: Page, plan: Plan) -> None:
    limits = plan.guardrails
    view.facts(
        "Guardrails",
        {
            "answers within, 99 of 100": f"{limits.p99_latency_ms:g} ms",
            "memory when serving": f"{limits.serving_memory_gib:g} GiB",
            "a whole cycle within": f"{limits.cycle_minutes:g} minutes",
            "memory of any phase": f"{limits.training_memory_gib:g} GiB",
            "catalogue that must reach someone's top 10": f"{limits.minimum_coverage:.0%}",
            "worst demographic group below the mean by at most": (
                f"{limits.maximum_fairness_gap:.0%}"
            ),
        },
    )


def _profile(view: Page, plan: Plan) -> None:
    found = plan.profile
    view.facts(
        "The data",
        {
            "source": found.source,
            "span": f"{found.first_day} to {found.last_day}",
            "shoppers": found.n_users,
            "items sold": found.n_items,
            "baskets": found.n_baskets,
            "baskets per shopper": round(found.baskets_per_user, 1),
            "items per basket": round(found.items_per_basket, 1),
            "bought before, share of a basket": f"{found.repeat_fraction_items:.0%} of items, "
            f"{found.repeat_fraction_types:.0%} of types",
            "shoppers with attributes": f"{found.known_user_fraction:.0%}",
            "pairs of shopper and item that never met": f"{found.sparsity:.2%}",
            **{f"rows of {name}": count for name, count in found.n_rows.items()},
        },
    )
    if found.missing:
        rows = [(item.name, item.switched_off) for item in found.missing]
        view.table(
            "What the data do not tell",
            pd.DataFrame(rows, columns=["missing", "so"]),
        )
