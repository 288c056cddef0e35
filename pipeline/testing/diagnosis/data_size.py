"""Too little data: does quality still rise when the shoppers to learn from are doubled?"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from pipeline.contracts.params import DiagnosisParams
from pipeline.testing.diagnosis.finding import Finding, at_most, healthy, unknown

NAME = "too_little_data"
Z = 1.96
POINTS = 3
BISECTIONS = 60  # more than a double tells apart


def doubling_gains(points: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """Return what the last doubling of the data brought, and what the next one promises.

    The last three points lie on limit - drop * r^x, where x counts doublings: each doubling brings
    r times what the one before it brought, whatever the distance between the points. A power law
    of the size is such a curve. Gains that do not shrink (r >= 1), or that follow a fall, are taken
    to stay as they are.

    >>> doubling_gains([{"fraction": 0.25, "score": 0.1}, {"fraction": 0.5, "score": 0.14},
    ...     {"fraction": 1.0, "score": 0.16}])
    (0.02, 0.01)
    """
    places = [math.log2(point["fraction"]) for point in points[-POINTS:]]
    scores = [point["score"] for point in points[-POINTS:]]
    steps = [b - a for a, b in pairwise(places)]
    gains = [b - a for a, b in pairwise(scores)]
    r = shrink(gains[1] / gains[0], *steps) if min(gains) > 0 else 1.0
    last = gains[1] / steps[1] if r == 1 else gains[1] * (1 / r - 1) / (r ** -steps[1] - 1)
    return round(last, 10), round(last * r, 10)


def shrink(ratio: float, before: float, after: float) -> float:
    """Return r, the gain of a doubling as a share of that of the doubling before it, at most 1.

    Solves r^before * (1 - r^after) / (1 - r^before) = ratio, whose left side rises with r up to
    after / before at r = 1.

    Args:
        ratio: Gain between the last two points over that between the two before, > 0.
        before: Doublings between the earlier two points.
        after: Doublings between the last two points.

    >>> round(shrink(0.25, 2.0, 2.0), 6)  # a quarter after two doublings: half after each
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


def too_little_data(probe: Mapping[str, Any], params: DiagnosisParams) -> Finding:
    """Return whether another doubling of the shoppers promises a better model.

    Args:
        probe: With `learning_curve`, rows of fraction and score in ascending order, the last with
            all data, and `last_gain` with the difference between the last two and its error.
        params: Bounds.
    """
    points = probe.get("learning_curve", [])
    if len(points) < POINTS:
        return unknown(NAME, "It was not fitted on parts of the data (learning_curve_fractions).")
    last, following = doubling_gains(points)
    step = probe["last_gain"]
    quality = max(points[-1]["score"], 1e-9)
    shares = ", ".join(f"{point['fraction']:.0%}: {point['score']:.4f}" for point in points)
    evidence = (
        at_most(
            "next_doubling_gain_fraction",
            following / quality,
            params.maximum_doubling_gain_fraction,
            f"of {shares}; the last part of the data brought {step['difference']:+.4f} ± "
            f"{Z * step['error']:.4f}",
        ),
    )
    if evidence[0].holds:
        return healthy(NAME, evidence, "More shoppers of the same kind promise little.")
    if step["difference"] - Z * step["error"] <= 0:
        return unknown(NAME, "What the last part of the data brought may be chance.", evidence)
    return Finding(
        NAME, "suspected", evidence,
        f"The learning curve still rises: the last doubling brought {last / quality:.1%}, the next "
        f"promises {following / quality:.1%}.",
        "collection", "Collect more shoppers or more months, or learn from more windows "
        "(labeling.train_windows, labeling.train_examples_per_user_window).",
    )  # fmt: skip
