"""A shop small enough for tests whose answer is known: shoppers buy their own few products weekly.

80 shoppers, 60 products, 26 weeks from 2024-01-01. Every shopper has six habits and buys about
four of them each week, plus one product that is in that week's mailer. A recommender that learned
anything finds the habits; the popular list cannot.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from pipeline.contracts import artefacts
from pipeline.contracts.phases import PHASES
from pipeline.contracts.verdicts import Verdict

N_USERS = 80
N_ITEMS = 60
N_WEEKS = 26
N_HABITS = 6
START = datetime(2024, 1, 1, tzinfo=UTC)
AS_OF = START + timedelta(weeks=22)
DEPARTMENTS = ("BAKERY", "DAIRY", "PRODUCE")
PROJECT = Path(__file__).resolve().parents[2]


def item_id(number: int) -> str:
    return f"item-{number:02d}"


def user_id(number: int) -> str:
    return f"user-{number:02d}"


def habits(user: int) -> list[int]:
    """Return the products that `user` buys repeatedly."""
    return [int(i) for i in np.random.default_rng(1000 + user).permutation(N_ITEMS)[:N_HABITS]]


def mailer(week: int) -> list[int]:
    """Return the products in the mailer of `week`."""
    return [int(i) for i in np.random.default_rng(2000 + week).permutation(N_ITEMS)[:5]]


def events() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    random = np.random.default_rng(7)
    for user in range(N_USERS):
        own = habits(user)
        for week in range(N_WEEKS):
            day, hour = int(random.integers(0, 7)), int(random.integers(9, 20))
            moment = START + timedelta(weeks=week, days=day, hours=hour)
            bought = {item for item in own if random.random() < 0.7}
            bought.add(mailer(week)[int(random.integers(0, 5))])
            rows.extend(_line(user, item, moment, week) for item in sorted(bought))
    return pd.DataFrame(rows)


def _line(user: int, item: int, moment: datetime, week: int) -> dict[str, Any]:
    return {
        "user_id": user_id(user),
        "item_id": item_id(item),
        "timestamp": moment,
        "event_type": "purchase",
        "quantity": 1.0,
        "price": 1.0 + item % 7,
        "discount": 0.0,
        "basket_id": f"basket-{user:02d}-{week:02d}",
        "store_id": "store-1",
        "source": "tiny",
    }


def items() -> pd.DataFrame:
    numbers = range(N_ITEMS)
    return pd.DataFrame(
        {
            "item_id": [item_id(n) for n in numbers],
            "title": [f"Product {n}" for n in numbers],
            "department": [DEPARTMENTS[n % 3] for n in numbers],
            "category": [f"CATEGORY {n % 6}" for n in numbers],
            "type": [f"TYPE {n % 12}" for n in numbers],
            "brand": ["Private" if n % 2 else "National" for n in numbers],
        }
    )


def users() -> pd.DataFrame:
    numbers = range(N_USERS)
    ages = ["19-24" if n % 2 else "45-54" for n in numbers]
    frame = pd.DataFrame({"user_id": [user_id(n) for n in numbers], "age": ages})
    return frame[: N_USERS // 2]


def offers() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item_id": item_id(item),
            "starts": START + timedelta(weeks=week),
            "ends": START + timedelta(weeks=week + 1),
            "kind": "mailer",
            "store_fraction": 1.0,
        }
        for week in range(N_WEEKS)
        for item in mailer(week)
    )


def clean_offers() -> pd.DataFrame:
    """Return the offers as collection writes them, for all users."""
    return offers().assign(audience=None, audience_fraction=np.nan)


def write_source(folder: Path) -> None:
    """Write the shop's tables as Parquet files, as a retailer would."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"events": events(), "items": items(), "users": users(), "offers": offers()}
    for name, frame in tables.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)


def write_verdicts(folder: Path) -> None:
    """Write proceeding verdicts for every phase, as the gates of the stages require."""
    for phase in PHASES:
        verdict = Verdict(phase=phase, status="proceed", cause="All is well")
        path = folder / artefacts.verdict(phase).path
        artefacts.write_json(verdict.model_dump(mode="json"), path)


def params(source: str = "data/source") -> dict[str, Any]:
    """Return the project's params.yaml, adapted to this shop and to short runs."""
    values: dict[str, Any] = YAML(typ="safe", pure=True).load(
        (PROJECT / "params.yaml").read_text(encoding="utf-8")
    )
    values["shop"] |= {
        "as_of": str(AS_OF.date()),
        "timezone": "UTC",
        "seed": 3,
    }
    values["planning"]["guardrails"]["p99_latency_ms"] = 1000  # for busy test machines
    values["planning"] |= {
        "minimum_users": 20,
        "learning_curve_repeats": 2,
        "bootstrap_samples": 100,
        "learning_curve_fractions": [0.25, 0.5, 1.0],
    }
    values["collection"]["source"] = {
        "kind": "files",
        "path": source,
        "timestamps_are": "utc",
        "tables": {
            name: {"file": f"{name}.parquet"} for name in ("events", "items", "users", "offers")
        },
    }
    values["labeling"] |= {
        "train_windows": 3,
        "train_examples_per_user_window": 2,
        "n_negatives": 10,
    }
    values["families"]["ranker"] |= {
        "n_networks": 2,
        "n_crosses": 1,
        "cross_rank": 16,
        "hidden_dims": [32, 16],
        "dropout": 0.2,
        "epochs": 10,
        "batch_size": 16,
        "explore_batch_size": 16,
        "learning_rate": 0.005,
        "explore_epochs": 2,
        "explore_catalogue": 60,
        "learning_curve_fractions": [0.25, 0.5],
    }
    for name in ("multvae", "lightgcn", "item2vec", "irgan"):
        values["families"][name] |= {"epochs": 12, "patience": 12, "batch_size": 64}
    values["families"]["sasrec"] |= {"epochs": 12, "patience": 12, "max_length": 30}
    values["testing"]["bootstrap_samples"] = 100
    values["deployment"] |= {"n_golden_requests": 8, "load_seconds": 2}
    values["monitoring"] |= {"bootstrap_samples": 100}
    return values


def write_params(path: Path, values: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(values, file)
