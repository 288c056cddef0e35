"""User ids have another meaning: the purchases of one account continue those of another."""

from functools import lru_cache

import numpy as np

from pipeline.monitoring.diagnosis.affinity import PastAffinity, compute_affinity
from pipeline.monitoring.diagnosis.case import Case
from pipeline.monitoring.diagnosis.corrections import append_renames, rename_users
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

MINIMUM_USERS = 50


@lru_cache(maxsize=4)
def _affinity(case: Case) -> PastAffinity | None:
    return compute_affinity(case.before, case.now, "user_id")


def measure_users(case: Case) -> float:
    """Return the share of users who are nearest to the past of another, each the other's."""
    affinity = _affinity(case)
    if affinity is None or len(affinity.ids) < MINIMUM_USERS:
        return 0.0
    return float(affinity.is_certain.mean())


def explain_users(case: Case, _bound: float) -> Suspicion | None:
    """Return the map of the ids."""
    affinity = _affinity(case)
    if affinity is None:
        return None
    names = affinity.match()
    return Suspicion(
        phase="collection",
        because=f"{np.mean(affinity.is_certain):.0%} of the users buy what another user "
        "bought before, and no longer what they bought themselves",
        action="Check how user ids are assigned in the newest partitions, or declare the map of "
        "the ids under collection.corrections in params.yaml.",
        steps=(append_renames(case, "user_id"),),
        undo=lambda faulty: rename_users(faulty, names),
        renames=names,
    )


USERS_REMAPPED = Cause(
    name="users_remapped",
    statistic="share of users who continue the purchases of another",
    measure=measure_users,
    explain=explain_users,
    floor=0.03,
    factor=2.5,
)
