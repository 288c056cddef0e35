"""The viability verdict: each number with its bound, and what a failing one would require."""

import math
from collections.abc import Iterable

from pipeline.contracts.params import PlanningParams
from pipeline.contracts.plan import Baseline, Plan
from pipeline.contracts.verdicts import Evidence, Verdict, failing
from pipeline.planning.reach import EXPLORE
from pipeline.planning.repairs import ask_about_viability

SHOWN = 5


def build_verdict(plan: Plan, params: PlanningParams, slowness: float = 1.0) -> Verdict:
    """Return `proceed` if all evidence that gates holds, else `stop` with the requirements.

    Args:
        plan: The plan to judge.
        params: The bounds.
        slowness: Duration of a phase here relative to the plan; it matters for a hard budget only.
    """
    evidence = build_evidence(plan, params, slowness)
    failed = [item.name for item in failing(evidence)]
    gain = plan.viability.gain
    if failed:
        return Verdict(
            phase="planning",
            status="stop",
            cause=f"The project is not worth its cost. Out of bounds: {_names(failed)}",
            evidence=evidence,
            action=" ".join(describe_needs(plan, params, slowness)),
            repairs=(ask_about_viability(failing(evidence)),),
        )
    warnings = [item.name for item in evidence if not item.holds]
    return Verdict(
        phase="planning",
        status="proceed",
        cause=f"Earlier purchases predict the next basket: {plan.primary_metric} "
        f"{plan.baseline.value:.3f} by frequency, {gain.value:.3f} more than the popular list "
        f"({gain.low:.3f} to {gain.high:.3f}). A model should reach {plan.target.value:.3f}"
        + (f". Warnings: {_names(warnings)}" if warnings else ""),
        evidence=evidence,
        cost_minutes=round(plan.minutes(), 2),
        gain=round(plan.target.value - plan.baseline.value, 6),
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def build_evidence(
    plan: Plan, params: PlanningParams, slowness: float = 1.0
) -> tuple[Evidence, ...]:
    """Return every number with its bound.

    The interval of the gain decides whether the data suffice. The numbers of users, baskets and
    days, and the width of the interval, only warn. A cost over budget warns too, unless the budget
    is hard.
    """
    data, gain = plan.profile, plan.viability.gain
    best_possible = next(row for row in plan.ceiling if row.name == EXPLORE).best_metric
    wanted = popular_baseline(plan).value + params.minimum_gain
    width, limit = gain.half_width(), interval_limit(plan, params)
    return (
        _at_least(
            "gain_lower_bound",
            gain.low,
            params.minimum_gain,
            note=f"{plan.baseline.name}: {gain.value:+.4f}, interval {gain.low:.4f} to "
            f"{gain.high:.4f}",
        ),
        _at_least(
            "reachable_ceiling",
            best_possible,
            round(wanted, 6),
            note="a perfect ranking of all candidates; bound: popular plus the minimum gain",
        ),
        _at_least(
            "training_windows",
            plan.label_policy.train_windows,
            1,
            note="windows that start after the first event and end before validation",
        ),
        _at_least("users", data.n_users, params.minimum_users, gates=False),
        _at_least(
            "baskets_per_user", data.baskets_per_user, params.minimum_baskets_per_user, gates=False
        ),
        _at_least("history_days", data.history_days, params.minimum_history_days, gates=False),
        _at_most(
            "gain_half_width",
            round(width, 6),
            limit,
            note="half of the gain's interval",
            gates=False,
        ),
        *_costs(plan, params, slowness),
        _heavy(plan),
    )


def _costs(plan: Plan, params: PlanningParams, slowness: float) -> tuple[Evidence, Evidence]:
    """Return the cost of a cycle on the reference machine, or on this one under a hard budget.

    Under a hard budget, minutes are rounded up, so that the verdict rarely differs between runs.
    """
    hard = params.budget.hard
    minutes, note = round(plan.minutes(), 2), "on the reference machine of two cores"
    if hard:
        note = f"on this machine; {minutes:g} {note}"
        minutes = math.ceil(plan.minutes() * slowness)
    limits = params.guardrails
    memory = round(plan.memory_gib(), 2)
    return (
        _at_most("cycle_minutes", minutes, limits.cycle_minutes, note=note, gates=hard),
        _at_most("memory_gib", memory, limits.training_memory_gib, gates=hard),
    )


def popular_baseline(plan: Plan) -> Baseline:
    """Return the result of the popular list."""
    return plan.baselines[0]


def interval_limit(plan: Plan, params: PlanningParams) -> float:
    """Return the maximum half width of the gain's interval: the required gain."""
    return params.minimum_gain or max(plan.viability.gain.value, 0.0)


def describe_needs(plan: Plan, params: PlanningParams, slowness: float = 1.0) -> tuple[str, ...]:
    """Return a sentence for each requirement of a failing bound; empty if all hold."""
    failed = {item.name for item in build_evidence(plan, params, slowness) if not item.holds}
    data = plan.profile
    sentences = []
    users = users_needed(plan, params)
    if users > data.n_users:
        sentences.append(
            f"About {users - data.n_users:,} more users ({users:,} in total) with similar "
            "histories."
        )
    if "baskets_per_user" in failed:
        weeks = data.history_days / 7
        longer = weeks * (params.minimum_baskets_per_user / data.baskets_per_user - 1)
        sentences.append(f"About {math.ceil(longer):,} more weeks at the current rate of visits.")
    if "history_days" in failed:
        sentences.append(f"{params.minimum_history_days - data.history_days} more days of data.")
    if "training_windows" in failed:
        sentences.append("A later shop.as_of, or data that begin before the first training window.")
    if plan.viability.gain.high < params.minimum_gain:
        sentences.append(_about_gain(plan, params))
    if "reachable_ceiling" in failed:
        sentences.append(
            "Items that shoppers buy again: even a perfect ranking of the current candidates "
            "would not beat the popular list by enough."
        )
    if "cycle_minutes" in failed or "memory_gib" in failed:
        sentences.append(
            f"A larger budget than planning.guardrails: about {plan.minutes() * slowness:.0f} "
            "minutes and "
            f"{plan.memory_gib():.1f} GiB, or fewer training windows."
        )
    return tuple(sentences)


def users_needed(plan: Plan, params: PlanningParams) -> int:
    """Return the number of users that meets the minimum and narrows the gain's interval enough.

    The interval shrinks with the square root of the number of users. If the gain itself is too
    small, more users do not help, and only the width counts.
    """
    gain, n_users = plan.viability.gain, plan.profile.n_users
    limits = [interval_limit(plan, params)]
    if gain.value > params.minimum_gain:
        limits.append(gain.value - params.minimum_gain)
    narrowest = min(limits)
    if narrowest <= 0:
        return params.minimum_users
    for_interval = math.ceil(round(n_users * (gain.half_width() / narrowest) ** 2, 6))
    return max(params.minimum_users, for_interval)


def _about_gain(plan: Plan, params: PlanningParams) -> str:
    weeks = plan.learning_curves[0]
    wanted = popular_baseline(plan).value + params.minimum_gain
    if weeks.extrapolated.value >= wanted:
        return (
            f"Longer histories: with {weeks.extrapolated_size:.0f} weeks, frequency is expected to "
            f"reach {weeks.extrapolated.value:.3f}; {wanted:.3f} is required."
        )
    if weeks.limit.value >= wanted:
        return f"Histories far longer than {weeks.extrapolated_size:.0f} weeks."
    return (
        f"More history does not suffice: frequency levels off at {weeks.limit.value:.3f}, and "
        f"{wanted:.3f} is required. Show the popular list, or lower planning.minimum_gain."
    )


def _heavy(plan: Plan) -> Evidence:
    """Return a warning about accounts that are not households; they are capped, so none gates."""
    accounts = plan.profile.heavy_accounts
    note = "; ".join(
        f"{a.n_lines:,} lines in {a.n_baskets:,} baskets, {a.line_fraction:.1%} of all"
        for a in accounts[:SHOWN]
    )
    return Evidence(
        name="heavy_accounts",
        value=len(accounts),
        bound=0,
        holds=not accounts,
        gates=False,
        note=note and f"{note}: likely not households; the log of planning names them",
    )


def _at_least(
    name: str, value: float, bound: float, *, note: str = "", gates: bool = True
) -> Evidence:
    holds = value >= bound
    return Evidence(name=name, value=value, bound=bound, holds=holds, note=note, gates=gates)


def _at_most(
    name: str, value: float, bound: float, *, note: str = "", gates: bool = True
) -> Evidence:
    holds = value <= bound
    return Evidence(name=name, value=value, bound=bound, holds=holds, note=note, gates=gates)
