"""Search for ids in the files of a folder: as words of texts, or anywhere in binary files."""

import re
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq


def files_that_name(user_ids: Iterable[str], paths: Iterable[Path]) -> dict[str, set[str]]:
    """Return the ids that each file contains."""
    wanted = set(user_ids)
    named = {str(path): _ids_in(path, wanted) for path in paths if path.is_file()}
    return {path: ids for path, ids in named.items() if ids}


def _ids_in(path: Path, wanted: set[str]) -> set[str]:
    content = path.read_bytes()
    if content[:4] == b"PAR1":
        content = pq.read_table(path).to_pandas().to_csv(index=False).encode()
    if b"\0" in content:  # a database writes the fields of a row without anything between
        return {user_id for user_id in wanted if user_id.encode() in content}
    text = content.decode("utf-8", errors="replace")
    return wanted & set(re.findall("|".join(_word(user_id) for user_id in wanted), text))


def _word(user_id: str) -> str:
    return rf"(?<![\w-]){re.escape(user_id)}(?![\w-])"
