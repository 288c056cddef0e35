"""Whether the served lists are those of the verified bundle: a sample is ranked here again."""

import numpy as np

from pipeline.contracts.verdicts import Evidence
from pipeline.monitoring.context import recommend
from pipeline.monitoring.observe import MonitoringInputs
from pipeline.monitoring.replay import Replies
from pipeline.monitoring.traffic import Traffic, spread_evenly
from pipeline.recommenders.base.recommender import Recommender

N_SAMPLED = 200
# Of a list. On the default shop all agree. A rule of serving replaces a few items, a wrong model
# most of them.
MINIMUM_AGREEMENT = 0.7


def measure_agreement(
    traffic: Traffic, replies: Replies, inputs: MonitoringInputs, champion: Recommender
) -> float | None:
    """Return the share of the served repeat items that the champion puts on the same lists.

    Returns None without an answered request of the sample that shows repeat items.
    """
    rows = spread_evenly(len(traffic.examples), N_SAMPLED)
    examples = traffic.examples.iloc[rows].reset_index(drop=True)
    expected = recommend(champion, inputs.build_evaluation_set(examples), inputs)
    served = replies.served
    shares = [
        np.isin(items[chosen], wanted).mean()
        for items, slots, wanted in zip(
            served.items[rows], served.slots[rows], expected.items, strict=True
        )
        for chosen in [(items > 0) & (slots == 0)]
        if chosen.any()
    ]
    return float(np.mean(shares)) if shares else None


def agreement_evidence(agreement: float | None) -> tuple[Evidence, ...]:
    """Return the agreement beside its bound; nothing if it was not measured."""
    if agreement is None:
        return ()
    return (
        Evidence(
            name="agreement",
            value=agreement,
            bound=MINIMUM_AGREEMENT,
            holds=agreement >= MINIMUM_AGREEMENT,
            note="served repeat items of a sample that the verified bundle puts on the same lists",
        ),
    )
