"""Dead or exploding units: basic checks of a network's training.

References:
    Karpathy, 2019, "A recipe for training neural networks": loss at start, overfit one batch.
    Glorot and Bengio, 2010, PMLR 9: saturated units and the size of gradients.
"""

from collections.abc import Iterator

from pipeline.contracts.family_metrics import FitProbe
from pipeline.contracts.params import DiagnosisParams
from pipeline.contracts.verdicts import Evidence
from pipeline.testing.diagnosis.finding import Finding, above, at_most, healthy, unknown

NAME = "units"
MESSAGES = {
    "loss_at_start": "its loss starts far from that of equal scores",
    "loss_at_end": "its final loss is above its initial loss",
    "gradient_ratio": "some gradients are far larger than the others",
    "gradient_median": "gradients vanish",
    "dead_fraction": "units are dead, 0 for every input",
    "saturated_fraction": "inputs or units are saturated",
    "batch_loss_left": "it cannot overfit one batch",
}


def check_units(probe: FitProbe, params: DiagnosisParams) -> Finding:
    """Return whether the network is able to learn.

    Args:
        probe: Debugging numbers of the fit; absent ones are skipped.
        params: Bounds.
    """
    evidence = tuple(_evidence(probe, params))
    if not evidence:
        return unknown(NAME, "The fit of this family records no debugging numbers.")
    broken = {item.name for item in evidence if not item.holds}
    if not broken:
        return healthy(NAME, evidence, "Its losses, gradients and units are sound.")
    symptoms = "; ".join(words for name, words in MESSAGES.items() if name in broken)
    cause = f"The network does not train properly: {symptoms}."
    return Finding(
        NAME, "suspected", evidence, cause, "training",
        "Lower learning_rate (families), check the scale of features and the initial weights and "
        "biases; then fit again.",
    )  # fmt: skip


def _evidence(probe: FitProbe, params: DiagnosisParams) -> Iterator[Evidence]:
    start, expected = probe.loss_at_start, probe.expected_loss_at_start
    if start is not None and expected:
        yield at_most(
            "loss_at_start", abs(start / expected - 1), params.maximum_start_deviation_fraction,
            f"{start:.3f} against ln(candidates) = {expected:.3f}, as a fraction off",
        )  # fmt: skip
    if start is not None and probe.loss_at_end is not None:
        yield at_most("loss_at_end", probe.loss_at_end, start, "against the loss at the start")
    if probe.gradient_ratio is not None:
        yield at_most(
            "gradient_ratio",
            probe.gradient_ratio,
            params.maximum_gradient_ratio,
            "largest norm of an epoch against its median; the worst epoch",
        )
    if probe.gradient_median is not None:
        yield above(
            "gradient_median",
            probe.gradient_median,
            params.minimum_gradient,
            "norm, in the epoch where it is largest; below the bound the fit learns nothing",
        )
    if probe.dead_fraction is not None:
        yield at_most(
            "dead_fraction",
            probe.dead_fraction,
            params.maximum_dead_fraction,
            "of ReLU units, 0 on a whole batch",
        )
    if probe.saturated_fraction is not None:
        yield at_most(
            "saturated_fraction",
            probe.saturated_fraction,
            params.maximum_saturated_fraction,
            "of inputs and recurrent outputs that are saturated",
        )
    if probe.batch_loss_left is not None:
        yield at_most(
            "batch_loss_left",
            probe.batch_loss_left,
            params.maximum_batch_loss_left,
            "of the loss above its floor, after overfitting one batch",
        )
