"""Choose the champion and check it against the plan."""

from collections.abc import Sequence

from pipeline.contracts.plan import Plan
from pipeline.contracts.testing_report import PairedDifference, TestReport
from pipeline.contracts.verdicts import Evidence, Verdict, failing
from pipeline.testing.diagnosis.finding import Finding
from pipeline.testing.slices import describe_fairness

LEAK = "leak"


def choose_champion(
    family: str, values: dict[str, float], paired: dict[str, PairedDifference]
) -> str:
    """Return the family if it is significantly ahead of every baseline, else the best baseline.

    Args:
        family: Name of the deep candidate.
        values: Primary metric of each candidate.
        paired: Paired difference of the family to each baseline.
    """
    if all(difference.low > 0 for difference in paired.values()):
        return family
    return max(paired, key=lambda name: values[name])


def gate(
    report: TestReport,
    paired: dict[str, PairedDifference],
    plan: Plan,
    findings: Sequence[Finding] = (),
) -> Verdict:
    """Return the verdict of the testing phase.

    If quality misses its bound, the first suspected failure mode determines the target phase. A
    suspected failure mode does not stop a champion that meets its bounds, except a leak, which
    invalidates the measured quality. Other suspected and unknown findings become warnings.

    Args:
        report: The numbers of the champion and of the other candidates.
        paired: Paired difference of the deep candidate to each baseline in the primary metric.
        plan: Plan with target and guardrails.
        findings: Findings about the deep candidate's fit, in the order of treatment.
    """
    evidence = (*_quality_evidence(report, paired, plan), *_guardrail_evidence(report, plan))
    champion, rolling = report.champion, report.rolling
    value = rolling.mean(plan.primary_metric)
    broken = failing(evidence)
    to_treat = select_to_treat(findings)
    low, high = rolling.interval[plan.primary_metric]
    reached = f"{champion} reaches {plan.primary_metric} {value:.4f} [{low:.4f}, {high:.4f}]"
    if to_treat is not None and to_treat.name == LEAK:
        evidence += _of_diagnosis(findings, to_treat)
        return _back(f"{reached}, which is not reliable. {to_treat.cause}", evidence, to_treat)
    if not broken:
        text = reached if champion not in paired else f"{reached}: no deep model is ahead of it"
        evidence += _of_diagnosis(findings)
        return Verdict(phase="testing", status="proceed", cause=text, evidence=evidence)
    missed = f"{reached}, but {describe_missed(broken)}"
    if to_treat is not None:
        evidence += _of_diagnosis(findings, to_treat)
        return _back(f"{missed}. {to_treat.cause}", evidence, to_treat)
    return Verdict(
        phase="testing",
        status="return",
        cause=missed,
        evidence=evidence + _of_diagnosis(findings),
        target_phase="training",
        action="Improve the model (families, training.families), or change the target in the plan.",
    )


def describe_missed(evidence: Sequence[Evidence]) -> str:
    """Return which numbers miss their bounds.

    >>> gain, coverage = (Evidence(name=n, value=0.0, holds=False) for n in ("gain", "coverage"))
    >>> describe_missed([gain]), describe_missed([gain, coverage])
    ('gain misses its bound', 'gain and coverage miss their bounds')
    """
    *others, last = (item.name for item in evidence)
    return (
        f"{', '.join(others)} and {last} miss their bounds"
        if others
        else (f"{last} misses its bound")
    )


def select_to_treat(findings: Sequence[Finding]) -> Finding | None:
    """Return the suspected finding to treat first: a leak, else the first one; None without any."""
    suspected = [finding for finding in findings if finding.verdict == "suspected"]
    leak = next((finding for finding in suspected if finding.name == LEAK), None)
    return leak or next(iter(suspected), None)


def _of_diagnosis(
    findings: Sequence[Finding], to_treat: Finding | None = None
) -> tuple[Evidence, ...]:
    """Return the gating evidence of the finding to treat, then the warnings of the others."""
    gating = () if to_treat is None else to_treat.evidence
    others = [finding for finding in findings if finding is not to_treat]
    warnings = [item for finding in others for item in finding.open_evidence()]
    return (*(item for item in gating if not item.holds), *warnings)


def _back(cause: str, evidence: tuple[Evidence, ...], finding: Finding) -> Verdict:
    return Verdict(
        phase="testing",
        status="return",
        cause=cause.removesuffix("."),
        evidence=evidence,
        target_phase=finding.target_phase,
        action=finding.action,
    )


def _quality_evidence(
    report: TestReport, paired: dict[str, PairedDifference], plan: Plan
) -> tuple[Evidence, ...]:
    """Return the champion's quality, its gain and the deep model's smallest lead."""
    champion, value = report.champion, report.rolling.mean(plan.primary_metric)
    worst = min(paired, key=lambda name: paired[name].low)
    values = {
        name: candidate.rolling.mean(plan.primary_metric)
        for name, candidate in report.candidates.items()
    }
    best = max((name for name in values if name in paired), key=lambda name: values[name])
    gain = value / max(values[best], 1e-9) - 1
    promised = plan.target.value / max(plan.baseline.value, 1e-9) - 1
    wanted = 0.0 if champion in paired else promised  # a baseline owes no gain over itself
    return (
        Evidence(
            name=plan.primary_metric,
            value=value,
            bound=values[best],
            holds=value >= values[best],
            note=f"{champion}, against the best baseline, {best}",
        ),
        Evidence(
            name="gain_fraction",
            value=gain,
            bound=wanted,
            holds=gain >= wanted,
            note="over the best baseline on the same weeks, against the gain in the plan",
        ),
        Evidence(
            name="ahead_of_baselines",
            value=paired[worst].low,
            bound=0.0,
            holds=paired[worst].low > 0,
            gates=False,
            note=f"lower end of the deep model's smallest lead, over {worst}; below 0 testing "
            "chooses the best baseline instead",
        ),
    )


def _guardrail_evidence(report: TestReport, plan: Plan) -> tuple[Evidence, ...]:
    coverage, guardrails = report.rolling.mean("coverage@10"), plan.guardrails
    return (
        Evidence(
            name="coverage@10",
            value=coverage,
            bound=guardrails.minimum_coverage,
            holds=coverage >= guardrails.minimum_coverage,
            note="share of the catalogue that appears in any list",
        ),
        Evidence(
            name="fairness_gap",
            value=report.fairness_gap,
            bound=guardrails.maximum_fairness_gap,
            holds=report.fairness_gap <= guardrails.maximum_fairness_gap,
            note=describe_fairness(report.fairness),
        ),
    )
