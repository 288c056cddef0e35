from datetime import date

import pytest

from pipeline.contracts.phases import Phase
from pipeline.contracts.verdicts import Evidence
from pipeline.lifecycle.ledger.entries import Assessment, Measurement, Trouble
from pipeline.lifecycle.loop.judge import compute_gain, judge

DAY = date(2017, 12, 4)


def state(
    phase: Phase | None = None, value: float | None = None, failing: str = "ab", day: date = DAY
) -> Assessment:
    """Return a state whose quality has an interval of 0.03 to each side."""
    evidence = tuple(Evidence(name=name, value=1.0, holds=False) for name in failing)
    trouble = phase and Trouble(phase=phase, status="return", cause="ill", failing=evidence)
    quality = value and Measurement(
        metric="recall@10", value=value, low=value - 0.03, high=value + 0.03, as_of=day
    )
    return Assessment(trouble=trouble or None, measurement=quality or None)


# An interval of 0.03 on both sides makes one of 0.0424 for the difference: 0.03 times root two.
@pytest.mark.parametrize(
    ("before", "after", "kept", "reason"),
    [
        (state("testing"), state(), True, "every verdict"),
        (state("testing"), state("monitoring"), True, "now reaches monitoring"),
        (state("monitoring"), state("testing"), False, "testing no longer proceeds"),
        (state("monitoring", 0.20), state(value=0.15), False, "worse by 0.0076 to 0.0924"),
        (state("monitoring", 0.20), state(value=0.16), True, "every verdict"),
        (state("monitoring", 0.20), state(value=0.01, day=date(2018, 1, 1)), True, "every"),
        (state("monitoring", 0.10), state("monitoring", 0.15), True, "better by 0.0076 to 0.0924"),
        (state("monitoring", 0.10), state("monitoring", 0.14), False, "returns or stops as before"),
        (state("testing"), state("testing", failing="a"), True, "less evidence of testing fails"),
        (state("testing"), state("testing", failing="c"), False, "as before"),
        (state("testing"), state("testing"), False, "as before"),
        (state("testing"), Assessment(failure="families@mlp failed"), False, "families@mlp failed"),
    ],
)
def test_the_rule(before: Assessment, after: Assessment, *, kept: bool, reason: str) -> None:
    judgement = judge(before, after)
    assert (judgement.is_kept, reason in judgement.reason) == (kept, True), judgement


def test_gain_in_the_same_weeks_is_the_difference_and_in_others_that_of_the_lead() -> None:
    before, after = state(value=0.10).measurement, state(value=0.12).measurement
    assert before is not None
    assert after is not None
    assert compute_gain(before, after) == pytest.approx(0.02)
    assert compute_gain(None, after) is None
    later = after.model_copy(update={"as_of": date(2018, 1, 1), "lead": 0.05})
    assert compute_gain(before, later) is None
    assert compute_gain(before.model_copy(update={"lead": 0.02}), later) == pytest.approx(0.03)
