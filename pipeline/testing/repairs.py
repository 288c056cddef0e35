"""What a program can do about the verdict of testing.

A suspected failure mode has a repair of its own; without one, another family may do better. A
target or a guardrail that is missed is lowered only where it alone fails: the target by a program,
since nothing is gained, a guardrail by a person.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta

from pipeline.contracts.params import Params
from pipeline.contracts.phases import PHASES, Phase
from pipeline.contracts.plan import Plan
from pipeline.contracts.repairs import Ask, Change, EditParams, Repair
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.recommenders.names import HISTORY_ENCODERS
from pipeline.testing.diagnosis.finding import Finding
from pipeline.testing.gate import select_to_treat

ALTERNATIVES = ("mlp", "multvae", "lightgcn")  # a family of each kind, the best of docs/families.md
REFIT_DAYS = 28  # as far as as_of moves at once
SHORTEST_REFIT_DAYS = 7
DIGITS, SCALE = 4, 10_000  # of a bound that is proposed
GUARDRAILS = {
    "coverage@10": "planning.guardrails.minimum_coverage",
    "fairness_gap": "planning.guardrails.maximum_fairness_gap",
}


def offer_repairs(
    verdict: Verdict, findings: Sequence[Finding], family: str, params: Params, plan: Plan
) -> tuple[Repair, ...]:
    """Return the repairs for a verdict that returns; none for one that proceeds.

    Args:
        verdict: The verdict of testing.
        findings: Findings about the deep candidate's fit, in the order of treatment.
        family: Name of the deep candidate.
        params: All of params.yaml.
        plan: The plan, for the costs of the phases.
    """
    if verdict.status == "proceed":
        return ()
    finding = select_to_treat(findings)
    if finding is not None:
        return tuple(_treat(finding, family, params, plan))
    return tuple(_miss(verdict, params, plan))


def _treat(finding: Finding, family: str, params: Params, plan: Plan) -> Iterator[Repair]:
    """Yield the repairs of a failure mode; one that no parameter repairs is a question."""
    section = "ranker" if family in HISTORY_ENCODERS else family
    fit = params.families.of(family)
    name, key = finding.name, f"families.{section}"
    if name == "overfit":
        if fit.epochs > 1:
            yield _set(name, "training", f"{key}.epochs", fit.epochs - 1, finding.cause, plan)
        decay = float(f"{10 * fit.weight_decay or 1e-4:.4g}")
        yield _set(name, "training", f"{key}.weight_decay", decay, finding.cause, plan)
    elif name == "underfit":
        more = fit.epochs + max(1, fit.epochs // 2)
        yield _set(name, "training", f"{key}.epochs", more, finding.cause, plan)
        yield from _other_family(name, finding.cause, params, plan)
    elif name == "units":
        rate = float(f"{fit.learning_rate / 10:.4g}")
        yield _set(name, "training", f"{key}.learning_rate", rate, finding.cause, plan)
    elif name == "too_little_data":
        drawn = 2 * params.labeling.train_examples_per_user_window
        more_key = "labeling.train_examples_per_user_window"
        yield _set(name, "labeling", more_key, drawn, finding.cause, plan)
        yield from _refit_later(name, finding.cause, params, plan)
    else:  # a leak, or noise in the labels: someone must look at the data
        step = Ask(question=finding.action or finding.cause)
        yield _repair(name, finding.target_phase or "labeling", step, finding.cause, plan)


def _miss(verdict: Verdict, params: Params, plan: Plan) -> Iterator[Repair]:
    """Yield the repairs where bounds are missed without a suspected failure mode."""
    missed = {item.name: item for item in verdict.failing}
    because = "; ".join(item.in_words() for item in verdict.failing)
    if missed.keys() & {plan.primary_metric, "gain_fraction"}:
        yield from _other_family("weak_family", because, params, plan)
        yield from _refit_later("weak_family", because, params, plan)
    gain = missed.get("gain_fraction")
    if gain is not None and len(missed) == 1:
        yield from _lower_target(gain, params, plan)
    for name, key in GUARDRAILS.items():
        if name in missed:
            yield _ask_about_guardrail(missed[name], key, plan)


def _other_family(cause: str, because: str, params: Params, plan: Plan) -> Iterator[Repair]:
    others = [name for name in ALTERNATIVES if name not in params.training.families]
    if others:
        change = Change(key="training.families", operation="append", value=others[0])
        yield _repair(cause, "training", EditParams(changes=(change,)), because, plan)


def _refit_later(cause: str, because: str, params: Params, plan: Plan) -> Iterator[Repair]:
    """Yield a later as_of that leaves monitoring as many days as testing has."""
    kept = timedelta(days=params.shop.test_days)
    days = (plan.profile.last_day + timedelta(days=1) - kept - params.shop.as_of).days
    if days >= SHORTEST_REFIT_DAYS:
        later = params.shop.as_of + timedelta(days=min(days, REFIT_DAYS))
        yield _set(cause, "training", "shop.as_of", later.isoformat(), because, plan)


def _lower_target(gain: Evidence, params: Params, plan: Plan) -> Iterator[Repair]:
    """Yield the share of the headroom that the model reached, which nothing is gained by."""
    if gain.value is None or gain.bound is None or not 0 < gain.value < gain.bound:
        return
    share = params.planning.target_headroom_fraction * gain.value / gain.bound
    floor = _round_down(share)
    key = "planning.target_headroom_fraction"
    because = f"{gain.in_words()}: the model leads every baseline, by less than planned"
    lower = _set("target_too_high", "planning", key, floor, because, plan)
    yield lower.model_copy(update={"expected_gain": 0.0})


def _ask_about_guardrail(missed: Evidence, key: str, plan: Plan) -> Repair:
    assert missed.value is not None
    is_lower_bound = missed.name == "coverage@10"
    value = _round_down(missed.value) if is_lower_bound else -_round_down(-missed.value)
    step = Ask(
        question=f"{missed.in_words()}. Is the guardrail {key} too strict?",
        steps={"relax": EditParams(changes=(Change(key=key, value=value),))},
    )
    return _repair("guardrail", "planning", step, missed.in_words(), plan)


def _round_down(value: float) -> float:
    """Return the value to four decimals, at most as large; 0.015 less an ulp is 0.015."""
    return math.floor(round(value * SCALE, DIGITS)) / SCALE


def _set(
    cause: str, target: Phase, key: str, value: float | str, because: str, plan: Plan
) -> Repair:
    step = EditParams(changes=(Change(key=key, value=value),))
    return _repair(cause, target, step, because, plan)


def _repair(cause: str, target: Phase, step: EditParams | Ask, because: str, plan: Plan) -> Repair:
    phases = PHASES[PHASES.index(target) :]
    minutes = sum(cost.minutes for cost in plan.costs if cost.stage in phases)
    return Repair(
        cause=cause,
        target_phase=target,
        step=step,
        because=because,
        cost_minutes=round(minutes, 2),
    )
