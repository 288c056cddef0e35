"""The tiny shop for collection: its parameters, its size, and changes to its source."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.contracts import artefacts
from pipeline.runtime.stage_cost import COSTS
from tests.support import tiny_shop

N_WEEKS = 13
AFTER = tiny_shop.START + timedelta(weeks=N_WEEKS)  # 2024-04-01: three whole months
N_EVENTS = {"2024-01": 1773, "2024-02": 1690, "2024-03": 1819}
N_ALL = 5282
Change = Callable[[pd.DataFrame], pd.DataFrame]


def write_params(folder: Path, **changes: Any) -> None:
    values = tiny_shop.params()
    values["shop"]["as_of"] = "2024-03-04"
    values["tracking"]["uri"] = "sqlite:////no/such/folder/mlflow.db"
    values["collection"] |= changes
    tiny_shop.write_params(folder / "params.yaml", values)


def source_events() -> pd.DataFrame:
    events = tiny_shop.events()
    return events[events["timestamp"] < AFTER].reset_index(drop=True)


def state(*roots: str) -> dict[str, str]:
    """Return the hashes of the outputs of collection, and check that no temporary file is left."""
    roots = roots or ("data/clean", "data/quarantine", "reports")
    assert not list(Path("data").glob(".*"))
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for root in roots
        for path in sorted(Path(root).rglob("*"))
        if path.is_file() and COSTS not in path.parents
    }


def change(name: str, how: Change) -> None:
    path = Path("data/source") / f"{name}.parquet"
    how(pd.read_parquet(path)).to_parquet(path, index=False)


def put(column: str, value: object, rows: slice | list[int]) -> Change:
    """Return a change of `column` in some rows, by their position in the file."""

    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.index[rows], column] = value
        return frame

    return changed


def report() -> dict[str, Any]:
    numbers: dict[str, Any] = artefacts.read_json(artefacts.COLLECTION_REPORT)
    return numbers


def quarantined(name: str = "events") -> pd.DataFrame:
    folder = artefacts.QUARANTINE.path
    files = sorted((folder / name).glob("*.parquet")) or sorted(folder.glob(f"{name}.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


def first_of_february(n_rows: int) -> list[int]:
    february = source_events()["timestamp"].dt.month == 2
    return list(np.flatnonzero(february)[:n_rows])
