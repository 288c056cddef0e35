"""Is it worth it? Each number beside its bound, and what it would take where one fails."""

import math
from collections.abc import Iterable

from pipeline.contracts.params import PlanningParams
from pipeline.contracts.plan import Baseline, Plan
from pipeline.contracts.verdicts import Evidence, Verdict, failing
from pipeline.planning.reach import EXPLORE

SHOWN = 5


def verdict(plan: Plan, params: PlanningParams, slowness: float = 1.0) -> Verdict:
    """Return `proceed` when every bound that gates holds, else `stop` with what it would take.

    Args:
        plan: What was found.
        params: The bounds.
        slowness: How many times longer the phases take here than planned; only a hard budget asks.
    """
    evidence = evidence_of(plan, params, slowness)
    broken = [item.name for item in failing(evidence)]
    gain = plan.viability.gain
    if broken:
        return Verdict(
            phase="planning",
            status="stop",
            cause=f"Going on is not worth it. Out of bounds: {_names(broken)}",
            evidence=evidence,
            action=" ".join(needs(plan, params, slowness)),
        )
    warnings = [item.name for item in evidence if not item.holds]
    return Verdict(
        phase="planning",
        status="proceed",
        cause=f"What shoppers bought before predicts their next basket: {plan.primary_metric} "
        f"{plan.baseline.value:.3f} by counting, {gain.value:.3f} more than the popular list "
        f"({gain.low:.3f} to {gain.high:.3f}). A model should reach {plan.target.value:.3f}"
        + (f". Warnings: {_names(warnings)}" if warnings else ""),
        evidence=evidence,
        cost_minutes=round(plan.minutes(), 2),
        gain=round(plan.target.value - plan.baseline.value, 6),
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def evidence_of(plan: Plan, params: PlanningParams, slowness: float = 1.0) -> tuple[Evidence, ...]:
    """Return every number beside its bound.

    Whether the data are enough is for the gain's interval to say. How many users, baskets and days
    there are, and how wide the interval is by itself, warns. So does a cost over budget, unless
    the budget is hard.
    """
    found, gain = plan.profile, plan.viability.gain
    best_possible = next(row for row in plan.ceiling if row.name == EXPLORE).best_metric
    wanted = popular(plan).value + params.minimum_gain
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
            note="that open after the first event and close before validation",
        ),
        _at_least("users", found.n_users, params.minimum_users, gates=False),
        _at_least(
            "baskets_per_user", found.baskets_per_user, params.minimum_baskets_per_user, gates=False
        ),
        _at_least("history_days", found.history_days, params.minimum_history_days, gates=False),
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
    """Return the cost of a cycle: at the reference speed, or under a hard budget on this machine.

    A verdict is the same on all machines but under a hard budget, and there it is so to the minute.
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


def popular(plan: Plan) -> Baseline:
    """Return the popular list's result."""
    return plan.baselines[0]


def interval_limit(plan: Plan, params: PlanningParams) -> float:
    """Return how wide half of the gain's interval may be: the gain that it has to show."""
    return params.minimum_gain or max(plan.viability.gain.value, 0.0)


def needs(plan: Plan, params: PlanningParams, slowness: float = 1.0) -> tuple[str, ...]:
    """Return what it would take to meet every bound, a sentence each; nothing when all hold."""
    broken = {item.name for item in evidence_of(plan, params, slowness) if not item.holds}
    found = plan.profile
    sentences = []
    users = users_needed(plan, params)
    if users > found.n_users:
        sentences.append(
            f"About {users - found.n_users:,} more users ({users:,} in all) with histories like "
            "these."
        )
    if "baskets_per_user" in broken:
        weeks = found.history_days / 7
        longer = weeks * (params.minimum_baskets_per_user / found.baskets_per_user - 1)
        sentences.append(f"About {math.ceil(longer):,} more weeks at the present pace of visits.")
    if "history_days" in broken:
        sentences.append(f"{params.minimum_history_days - found.history_days} more days of data.")
    if "training_windows" in broken:
        sentences.append("A later shop.as_of, or data that begin before the first training window.")
    if plan.viability.gain.high < params.minimum_gain:
        sentences.append(_about_gain(plan, params))
    if "reachable_ceiling" in broken:
        sentences.append(
            "Candidates that shoppers come back to: even a perfect ranking of what "
            "can be offered now would not beat the popular list by enough."
        )
    if "cycle_minutes" in broken or "memory_gib" in broken:
        sentences.append(
            f"A larger budget than planning.guardrails: about {plan.minutes() * slowness:.0f} "
            "minutes and "
            f"{plan.memory_gib():.1f} GiB, or fewer training windows."
        )
    return tuple(sentences)


def users_needed(plan: Plan, params: PlanningParams) -> int:
    """Return how many users would meet the minimum and narrow the gain's interval enough.

    The interval shrinks with the root of the number of users. Where the gain itself is too small,
    more users do not help, and only its width counts.
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
    wanted = popular(plan).value + params.minimum_gain
    if weeks.extrapolated.value >= wanted:
        return (
            f"Longer histories: with {weeks.extrapolated_size:.0f} weeks counting is expected to "
            f"reach {weeks.extrapolated.value:.3f}, and {wanted:.3f} is wanted."
        )
    if weeks.limit.value >= wanted:
        return f"Histories far longer than {weeks.extrapolated_size:.0f} weeks."
    return (
        f"No amount of such history: counting levels off at {weeks.limit.value:.3f}, and "
        f"{wanted:.3f} is wanted. Show the popular list, or lower planning.minimum_gain."
    )


def _heavy(plan: Plan) -> Evidence:
    """Warn of accounts that are no household; they are capped, so they stop nothing."""
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
        note=note and f"{note}: a guest's or a reseller's? The log of planning names them",
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
