"""The shoppers in a file: Parquet or CSV with a column user_id, or text with one id per line.

An id is what the file holds, in every format: nothing is trimmed or changed. A byte order mark, as
spreadsheets write it, is no part of the first id.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.contracts.errors import SourceError
from pipeline.contracts.schemas import ID_RULE, is_id

COLUMN = "user_id"
ENCODING = "utf-8-sig"


def read_users(path: Path) -> list[str]:
    """Return the ids in the file, each once, in their order.

    Raises:
        SourceError: The file is missing, of another kind, damaged, or without ids; or one of them
            is empty or breaks the rule for ids.
    """
    try:
        users = _column(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    n_empty = int(users.isna().sum() + users.eq("").sum())
    if n_empty or users.empty:
        raise _unusable(path, f"{len(users)} rows, {n_empty} of them without an id")
    found = list(dict.fromkeys(users))
    wrong = [user_id for user_id in found if not is_id(user_id)]
    if wrong:
        raise _unusable(path, f"{wrong[0]!r:.80}, one of {len(wrong)}: an id must {ID_RULE}")
    return found


def _column(path: Path) -> "pd.Series[str]":
    kind = path.suffix.lower()
    if kind == ".parquet":
        return pd.read_parquet(path, columns=[COLUMN])[COLUMN].astype("string")
    if kind == ".csv":
        rows = pd.read_csv(
            path,
            usecols=[COLUMN],
            dtype="string",
            keep_default_na=False,
            encoding=ENCODING,
        )
        return rows[COLUMN]
    if kind == ".txt":
        lines = path.read_text(encoding=ENCODING).removesuffix("\n").split("\n")
        return pd.Series(lines, dtype="string")
    message = f"the ending '{path.suffix}'"
    raise ValueError(message)


def _unusable(path: Path, received: str) -> SourceError:
    return SourceError(
        f"users in '{path}': .parquet or .csv with a column {COLUMN}, or .txt with one id per line",
        received=received,
        action="Correct the file or its name.",
    )
