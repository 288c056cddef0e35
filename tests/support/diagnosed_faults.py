"""Faults in a window of the synthetic shop: each returns the case with the window damaged."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.monitoring.diagnosis.case import Case
from tests.support.diagnosed_shop import DAYS, NAMES, START, Frame, change_events, select

SEED = 5


def scale_prices(
    case: Case, factor: float, first: int = 0, last: int = DAYS, store: str | None = None
) -> Case:
    return change_events(
        case,
        lambda now: now.assign(
            price=now["price"] * np.where(select(now, first, last, store), factor, 1)
        ),
    )


def shift_clock(
    case: Case, hours: float, first: int = 0, last: int = DAYS, store: str | None = None
) -> Case:
    def move(now: Frame) -> Frame:
        by = pd.to_timedelta(np.where(select(now, first, last, store), hours, 0.0), unit="h")
        return now.assign(timestamp=now["timestamp"] + by)

    return change_events(case, move)


def drop_days(case: Case, first: int, last: int, store: str | None = None) -> Case:
    return change_events(case, lambda now: now[~select(now, first, last, store)])


def keep_some(case: Case, share: float, column: str) -> Case:
    """Return the case with a share of the baskets, or of the lines."""

    def choose(now: Frame) -> Frame:
        random = np.random.default_rng(SEED)
        ids = now[column].unique()
        return now[now[column].isin(ids[random.random(len(ids)) < share])]

    return change_events(case, choose)


def repeat_lines(
    case: Case, first: int, last: int, *, new_baskets: bool = False, store: str | None = None
) -> Case:
    def add(now: Frame) -> Frame:
        again = now[select(now, first, last, store)]
        if new_baskets:
            again = again.assign(basket_id="again-" + again["basket_id"])
        return pd.concat([now, again], ignore_index=True)

    return change_events(case, add)


def damage_lines(
    case: Case, column: str, value: float, share: float, first: int, last: int
) -> Case:
    def spoil(now: Frame) -> Frame:
        random = np.random.default_rng(SEED)
        chosen = select(now, first, last) & (random.random(len(now)) < share)
        return now.assign(**{column: now[column].mask(chosen, value)})

    return change_events(case, spoil)


def add_bots(case: Case, n_bots: int, n_baskets: int, first: int = 0, n_lines: int = 1) -> Case:
    def add(now: Frame) -> Frame:
        random = np.random.default_rng(SEED)
        n = n_bots * n_baskets * n_lines
        basket = np.arange(n) // n_lines
        seconds = random.integers(first * 86_400, DAYS * 86_400, n_bots * n_baskets)
        lines = now.iloc[random.integers(len(now), size=n)].assign(
            user_id=np.char.mod("bot%d", basket % n_bots),
            basket_id=np.char.mod("bot%d", basket),
            timestamp=START + pd.to_timedelta(seconds[basket], unit="s"),
        )
        lines = lines.drop_duplicates(["basket_id", "item_id"])
        return pd.concat([now, lines], ignore_index=True)

    return change_events(case, add)


def permute(ids: np.ndarray, share: float, seed: int = 5) -> dict[str, str]:
    """Return a new id of a share of the ids, none its own."""
    random = np.random.default_rng(seed)
    chosen = random.choice(ids, round(share * len(ids)), replace=False)
    return dict(zip(chosen, np.roll(chosen, 1), strict=True))


def rename(case: Case, column: str, names: Mapping[str, str]) -> Case:
    return change_events(
        case,
        lambda now: now.assign(**{column: now[column].map(names).fillna(now[column])}),
    )


def misjoin_labels(case: Case, share: float) -> Case:
    random = np.random.default_rng(SEED)
    rows = random.choice(len(case.labelled), round(share * len(case.labelled)), replace=False)
    labels = case.labelled["labels"].to_numpy(dtype=object, copy=True)
    labels[rows] = labels[np.roll(rows, 1)]
    return replace(case, labelled=case.labelled.assign(labels=labels))


def change_labels(case: Case, share: float, *, drop: bool) -> Case:
    """Return the case with a share of the labels dropped, or replaced by random items."""
    random = np.random.default_rng(SEED)

    def change(row: list[str]) -> list[str]:
        spared = random.random(len(row)) >= share
        kept = [item for item, is_spared in zip(row, spared, strict=True) if is_spared]
        if drop:
            return kept or row[:1]
        return kept + [str(random.choice(NAMES)) for _ in range(len(row) - len(kept))]

    return replace(case, labelled=case.labelled.assign(labels=case.labelled["labels"].map(change)))


def keep_requests(case: Case, share: float) -> Case:
    return replace(case, labelled=case.labelled.sample(frac=share, random_state=SEED))
