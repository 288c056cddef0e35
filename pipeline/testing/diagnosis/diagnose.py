"""Diagnose a fit: check every failure mode, in the order of treatment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.contracts.family_metrics import FitProbe
from pipeline.contracts.params import DiagnosisParams
from pipeline.testing.diagnosis.data_size import check_data_size
from pipeline.testing.diagnosis.finding import Finding, unknown
from pipeline.testing.diagnosis.fit_quality import GeneralizationGap, check_overfit, check_underfit
from pipeline.testing.diagnosis.label_noise import ScoredCandidates, check_label_noise
from pipeline.testing.diagnosis.leak import LeakInputs, LookAhead, check_leak
from pipeline.testing.diagnosis.units import check_units

NOT_MEASURED = "It was not measured on the requests that it needs."


@dataclass(frozen=True)
class Inputs:
    """Inputs of a diagnosis; None means not measured.

    Attributes:
        probe: Debugging numbers of the fit, from the metrics of the family.
        curve: Rows of the learning curve of its main part: epoch, loss, validation.
        groups: Names of the features by kind.
        gap: Quality on training and on unseen requests.
        scored: Candidates of unseen requests with the model's probabilities.
        look_ahead: Changes of the model's inputs if the future is withheld.
    """

    probe: FitProbe = field(default_factory=FitProbe)
    curve: Sequence[dict[str, Any]] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gap: GeneralizationGap | None = None
    scored: ScoredCandidates | None = None
    look_ahead: LookAhead | None = None


def diagnose(inputs: Inputs, params: DiagnosisParams) -> tuple[Finding, ...]:
    """Return one finding per failure mode, in the order of treatment.

    A leak comes first, because it invalidates every other number. Broken units come next, then
    overfit and underfit, whose remedy is another fit; labels and data cost people and time.
    A failure mode that hides another makes it `unknown`: a network that cannot learn says nothing
    about the data. A badly fitted model can still clear the labels, but not suspect them, because
    it contradicts more labels than a better model.
    """
    first = [_leak(inputs, params), check_units(inputs.probe, params)]
    fits = [_fit("overfit", inputs, first, params), _fit("underfit", inputs, first, params)]
    labels = _labels(inputs, first, fits, params)
    return (*first, *fits, labels, _data(inputs, first, params))


def _fit(name: str, inputs: Inputs, before: Sequence[Finding], params: DiagnosisParams) -> Finding:
    if inputs.gap is None:
        return unknown(name, NOT_MEASURED)
    if blocked := _blocked(name, before):
        return blocked
    if name == "overfit":
        return check_overfit(inputs.gap, params)
    return check_underfit(inputs.gap, inputs.curve, params)


def _leak(inputs: Inputs, params: DiagnosisParams) -> Finding:
    clues = LeakInputs(
        aucs=inputs.probe.feature_auc,
        groups=inputs.groups,
        look_ahead=inputs.look_ahead,
    )
    return check_leak(clues, params)


def _labels(
    inputs: Inputs, before: Sequence[Finding], fits: Sequence[Finding], params: DiagnosisParams
) -> Finding:
    if inputs.scored is None:
        return unknown("label_noise", NOT_MEASURED)
    if blocked := _blocked("label_noise", before):
        return blocked
    finding, judge = check_label_noise(inputs.scored, params), _blocked("label_noise", fits)
    if finding.verdict == "suspected" and judge is not None:
        return replace(judge, evidence=finding.evidence)
    return finding


def _data(inputs: Inputs, before: Sequence[Finding], params: DiagnosisParams) -> Finding:
    return _blocked("too_little_data", before) or check_data_size(inputs.probe, params)


def _blocked(name: str, before: Sequence[Finding]) -> Finding | None:
    """Return that `name` is unknown if an earlier finding is suspected, else None."""
    for finding in before:
        if finding.verdict == "suspected":
            return unknown(name, f"Unknown until this is fixed: {finding.name}.")
    return None
