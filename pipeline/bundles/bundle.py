"""The bundle: a folder with a model and everything it needs, and a SHA-256 for each file.

    models/champion/
      graph.onnx  model.json  vocabulary.json     the served recommender
      saved_model/                                the same graph in TensorFlow
      histories.parquet                           purchases before as_of, in request layout
      attributes.parquet  items.parquet           codes of the users; titles of the items
      golden.json                                 requests with their expected answers
      manifest.json                               version, origin, and the SHA-256 of every file

The version is a hash of the files, so equal content has the same version on every machine.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.bundles.manifest import MANIFEST, BundleManifest, read_manifest
from pipeline.contracts.artefacts import CHAMPION, sha256
from pipeline.contracts.errors import BundleError
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.onnx.graph import OnnxRecommender, load_onnx

GOLDEN = "golden.json"
HISTORIES = "histories.parquet"
ATTRIBUTES = "attributes.parquet"
ITEMS = "items.parquet"
DICTIONARY_COLUMNS = ["user_id", "store_id"]
ITEM_COLUMNS = ["item_id", "title", "department", "category", "type", "brand"]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory.

    Attributes:
        path: The folder.
        manifest: Version, origin, and the SHA-256 of every file.
        recommender: The fitted model.
        histories: Purchases before as_of.
        attributes: User attribute codes, indexed by user_id.
        items: Titles and categories; row i describes item index i + 1.
    """

    path: Path
    manifest: BundleManifest
    recommender: OnnxRecommender
    histories: Histories
    attributes: pd.DataFrame
    items: pd.DataFrame

    @property
    def version(self) -> str:
        """The version in the manifest: 12 hexadecimal digits."""
        return self.manifest.version


def write_tables(
    folder: Path, histories: Histories, attributes: pd.DataFrame, items: pd.DataFrame
) -> None:
    """Write the tables of a bundle beside the recommender that `refit` wrote.

    Args:
        folder: The bundle's folder.
        histories: Purchases before as_of.
        attributes: User attribute codes, indexed by user_id.
        items: Rows of schemas.ITEMS in vocabulary order.
    """
    _write_parquet(_build_history_table(histories), folder / HISTORIES)
    codes = pa.Table.from_pandas(attributes.reset_index(), preserve_index=False)
    _write_parquet(codes, folder / ATTRIBUTES)
    texts = items.reindex(columns=ITEM_COLUMNS).astype("object")
    schema = pa.schema([(name, pa.string()) for name in ITEM_COLUMNS])
    table = pa.Table.from_pandas(texts.where(texts.notna(), None), schema, preserve_index=False)
    _write_parquet(table, folder / ITEMS)


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")


def _build_history_table(histories: Histories) -> pa.Table:
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


def verify_bundle(path: Path) -> BundleManifest:
    """Return a bundle's manifest after checking every file against it.

    Raises:
        BundleError: The bundle is missing, or a file is missing, altered or not listed.
    """
    manifest = read_manifest(path)
    present = {
        str(file.relative_to(path))
        for file in path.rglob("*")
        if file.is_file() and file.name != MANIFEST
    }
    wrong = sorted(present ^ set(manifest.files)) or sorted(
        name for name, digest in manifest.files.items() if sha256(path / name) != digest
    )
    if wrong:
        raise BundleError(
            f"files in '{path}' that match its manifest",
            received=f"a difference in {', '.join(wrong)}",
            action="Restore it: `uv run dvc checkout --force models/champion`.",
        )
    return manifest


def load_bundle(path: Path = CHAMPION.path) -> Bundle:
    """Return the bundle in `path` after checking every file against the manifest.

    Raises:
        BundleError: The bundle is missing, or a file is missing, altered or not listed.
    """
    manifest = verify_bundle(path)
    histories, attributes, items = (
        pq.read_table(path / name) for name in (HISTORIES, ATTRIBUTES, ITEMS)
    )
    return Bundle(
        path=path,
        manifest=manifest,
        recommender=load_onnx(path),
        histories=_build_histories(histories, manifest.maximum_user_lines),
        attributes=attributes.to_pandas().set_index("user_id"),
        items=items.to_pandas(),
    )


def _build_histories(table: pa.Table, maximum_lines: int | None) -> Histories:
    users, stores = (
        table[name].combine_chunks().dictionary_encode() for name in DICTIONARY_COLUMNS
    )
    codes = users.indices.to_numpy()
    order = pc.array_sort_indices(stores.dictionary).to_numpy()
    store_code = np.zeros(len(order) + 1, dtype=np.int32)  # the last entry: no store
    store_code[order] = np.arange(1, len(order) + 1)
    return Histories(
        user_ids=tuple(users.dictionary.to_pylist()),
        row_splits=np.searchsorted(codes, np.arange(len(users.dictionary) + 1)),
        item=table["item"].to_numpy(),
        time=table["time"].to_numpy(),
        basket=table["basket"].to_numpy(),
        quantity=table["quantity"].to_numpy(),
        price=table["price"].to_numpy(),
        store=store_code[stores.indices.fill_null(len(order)).to_numpy()],
        store_ids=tuple(stores.dictionary.take(order).to_pylist()),
        maximum_lines=maximum_lines,
    )
