"""Too little data: does quality still rise when the shoppers to learn from are doubled?"""

import math
from collections.abc import Mapping
from typing import Any

from pipeline.diagnosis.finding import Finding, at_most, healthy, unknown
from pipeline.params import DiagnosisParams

NAME = "too_little_data"
Z = 1.96
POINTS = 3


def doubling_gains(points: list[Mapping[str, float]]) -> tuple[float, float]:
    """Return the gain per doubling between the last two points, and that of the next doubling.

    Gains shrink from one doubling to the next; the next one shrinks as the last one did. A gain
    that grew, or that follows a fall, is taken to stay as it is.

    >>> doubling_gains([{"fraction": 0.25, "score": 0.1}, {"fraction": 0.5, "score": 0.14},
    ...     {"fraction": 1.0, "score": 0.16}])
    (0.02, 0.01)
    """
    gains = [
        (b["score"] - a["score"]) / math.log2(b["fraction"] / a["fraction"])
        for a, b in zip(points[-POINTS:], points[-POINTS + 1 :], strict=False)
    ]
    before, last = gains[-2], gains[-1]
    shrinks = last / before if before > 0 and last > 0 else 1.0
    return round(last, 10), round(last * min(shrinks, 1.0), 10)


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
    surely = step["difference"] - Z * step["error"]
    quality = max(points[-1]["score"], 1e-9)
    bound = params.maximum_doubling_gain_fraction
    shares = ", ".join(f"{point['fraction']:.0%}: {point['score']:.4f}" for point in points)
    evidence = (
        at_most(
            "next_doubling_gain_fraction",
            following / quality if surely > 0 else 0.0,
            bound,
            f"of {shares}; the last part of the data brought {step['difference']:+.4f} ± "
            f"{Z * step['error']:.4f}, and a gain that may be chance counts as none",
        ),
    )
    if evidence[0].holds:
        return healthy(NAME, evidence, "More shoppers of the same kind promise little.")
    return Finding(
        NAME, "suspected", evidence,
        f"The learning curve still rises: the last doubling brought {last / quality:.1%}, the next "
        f"promises {following / quality:.1%}.",
        "collection", "Collect more shoppers or more months, or learn from more windows "
        "(labeling.train_windows, labeling.train_examples_per_user_window).",
    )  # fmt: skip
