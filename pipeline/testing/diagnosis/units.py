"""Dead or exploding units: the debugging that a fit needs before its quality means anything.

References:
    Karpathy, 2019, "A recipe for training neural networks": loss at start, overfit one batch.
    Glorot and Bengio, 2010, PMLR 9: saturated units and the size of gradients.
"""

from collections.abc import Iterator, Mapping

from pipeline.contracts.params import DiagnosisParams
from pipeline.contracts.verdicts import Evidence
from pipeline.testing.diagnosis.finding import Finding, above, at_most, healthy, unknown

NAME = "units"
SAYS = {
    "loss_at_start": "its loss starts far from that of equal scores",
    "loss_at_end": "its loss ended above where it started",
    "gradient_ratio": "some steps were far larger than the others",
    "gradient_median": "hardly any gradient flows back",
    "dead_fraction": "units are dead, 0 for every input",
    "saturated_fraction": "inputs or units are at their limit",
    "batch_loss_left": "it cannot even learn one batch by heart",
}


def units(probe: Mapping[str, float], params: DiagnosisParams) -> Finding:
    """Return whether the network is able to learn, or its units are dead or its steps explode.

    Args:
        probe: What the fit recorded: loss_at_start, expected_loss_at_start, loss_at_end,
            gradient_median, gradient_ratio, dead_fraction, saturated_fraction,
            batch_loss_left; what is missing is not judged.
        params: Bounds.
    """
    evidence = tuple(_evidence(probe, params))
    if not evidence:
        return unknown(NAME, "The fit of this family records no debugging numbers.")
    broken = {item.name for item in evidence if not item.holds}
    if not broken:
        return healthy(NAME, evidence, "It starts, steps and learns as a network should.")
    said = "; ".join(words for name, words in SAYS.items() if name in broken)
    cause = f"The network does not learn as it should: {said}."
    return Finding(
        NAME, "suspected", evidence, cause, "training",
        "Lower learning_rate (families), check the scale of features and the first values of "
        "weights and biases; then fit again.",
    )  # fmt: skip


def _evidence(probe: Mapping[str, float], params: DiagnosisParams) -> Iterator[Evidence]:
    start, expected = probe.get("loss_at_start"), probe.get("expected_loss_at_start")
    if start is not None and expected:
        yield at_most(
            "loss_at_start", abs(start / expected - 1), params.maximum_start_deviation_fraction,
            f"{start:.3f} against ln(candidates) = {expected:.3f}, as a fraction off",
        )  # fmt: skip
    if start is not None and "loss_at_end" in probe:
        yield at_most("loss_at_end", probe["loss_at_end"], start, "against the loss at the start")
    if "gradient_ratio" in probe:
        yield at_most(
            "gradient_ratio",
            probe["gradient_ratio"],
            params.maximum_gradient_ratio,
            "largest norm of an epoch against its median; the worst epoch",
        )
    if "gradient_median" in probe:
        yield above(
            "gradient_median",
            probe["gradient_median"],
            params.minimum_gradient,
            "norm, of the epoch where it is largest; below the bound nothing is learned",
        )
    bounds = {
        "dead_fraction": (params.maximum_dead_fraction, "of ReLU units, 0 on a whole batch"),
        "saturated_fraction": (
            params.maximum_saturated_fraction,
            "of inputs and recurrent outputs at their limit",
        ),
        "batch_loss_left": (
            params.maximum_batch_loss_left,
            "of the loss above its floor, after learning one batch by heart",
        ),
    }
    for name, (bound, note) in bounds.items():
        if name in probe:
            yield at_most(name, probe[name], bound, note)
