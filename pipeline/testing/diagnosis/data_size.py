"""Too little data: does doubling the training users still improve quality?"""

import math
from collections.abc import Sequence
from itertools import pairwise

from pipeline.contracts.family_metrics import DataShare, FitProbe
from pipeline.contracts.params import DiagnosisParams
from pipeline.testing.diagnosis.finding import Finding, at_most, healthy, unknown

NAME = "too_little_data"
Z = 1.96
POINTS = 3
BISECTIONS = 60  # enough for double precision


def doubling_gains(points: Sequence[DataShare]) -> tuple[float, float]:
    """Return the gain of the last doubling of the data, and the expected gain of the next one.

    The last three points are fitted by limit - drop * r^x, where x counts doublings, so that each
    doubling gains r times the previous gain. A power law of the data size is such a curve. Gains
    that do not shrink (r >= 1), or that follow a fall, are assumed to stay constant.

    >>> scores = {0.25: 0.1, 0.5: 0.14, 1.0: 0.16}
    >>> doubling_gains([DataShare(fraction=part, score=score) for part, score in scores.items()])
    (0.02, 0.01)
    """
    places = [math.log2(point.fraction) for point in points[-POINTS:]]
    scores = [point.score for point in points[-POINTS:]]
    steps = [b - a for a, b in pairwise(places)]
    gains = [b - a for a, b in pairwise(scores)]
    r = shrink_factor(gains[1] / gains[0], *steps) if min(gains) > 0 else 1.0
    last = gains[1] / steps[1] if r == 1 else gains[1] * (1 / r - 1) / (r ** -steps[1] - 1)
    return round(last, 10), round(last * r, 10)


def shrink_factor(ratio: float, before: float, after: float) -> float:
    """Return r, the gain of a doubling relative to the previous doubling, at most 1.

    Solves r^before * (1 - r^after) / (1 - r^before) = ratio, whose left side rises with r up to
    after / before at r = 1.

    Args:
        ratio: Gain between the last two points over the gain before, > 0.
        before: Doublings between the first two points.
        after: Doublings between the last two points.

    >>> round(shrink_factor(0.25, 2.0, 2.0), 6)  # a quarter after two doublings: half after each
    0.5
    """
    if ratio >= after / before:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        r = (low + high) / 2
        too_high = r >= 1 or (1 - r**after) / (r**-before - 1) > ratio
        low, high = (low, r) if too_high else (r, high)
    return (low + high) / 2


def check_data_size(probe: FitProbe, params: DiagnosisParams) -> Finding:
    """Return whether another doubling of the users promises a better model.

    Args:
        probe: Debugging numbers of the fit, with its learning curve.
        params: Bounds.
    """
    points, step = probe.learning_curve, probe.last_gain
    if len(points) < POINTS or step is None:
        return unknown(NAME, "There is no learning curve (learning_curve_fractions).")
    last, following = doubling_gains(points)
    quality = max(points[-1].score, 1e-9)
    shares = ", ".join(f"{point.fraction:.0%}: {point.score:.4f}" for point in points)
    evidence = (
        at_most(
            "next_doubling_gain_fraction",
            following / quality,
            params.maximum_doubling_gain_fraction,
            f"of {shares}; the last part of the data gained {step.difference:+.4f} ± "
            f"{Z * step.error:.4f}",
        ),
    )
    if evidence[0].holds:
        return healthy(NAME, evidence, "More shoppers of the same kind promise little gain.")
    if step.difference - Z * step.error <= 0:
        return unknown(NAME, "The gain of the last part of the data may be chance.", evidence)
    return Finding(
        NAME, "suspected", evidence,
        f"The learning curve still rises: the last doubling gained {last / quality:.1%}, the next "
        f"promises {following / quality:.1%}.",
        "collection", "Collect more shoppers or more months, or learn from more windows "
        "(labeling.train_windows, labeling.train_examples_per_user_window).",
    )  # fmt: skip
