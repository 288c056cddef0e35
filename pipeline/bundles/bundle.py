"""The champion as one folder: the graph and all that it needs, with a sha256 for each file.

    models/champion/
      graph.onnx  model.json  vocabulary.json     the recommender, as it is served
      saved_model/                                the same graph as it was fitted
      histories.parquet                           purchases before as_of, in request layout
      attributes.parquet  items.parquet           codes of the users; names of the items
      golden.json                                 requests with the answers to expect
      manifest.json                               version, origin, and the sha256 of every file

The version is a hash of the files: equal content has equal versions, on every machine.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts.artefacts import CHAMPION, sha256
from pipeline.contracts.atomic import restore
from pipeline.contracts.errors import BundleError
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.onnx.graph import OnnxRecommender, load_onnx

MANIFEST = "manifest.json"
GOLDEN = "golden.json"
HISTORIES = "histories.parquet"
ATTRIBUTES = "attributes.parquet"
ITEMS = "items.parquet"
VERSION_LENGTH = 12
ENCODED = ["user_id", "store_id"]
ITEM_COLUMNS = ["item_id", "title", "department", "category", "type", "brand"]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory.

    Attributes:
        path: Its folder.
        manifest: version, model {name, epochs}, as_of, timezone, maximum_user_lines, git_commit,
            data, files.
        recommender: The fitted method.
        histories: Purchases before as_of.
        attributes: Codes, indexed by user_id.
        items: What people are shown; row i describes index i + 1.
    """

    path: Path
    manifest: dict[str, Any]
    recommender: OnnxRecommender
    histories: Histories
    attributes: pd.DataFrame
    items: pd.DataFrame

    @property
    def version(self) -> str:
        """What this content is called."""
        return str(self.manifest["version"])


def write_tables(
    folder: Path, histories: Histories, attributes: pd.DataFrame, items: pd.DataFrame
) -> None:
    """Write the tables of a bundle beside the recommender that `refit` put there.

    Args:
        folder: Where to.
        histories: Purchases before as_of.
        attributes: Codes, indexed by user_id.
        items: schemas.ITEMS in vocabulary order.
    """
    _write_parquet(_history_table(histories), folder / HISTORIES)
    codes = pa.Table.from_pandas(attributes.reset_index(), preserve_index=False)
    _write_parquet(codes, folder / ATTRIBUTES)
    shown = items.reindex(columns=ITEM_COLUMNS).astype("object")
    schema = pa.schema([(name, pa.string()) for name in ITEM_COLUMNS])
    table = pa.Table.from_pandas(shown.where(shown.notna(), None), schema, preserve_index=False)
    _write_parquet(table, folder / ITEMS)


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")


def _history_table(histories: Histories) -> pa.Table:
    lengths = np.diff(histories.row_splits)
    users = pa.array(histories.user_ids, type=pa.string())
    rows = pa.array(np.repeat(np.arange(len(lengths)), lengths))
    return pa.table(
        {
            "user_id": users.take(rows),
            "item": histories.item,
            "time": histories.time,
            "basket": histories.basket,
            "quantity": histories.quantity,
            "price": histories.price,
            "store_id": pa.array([None, *histories.store_ids], type=pa.string()).take(
                pa.array(histories.store)
            ),
        }
    )


def write_manifest(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write manifest.json over the files of the folder and return it.

    Args:
        folder: The bundle, complete but for the manifest.
        facts: model, as_of, timezone, maximum_user_lines, git_commit, data.
    """
    files = {
        str(path.relative_to(folder)): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    listed = "".join(f"{name} {digest}\n" for name, digest in files.items())
    version = hashlib.sha256(listed.encode()).hexdigest()[:VERSION_LENGTH]
    manifest = {"version": version, **facts, "files": files}
    text = json.dumps(manifest, indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def verify_bundle(path: Path) -> dict[str, Any]:
    """Return the manifest of a bundle whose files are all what they were when it was made.

    Raises:
        BundleError: There is no bundle, or a file is missing, altered or not listed.
    """
    restore(path)
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        known: dict[str, str] = manifest["files"]
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(
            f"a model bundle in '{path}'",
            received=f"{type(error).__name__}: {error}",
            action="Run `uv run dvc repro`, or `uv run dvc pull` if a remote has it.",
        ) from error
    present = {
        str(file.relative_to(path))
        for file in path.rglob("*")
        if file.is_file() and file.name != MANIFEST
    }
    wrong = sorted(present ^ set(known)) or sorted(
        name for name, digest in known.items() if sha256(path / name) != digest
    )
    if wrong:
        raise BundleError(
            f"files in '{path}' that match its manifest",
            received=f"a difference in {', '.join(wrong)}",
            action="Restore it: `uv run dvc checkout --force models/champion`.",
        )
    return manifest


def load_bundle(path: Path = CHAMPION.path) -> Bundle:
    """Return the bundle in `path`; every file is checked against the manifest first.

    Raises:
        BundleError: There is no bundle, or a file is missing, altered or not listed.
    """
    manifest = verify_bundle(path)
    histories, attributes, items = (
        pq.read_table(path / name) for name in (HISTORIES, ATTRIBUTES, ITEMS)
    )
    return Bundle(
        path=path,
        manifest=manifest,
        recommender=load_onnx(path),
        histories=_histories_of(histories, manifest.get("maximum_user_lines")),
        attributes=attributes.to_pandas().set_index("user_id"),
        items=items.to_pandas(),
    )


def _histories_of(table: pa.Table, maximum_lines: int | None) -> Histories:
    users, stores = (table[name].combine_chunks().dictionary_encode() for name in ENCODED)
    codes = users.indices.to_numpy()
    order = pc.array_sort_indices(stores.dictionary).to_numpy()
    store_of = np.zeros(len(order) + 1, dtype=np.int32)  # the last is for no store
    store_of[order] = np.arange(1, len(order) + 1)
    return Histories(
        user_ids=tuple(users.dictionary.to_pylist()),
        row_splits=np.searchsorted(codes, np.arange(len(users.dictionary) + 1)),
        item=table["item"].to_numpy(),
        time=table["time"].to_numpy(),
        basket=table["basket"].to_numpy(),
        quantity=table["quantity"].to_numpy(),
        price=table["price"].to_numpy(),
        store=store_of[stores.indices.fill_null(len(order)).to_numpy()],
        store_ids=tuple(stores.dictionary.take(order).to_pylist()),
        maximum_lines=maximum_lines,
    )
