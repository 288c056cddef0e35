"""Inputs of a diagnosis, made by hand: a sound fit and what changes in it."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.contracts.family_metrics import DataShare, FitProbe, LastGain
from pipeline.testing.diagnosis.diagnose import Inputs
from pipeline.testing.diagnosis.fit_quality import (
    GeneralizationGap,
    WindowQuality,
)
from pipeline.testing.diagnosis.label_noise import (
    ScoredCandidates,
)
from pipeline.testing.diagnosis.leak import LookAhead

N_USERS, N_CANDIDATES = 200, 20
GROUPS = {"frequency": ("count", "decayed"), "timing": ("age",)}


def data_shares(quarter: float, half: float, whole: float) -> tuple[DataShare, ...]:
    """Scores of networks that were fitted on these shares of the users."""
    scores = {0.25: quarter, 0.5: half, 1.0: whole}
    return tuple(DataShare(fraction=share, score=score) for share, score in scores.items())


PROBE = FitProbe(
    loss_at_start=3.1,
    expected_loss_at_start=3.0,
    loss_at_end=2.0,
    gradient_median=0.3,
    gradient_ratio=10.0,
    dead_fraction=0.1,
    saturated_fraction=0.01,
    batch_loss_left=0.02,
    feature_auc={"count": 0.8, "decayed": 0.82, "age": 0.78},
    learning_curve=data_shares(0.19, 0.2, 0.2005),
    last_gain=LastGain(difference=0.0005, error=0.0004),
)


def probe_with(**changes: Any) -> FitProbe:
    """The sound probe with other numbers."""
    return PROBE.model_copy(update=changes)


RISING = probe_with(
    learning_curve=data_shares(0.14, 0.17, 0.2), last_gain=LastGain(difference=0.03, error=0.002)
)
CURVE = [
    {"epoch": 1, "loss": 2.4, "validation": 0.19},
    {"epoch": 2, "loss": 2.2, "validation": 0.2},
    {"epoch": 3, "loss": 2.1, "validation": 0.1995},
]


def side(model: float, baseline: float, seed: int) -> WindowQuality:
    """Requests of N_USERS, five each, around these means."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(N_USERS), 5)
    base = random.uniform(-0.05, 0.05, len(user))
    return WindowQuality(
        user, model + base, baseline + base + random.uniform(-0.02, 0.02, len(user))
    )


def measured_gap(
    train: tuple[float, float] = (0.21, 0.19), unseen: tuple[float, float] = (0.2, 0.185)
) -> GeneralizationGap:
    return GeneralizationGap(side(*train, seed=1), side(*unseen, seed=2))


def scored(noise: float, seed: int = 3) -> ScoredCandidates:
    """Four of the ten most likely candidates are wanted; `noise` of the labels lie anywhere."""
    random = np.random.default_rng(seed)
    row = np.repeat(np.arange(N_USERS), N_CANDIDATES)
    probability = np.tile(np.geomspace(1.0, 1e-4, N_CANDIDATES), N_USERS)
    probability /= probability[:N_CANDIDATES].sum()
    wanted = np.zeros((N_USERS, N_CANDIDATES), dtype=bool)
    for labels in wanted:
        labels[random.permutation(10)[:4]] = True
        for at in np.flatnonzero(labels):
            if random.random() < noise:
                labels[at] = False
                labels[random.choice(np.flatnonzero(~labels))] = True
    item = np.tile(np.arange(1, N_CANDIDATES + 1), N_USERS)
    return ScoredCandidates(np.arange(N_USERS), row, item, probability, wanted.ravel())


def look_ahead(
    changed: int = 0, foreign: int = 0, state_difference: float = 0.0, n_early_items: int = 0
) -> LookAhead:
    """Ten requests, of which the first ones are not as they should be."""
    return LookAhead(np.arange(10) < changed, np.arange(10) < foreign, state_difference,
                     n_early_items)  # fmt: skip


def inputs(**changes: Any) -> Inputs:
    sound = Inputs(PROBE, CURVE, GROUPS, measured_gap(), scored(0.0), look_ahead())
    return replace(sound, **changes)
