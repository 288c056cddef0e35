"""Evidence of numbers that are not known yet, and of longer horizons."""

import math
from dataclasses import replace

from pipeline.contracts.params import read_params
from pipeline.monitoring.evidence import build_evidence, has_volume, judge_quality
from pipeline.monitoring.horizons import HorizonQuality
from pipeline.monitoring.slices import SliceKey, SliceQuality
from tests.support.findings import KEPT, LOST, SOUND
from tests.support.tiny_shop import PROJECT

PARAMS = read_params(PROJECT / "params.yaml").monitoring
DAY = HorizonQuality(1, 100, 90, 80, 70, {"recall@10": KEPT})
WEEK = HorizonQuality(7, 100, 60, 50, 40, {"recall@10": LOST})
MONTH = HorizonQuality(28, 100, 0, 0, 0, {})


def test_a_longer_horizon_warns_and_an_immature_one_does_not() -> None:
    findings = replace(SOUND, horizons=(DAY, WEEK, MONTH))
    evidence = {item.name: item for item in build_evidence(findings, "kept", PARAMS)}
    assert "80 requests that a purchase followed within 1 days" in evidence["recall@10"].note
    week, month = evidence["recall@10_7_days"], evidence["recall@10_28_days"]
    assert (week.value, week.holds, week.gates) == (0.15, False, False)
    assert (month.value, month.holds, month.gates) == (None, True, False)
    assert "immature: 0 requests" in month.note


def test_an_immature_period_is_neither_kept_nor_lost() -> None:
    young = replace(SOUND, quality=None, horizons=(replace(DAY, n_users=7, quality={}),))
    assert judge_quality(young, PARAMS) == "unsure"
    quality = build_evidence(young, "unsure", PARAMS)[0]
    assert (quality.value, quality.holds, quality.gates) == (None, False, False)
    assert quality.note.endswith("7 users, 30 are needed")


def test_a_volume_that_is_not_known_yet_holds() -> None:
    early = replace(SOUND, volume_ratio=math.nan)
    assert has_volume(early, PARAMS)
    volume = next(e for e in build_evidence(early, "kept", PARAMS) if e.name == "volume_ratio")
    assert (volume.value, volume.holds) == (None, True)


def test_slices_that_are_behind_are_named_and_only_warn() -> None:
    north, south = (
        SliceQuality(SliceKey("store", name), 90, value, (0.0, 1.0), 0.2, (0.01, 0.02), is_behind)
        for name, value, is_behind in (("north", 0.1, True), ("south", 0.3, False))
    )
    evidence = build_evidence(replace(SOUND, slices=(south, north)), "kept", PARAMS)[-1]
    assert (evidence.name, evidence.value, evidence.holds, evidence.gates) == (
        "slices_behind", 1.0, False, False,
    )  # fmt: skip
    assert "store north: 0.1000, frequency 0.2000" in evidence.note
    assert "south" not in evidence.note
    assert build_evidence(replace(SOUND, slices=(south,)), "kept", PARAMS)[-1].holds
