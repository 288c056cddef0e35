"""Which files of a folder hold an id: in their bytes, or in the columns of a Parquet file."""

import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq


def files_that_name(user_ids: Iterable[str], paths: Iterable[Path]) -> dict[str, set[str]]:
    """Return, by file, which of the ids it holds as a word of their own."""
    words = re.compile("|".join(rf"(?<![\w-]){re.escape(each)}(?![\w-])" for each in user_ids))
    named = {str(path): set(words.findall(_text(path))) for path in paths if path.is_file()}
    return {path: ids for path, ids in named.items() if ids}


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content[:4] == b"PAR1":
        return pq.read_table(path).to_pandas().to_csv(index=False)
    return content.decode("utf-8", errors="replace")
