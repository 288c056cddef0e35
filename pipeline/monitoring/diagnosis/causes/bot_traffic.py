"""Accounts that no person uses: far more baskets than any account had before."""

from pipeline.monitoring.diagnosis.case import Case, first_rows_of_baskets
from pipeline.monitoring.diagnosis.corrections import append_corrections, drop_users
from pipeline.monitoring.diagnosis.suspicion import Cause, Suspicion

# Times the baskets of the account with the most before the window.
MANY = 1.5
# Baskets of one account in a window; fewer are a person's.
MINIMUM_BASKETS = 60
# Times the lines of the account with the most before the window.
MANY_LINES = 3.0


def measure_bots(case: Case) -> float:
    """Return the share of the window's lines from accounts that no person uses."""
    return float(case.now["user_id"].isin(find_bots(case)).mean()) if len(case.now) else 0.0


def find_bots(case: Case) -> frozenset[str]:
    """Return the accounts with far more baskets, or lines, per day than any account before."""
    if case.before.empty or case.now.empty:
        return frozenset()
    n_days = max((case.before["timestamp"].max() - case.before["timestamp"].min()).days + 1, 1)
    scale = case.days / n_days
    baskets = [
        first_rows_of_baskets(events)["user_id"].value_counts()
        for events in (case.before, case.now)
    ]
    most = max(baskets[0].max() * scale * MANY, MINIMUM_BASKETS)
    lines = [events["user_id"].value_counts() for events in (case.before, case.now)]
    largest = lines[0].max() * scale * MANY_LINES
    busy = baskets[1].index[baskets[1] > most]
    heavy = lines[1].index[lines[1] > max(largest, MINIMUM_BASKETS)]
    return frozenset(busy) | frozenset(heavy)


def explain_bots(case: Case, _bound: float) -> Suspicion | None:
    """Return the accounts, and the share of the lines that is theirs."""
    bots = find_bots(case)
    share = measure_bots(case)
    first = case.local_days(case.now.loc[case.now["user_id"].isin(bots), "timestamp"]).min()
    member = {"kind": "drop_users", "users": sorted(bots)}
    return Suspicion(
        phase="collection",
        because=f"{share:.1%} of the lines come from {len(bots)} accounts with far more baskets "
        f"than any account before, since {first:%Y-%m-%d}",
        action="Leave these accounts out: declare `kind: drop_users` under "
        "collection.corrections in params.yaml.",
        steps=(append_corrections([member]),),
        undo=lambda faulty: drop_users(faulty, bots),
    )


BOT_TRAFFIC = Cause(
    name="bot_traffic",
    statistic="share of lines from accounts that no person uses",
    measure=measure_bots,
    explain=explain_bots,
    floor=0.01,
)
