"""Users from a file: Parquet or CSV with a column user_id, or text with one id per line.

Ids are read verbatim in every format, without trimming. A byte order mark, which spreadsheets
write, is not part of the first id.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.contracts.errors import SourceError
from pipeline.contracts.schemas import ID_RULE, is_id

COLUMN = "user_id"
ENCODING = "utf-8-sig"


def read_users(path: Path) -> list[str]:
    """Return the unique ids in the file, in order.

    Raises:
        SourceError: The file is missing, damaged, of another format or without ids, or an id is
            empty or invalid.
    """
    try:
        users = _read_column(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    n_empty = int(users.isna().sum() + users.eq("").sum())
    if n_empty or users.empty:
        raise _unusable(path, f"{len(users)} rows, {n_empty} of them without an id")
    user_ids = list(dict.fromkeys(users))
    invalid = [user_id for user_id in user_ids if not is_id(user_id)]
    if invalid:
        raise _unusable(path, f"{invalid[0]!r:.80}, one of {len(invalid)}: an id must {ID_RULE}")
    return user_ids


def _read_column(path: Path) -> "pd.Series[str]":
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pd.read_parquet(path, columns=[COLUMN])[COLUMN].astype("string")
    if suffix == ".csv":
        rows = pd.read_csv(
            path,
            usecols=[COLUMN],
            dtype="string",
            keep_default_na=False,
            encoding=ENCODING,
        )
        return rows[COLUMN]
    if suffix == ".txt":
        lines = path.read_text(encoding=ENCODING).removesuffix("\n").split("\n")
        return pd.Series(lines, dtype="string")
    message = f"the suffix '{path.suffix}'"
    raise ValueError(message)


def _unusable(path: Path, received: str) -> SourceError:
    return SourceError(
        f"users in '{path}': .parquet or .csv with a column {COLUMN}, or .txt with one id per line",
        received=received,
        action="Correct the file or its name.",
    )
