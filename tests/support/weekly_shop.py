"""A shop of a few lines, written by hand, whose labelled set can be worked out by hand.

Ann and Bob buy bread and one other product every Tuesday from 2 January 2024. With these params
training windows open on Monday 15 and 22 January, validation on 29 January, test on 5 February,
production on 12 February.
"""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from pipeline.contracts.params import LabelingParams, ShopParams
from pipeline.labeling.audit.reviews import lines_matching, match_decisions
from pipeline.labeling.examples.baskets import build_basket_lines
from pipeline.labeling.examples.labelling import Labelled, gather_baskets, label_baskets
from tests.support.tiny_shop import PROJECT


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def event(user: str, item: str, at: str, basket: str | None, **others: Any) -> dict[str, Any]:
    return {
        "user_id": user,
        "item_id": item,
        "timestamp": moment(at),
        "event_type": "purchase",
        "quantity": 1.0,
        "price": 2.0,
        "basket_id": basket,
        "session_id": None,
        "store_id": "store-1",
        "source": "till",
        **others,
    }


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    texts = dict.fromkeys(["user_id", "item_id", "event_type", "source", "store_id"], "str")
    texts |= dict.fromkeys(["basket_id", "session_id"], "str")
    return pd.DataFrame(list(rows)).astype(texts | {"timestamp": "datetime64[us, UTC]"})


def labeling(**changes: Any) -> LabelingParams:
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    values = YAML(typ="safe", pure=True).load(text)["labeling"]
    values |= {
        "minimum_earlier_baskets": 1,
        "train_windows": 2,
        "train_window_days": 7,
        "horizon_days": 7,
        "on_offer_days": 30,
        "n_negatives": 3,
    }
    return LabelingParams.model_validate(values | changes)


def shop(**changes: Any) -> ShopParams:
    values = {
        "as_of": date(2024, 2, 12),
        "timezone": "UTC",
        "currency": "EUR",
        "seed": 5,
        "validation_days": 7,
        "test_days": 7,
        "maximum_user_lines": 5000,
    }
    return ShopParams.model_validate(values | changes)


def events(*more: dict[str, Any]) -> pd.DataFrame:
    days = ["01-02", "01-09", "01-16", "01-23", "01-30", "02-06", "02-13"]
    others = ["milk", "eggs", "rice", "tea", "salt", "oil", "plums"]
    rows = []
    for user in ("ann", "bob"):
        for day, other in zip(days, others, strict=True):
            at, basket = f"2024-{day}T10:00", f"{user}-{day}"
            rows += [event(user, item, at, basket) for item in ("bread", other)]
    return frame(*rows, *more)


def offers() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item_id": pd.Series(["cocoa", "melon"], dtype="str"),
            "starts": [moment("2024-01-01"), moment("2024-02-20")],
            "ends": [moment("2024-01-08"), moment("2024-02-27")],
        }
    ).astype({"starts": "datetime64[us, UTC]", "ends": "datetime64[us, UTC]"})


def items() -> pd.DataFrame:
    names = ["bread", "milk", "eggs", "rice", "tea", "salt", "oil", "plums", "cocoa", "melon"]
    return pd.DataFrame(
        {
            "item_id": pd.Series(names, dtype="str"),
            "title": pd.Series([name.title() for name in names], dtype="str"),
            "department": pd.Series(["BAKERY", *["GROCERY"] * 9], dtype="str"),
            "category": pd.Series(["BREAD", *["FOOD"] * 8, None], dtype="str"),
        }
    )


def labelled(
    purchases: pd.DataFrame, decisions: pd.DataFrame | None = None, **changes: Any
) -> Labelled:
    """Return the labelled set of the shop."""
    params = labeling(**changes)
    found = gather_baskets(build_basket_lines(purchases, params), offers(), shop(), params)
    dropped = np.zeros(len(found.lines), dtype=bool)
    if decisions is not None:
        dropped = lines_matching(match_decisions(decisions, found), found)
    return label_baskets(found, offers(), dropped, shop(), params)


def example(labelled: Labelled, example_id: str) -> dict[str, Any]:
    """Return one example as plain values."""
    rows = {row["example_id"]: row for row in labelled.table().to_pylist()}
    return rows[example_id]
