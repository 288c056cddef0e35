"""Every file between stages: its path, its schema, and how it is read and written.

Paths are relative to the project's root, the working directory of every stage. Files are written
atomically (pipeline/contracts/atomic.py).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from pipeline.contracts import schemas
from pipeline.contracts.atomic import restore, whole_file
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.phases import Phase
from pipeline.contracts.records import describe_invalid
from pipeline.contracts.verdicts import HEADLINES, Verdict

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Artefact:
    """A file or folder that one stage writes and others read."""

    path: Path
    stage: str
    schema: schemas.Table | None = None

    def existing(self) -> Path:
        """Return the path.

        Raises:
            ArtefactError: If the file or folder is missing.
        """
        restore(self.path)
        if not self.path.exists():
            raise ArtefactError(
                f"'{self.path}', which the stage '{self.stage}' writes",
                received="no such file or folder",
                action=f"Run `uv run dvc repro {self.stage}`, or `uv run dvc pull` if a remote "
                "has it.",
            )
        return self.path


PLAN = Artefact(Path("reports/planning/plan.json"), "planning")
EVENTS = Artefact(Path("data/clean/events"), "collection", schemas.EVENTS)
ITEMS = Artefact(Path("data/clean/items.parquet"), "collection", schemas.ITEMS)
USERS = Artefact(Path("data/clean/users.parquet"), "collection", schemas.USERS)
OFFERS = Artefact(Path("data/clean/offers"), "collection", schemas.OFFERS)
CLEAN_MANIFEST = Artefact(Path("data/clean/manifest.json"), "collection")
QUARANTINE = Artefact(Path("data/quarantine"), "collection")
COLLECTION_REPORT = Artefact(Path("reports/collection/report.json"), "collection")
COLLECTION_DOCS = Artefact(Path("reports/collection/data_docs"), "collection")
EXAMPLES = Artefact(Path("data/labelled/examples.parquet"), "labeling", schemas.EXAMPLES)
REVIEW_QUEUE = Artefact(Path("data/labelled/review_queue.csv"), "labeling")
REVIEW_TASKS = Artefact(Path("data/labelled/review_tasks.json"), "labeling")
REVIEWED_LABELS = Path("data/reviewed/labels.csv")
"""Decisions of reviewers about labels: written by hand, committed, read by labeling."""
LABEL_AUDIT = Artefact(Path("reports/labeling/audit.json"), "labeling")
LABELING_DOCS = Artefact(Path("reports/labeling/data_docs"), "labeling")
CANDIDATES = Artefact(Path("models/candidates"), "training")
TRAINING_METRICS = Artefact(Path("reports/training/metrics.json"), "training")
CURVES = Artefact(Path("reports/training/curves.csv"), "training")
FAMILIES = Artefact(Path("models/families"), "training")
TEST_METRICS = Artefact(Path("reports/testing/metrics.json"), "testing")
TEST_COMPARISON = Artefact(Path("reports/testing/comparison.csv"), "testing")
SUSPICIOUS_LABELS = Artefact(Path("reports/testing/suspicious_labels.csv"), "testing")
MODEL_CARD = Artefact(Path("reports/testing/model_card.md"), "testing")
REFERENCE = Artefact(Path("reports/testing/reference.json"), "testing")
CHALLENGER = Artefact(Path("models/challenger"), "refit")
CHAMPION = Artefact(Path("models/champion"), "deployment")
DEPLOYMENT_REPORT = Artefact(Path("reports/deployment/report.json"), "deployment")
MONITORING_METRICS = Artefact(Path("reports/monitoring/metrics.json"), "monitoring")
MONITORING_WEEKS = Artefact(Path("reports/monitoring/weeks.csv"), "monitoring")


def family(name: str) -> Artefact:
    """Return the folder of a fitted family."""
    return Artefact(Path(f"models/families/{name}"), "training")


def family_metrics(name: str) -> Artefact:
    """Return the metrics file of a family's fit."""
    return Artefact(Path(f"reports/training/families/{name}/metrics.json"), "training")


def family_curve(name: str) -> Artefact:
    """Return the file of a family's learning curve."""
    return Artefact(Path(f"reports/training/families/{name}/curve.csv"), "training")


def page(phase: Phase) -> Artefact:
    """Return the HTML page of `phase`."""
    return Artefact(Path(f"reports/{phase}/index.html"), phase)


def verdict(phase: Phase) -> Artefact:
    """Return the verdict file of `phase`."""
    return Artefact(Path(f"reports/{phase}/verdict.json"), phase)


def headline(phase: Phase) -> Artefact:
    """Return the file with the numbers of `phase` for `uv run dvc metrics show`."""
    return Artefact(Path(f"reports/{phase}/headline.json"), phase)


def read_table(artefact: Artefact, *, columns: list[str] | None = None) -> pd.DataFrame:
    """Return a Parquet file, or a folder of monthly partitions in name order, as one frame.

    Args:
        artefact: The table; its schema is checked.
        columns: Columns to read, in this order; None for all.

    Raises:
        ArtefactError: If the table is missing, or not a readable Parquet file.
        SchemaError: If the table does not have its schema's columns.
    """
    path = artefact.existing()
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise ArtefactError(
            f"Parquet partitions in '{path}'",
            received="an empty folder",
            action=f"Run `uv run dvc repro --force {artefact.stage}`.",
        )
    tables = [_read_parquet(file, artefact) for file in files]
    table = pa.concat_tables(tables)
    frame: pd.DataFrame = table.select(columns or table.column_names).to_pandas()
    return frame


def _read_parquet(path: Path, artefact: Artefact) -> pa.Table:
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise ArtefactError(
            f"a readable Parquet file at '{path}'",
            received=f"{type(error).__name__}: {error}",
            action=f"Delete the file and run `uv run dvc repro --force {artefact.stage}`.",
        ) from error
    return table if artefact.schema is None else schemas.check_table(table, artefact.schema)


def write_table(frame: pd.DataFrame | pa.Table, path: Path, schema: schemas.Table) -> None:
    """Write `frame` to `path` as Parquet, checked against `schema`.

    Raises:
        SchemaError: If the frame does not have the schema's columns.
    """
    table = frame if isinstance(frame, pa.Table) else _to_arrow(frame)
    checked = schemas.check_table(table, schema).replace_schema_metadata(None)
    with whole_file(path) as temporary:
        pq.write_table(checked, temporary, compression="zstd")


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def read_json(artefact: Artefact) -> Any:
    """Return the parsed JSON of `artefact`.

    Raises:
        ArtefactError: If the file is missing or is not JSON.
    """
    path = artefact.existing()
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"JSON in '{path}'",
            received=str(error),
            action=f"Run `uv run dvc repro --force {artefact.stage}`.",
        ) from error


def write_json(value: Any, path: Path) -> None:
    """Write `value` as indented JSON with sorted keys; floats are rounded to eight decimals."""
    text = json.dumps(_plain(value), indent=2, sort_keys=True, allow_nan=False)
    write_text(text + "\n", path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return round(value, 8) if isinstance(value, float) else value


def read_record(model: type[Model], artefact: Artefact) -> Model:
    """Return the JSON of `artefact` as a value of this type.

    Raises:
        ArtefactError: If the file is missing, is not JSON, or has a missing or a wrong key.
    """
    path = artefact.existing()
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ArtefactError(
            f"the keys and types of {model.__name__} in '{path}'",
            received=describe_invalid(error),
            action=f"Write it again: `uv run dvc repro {artefact.stage}`.",
        ) from error


def write_record(value: BaseModel, artefact: Artefact) -> None:
    """Write a value to the file that `read_record` reads, in the format of `write_json`."""
    write_json(value.model_dump(mode="json"), artefact.path)


def write_text(text: str, path: Path) -> None:
    """Write `text` to `path` in UTF-8, atomically."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_verdict(phase: Phase) -> Verdict:
    """Return the last verdict of `phase`.

    Raises:
        ArtefactError: If the verdict is missing, is not JSON, or does not match `Verdict`.
    """
    return read_record(Verdict, verdict(phase))


def write_verdict(value: Verdict) -> None:
    """Write a phase's verdict, and its headline if the phase has one."""
    write_record(value, verdict(value.phase))
    if value.phase in HEADLINES:
        write_json(value.headline, headline(value.phase).path)


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: object) -> str:
    """Return the sha256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
