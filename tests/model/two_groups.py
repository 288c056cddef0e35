"""A shop with a known answer: two groups of shoppers, each buying its own half of the items.

A checkerboard: of 16 shoppers and 12 items, even shoppers buy even items, odd ones odd items.
Every item is bought as often as any other. Each shopper never buys one item of the own half, so
the first that a shopper should explore is that one.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from pipeline.contracts.params import PARAMS_PATH, FamiliesParams, read_params
from pipeline.recommenders.base.training_data import TrainingData, build_training_data
from tests.support import tiny_shop

N_USERS, N_ITEMS, N_DAYS = 48, 12, 60
BASKET = 3
START = datetime(2024, 1, 1, 12, tzinfo=UTC)
VALIDATION_DAY, CUTOFF_DAY = 40, 60


def item_id(number: int) -> str:
    return f"item-{number:02d}"


def user_id(number: int) -> str:
    return f"user-{number:02d}"


def day(number: int) -> pd.Timestamp:
    return pd.Timestamp(START) - pd.Timedelta(hours=12) + pd.Timedelta(days=number)


def own_half(user: int) -> list[int]:
    """The items of the shopper's group."""
    return list(range(user % 2, N_ITEMS, 2))


def never_bought(user: int) -> int:
    """The one item of the own half that a shopper does not buy."""
    half = own_half(user)
    return half[user // 2 % len(half)]


def events() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for user in range(N_USERS):
        bought = [item for item in own_half(user) if item != never_bought(user)]
        for number, since in enumerate(range(user % 4, N_DAYS, 4)):
            basket = [bought[(number * 2 + at) % len(bought)] for at in range(BASKET)]
            rows.extend(
                {
                    "user_id": user_id(user),
                    "item_id": item_id(item),
                    "timestamp": START + timedelta(days=since),
                    "event_type": "purchase",
                    "quantity": 1.0,
                    "price": 1.0,
                    "basket_id": f"basket-{user:02d}-{number:02d}",
                }
                for item in sorted(basket)
            )
    return pd.DataFrame(rows)


def examples(lines: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "split": "train" if basket["timestamp"].iloc[0] < day(VALIDATION_DAY) else "validation",
            "protocol": "rolling",
            "cutoff": day(
                VALIDATION_DAY if basket["timestamp"].iloc[0] >= day(VALIDATION_DAY) else 5
            ),
            "user_id": basket["user_id"].iloc[0],
            "timestamp": basket["timestamp"].iloc[0],
            "cart": [],
            "labels": sorted(basket["item_id"]),
            "relevance": [1.0] * len(basket),
        }
        for _, basket in lines.groupby("basket_id", sort=True)
    ]
    result = pd.DataFrame(rows)
    return result[result["timestamp"] >= day(5)].reset_index(drop=True)


def data(lines: pd.DataFrame | None = None) -> TrainingData:
    lines = events() if lines is None else lines
    every = examples(lines)
    ids = sorted(lines["item_id"].unique())
    blank = ["A"] * len(ids)
    return build_training_data(
        cutoff=day(CUTOFF_DAY),
        timezone="UTC",
        events=lines,
        items=pd.DataFrame({"item_id": ids, "department": blank, "category": blank, "type": blank}),
        users=pd.DataFrame({"user_id": sorted(lines["user_id"].unique())}),
        offers=tiny_shop.clean_offers().iloc[:0],
        train=every[every["split"] == "train"],
        validation=every[every["split"] == "validation"],
    )


def params(**changes: dict[str, Any]) -> FamiliesParams:
    """The project's families, small and quick; `changes` per section."""
    small = {"embedding_dim": 8, "batch_size": 32, "explore_catalogue": N_ITEMS}
    sections = {
        "multvae": small | {"latent_dim": 4, "epochs": 12, "learning_rate": 0.02},
        "lightgcn": small | {"epochs": 12},
        "item2vec": small | {"epochs": 12, "learning_rate": 0.05, "frequent_share": 1.0},
        "irgan": small
        | {"embedding_dim": 2, "epochs": 12, "n_negatives": 8, "learning_rate": 0.03},
    }
    values = read_params(tiny_shop.PROJECT / PARAMS_PATH).families.model_dump()
    for name in sections | changes:
        values[name] |= sections.get(name, {}) | changes.get(name, {})
    return FamiliesParams.model_validate(values)
