"""The front door: every disease is looked for, in the order in which one would be treated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.contracts.params import DiagnosisParams
from pipeline.testing.diagnosis.data_size import too_little_data
from pipeline.testing.diagnosis.finding import Finding, unknown
from pipeline.testing.diagnosis.fit_quality import GeneralizationGap, overfit, underfit
from pipeline.testing.diagnosis.label_noise import Judged, label_noise
from pipeline.testing.diagnosis.leak import Clues, Foresight, leak
from pipeline.testing.diagnosis.units import units

NOT_ASKED = "The requests that it needs were not asked."


@dataclass(frozen=True)
class Inputs:
    """All that a diagnosis looks at; what is None was not measured.

    Attributes:
        probe: Debugging numbers of the fit, from the metrics of the family.
        curve: Rows of the learning curve of its main part: epoch, loss, validation.
        groups: Names of the features by kind.
        seen: Quality on training and on unseen requests.
        judged: Candidates of unseen requests with the model's probabilities.
        foresight: What the future changes in what the model is fed.
    """

    probe: Mapping[str, Any] = field(default_factory=dict)
    curve: Sequence[dict[str, Any]] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seen: GeneralizationGap | None = None
    judged: Judged | None = None
    foresight: Foresight | None = None


def diagnose(inputs: Inputs, params: DiagnosisParams) -> tuple[Finding, ...]:
    """Return one finding per disease, the one to treat first before the others.

    A leak comes first: it makes every other number worthless. Then what makes learning itself
    fail; then over- and underfit, which another fit cures; labels and data cost people and time.
    What a disease makes unreadable is `unknown` until that one is cured: a network that cannot
    learn says nothing about data. One that learned badly still judges labels, but only acquits
    them: it contradicts more of them than a better one would.
    """
    first = [_leak(inputs, params), units(inputs.probe, params)]
    fits = [_fit("overfit", inputs, first, params), _fit("underfit", inputs, first, params)]
    labels = _labels(inputs, first, fits, params)
    return (*first, *fits, labels, _data(inputs, first, params))


def _fit(name: str, inputs: Inputs, before: Sequence[Finding], params: DiagnosisParams) -> Finding:
    if inputs.seen is None:
        return unknown(name, NOT_ASKED)
    if blocked := _blocked(name, before):
        return blocked
    if name == "overfit":
        return overfit(inputs.seen, params)
    return underfit(inputs.seen, inputs.curve, params)


def _leak(inputs: Inputs, params: DiagnosisParams) -> Finding:
    clues = Clues(
        aucs=inputs.probe.get("feature_auc", {}),
        groups=inputs.groups,
        foresight=inputs.foresight,
    )
    return leak(clues, params)


def _labels(
    inputs: Inputs, before: Sequence[Finding], fits: Sequence[Finding], params: DiagnosisParams
) -> Finding:
    if inputs.judged is None:
        return unknown("label_noise", NOT_ASKED)
    if blocked := _blocked("label_noise", before):
        return blocked
    finding, judge = label_noise(inputs.judged, params), _blocked("label_noise", fits)
    if finding.verdict == "suspected" and judge is not None:
        return replace(judge, evidence=finding.evidence)
    return finding


def _data(inputs: Inputs, before: Sequence[Finding], params: DiagnosisParams) -> Finding:
    return _blocked("too_little_data", before) or too_little_data(inputs.probe, params)


def _blocked(name: str, before: Sequence[Finding]) -> Finding | None:
    """Return that `name` cannot be told before a disease found earlier is cured."""
    for finding in before:
        if finding.verdict == "suspected":
            return unknown(name, f"It cannot be told before this is cured: {finding.name}.")
    return None
