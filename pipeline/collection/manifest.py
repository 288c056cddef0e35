"""The manifest of collection: the input and the result of each raw table and partition.

The report, the page and the Data Docs depend on the manifest only, so they are the same whether a
partition was read in this run or in an earlier one.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.collection.partitions import CODE_VERSION
from pipeline.contracts.artefacts import sha256


class ManifestPart(BaseModel):
    """A frozen part of the manifest; unknown keys mark an older version."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Checked(ManifestPart):
    """A validation that is reused while the data are unchanged."""

    fingerprint: str
    n_rows: int
    n_failing: int
    document: dict[str, Any]


class Partition(ManifestPart):
    """One month of one table: rows read, dropped, quarantined and kept."""

    checked: Checked
    sha256: str
    quarantine_sha256: str | None
    n_in: int
    dropped: dict[str, int]
    reasons: dict[str, int]
    n_quarantined: int
    n_rows: int
    n_users: int = 0
    n_baskets: int = 0


class Totals(ManifestPart):
    """Counts over all months."""

    n_users: int
    n_items: int
    n_baskets: int
    n_users_after_departments: int
    n_items_after_departments: int
    n_baskets_after_departments: int
    n_catalogue: int
    n_unknown_items: int
    n_known_users: int
    n_offers_of_unknown_reach: int
    first: str
    last: str


class CorrectionCount(ManifestPart):
    """A declared correction, and the lines that it changed or dropped.

    `n_merged_ids` counts the new ids of a rename that replaced several old ids.
    """

    description: str
    n_lines: int
    n_merged_ids: int = 0


class HeldOutCount(ManifestPart):
    """A member of `collection.quarantined`, and the lines that it held out."""

    description: str
    n_lines: int


class Manifest(ManifestPart):
    """The inputs and results of the last run; `inputs` is a digest of all inputs."""

    code_version: int = CODE_VERSION
    inputs: str = ""
    source: str = ""
    not_mapped: tuple[str, ...] = ()
    suppressed: dict[str, int] = Field(default_factory=dict)
    corrections: tuple[CorrectionCount, ...] = ()
    held_out: tuple[HeldOutCount, ...] = ()
    read_as: dict[str, str] = Field(default_factory=dict)
    raw: dict[str, Checked] = Field(default_factory=dict)
    events: dict[str, Partition] = Field(default_factory=dict)
    offers: dict[str, Partition] = Field(default_factory=dict)
    whole: dict[str, Checked] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    totals: Totals | None = None

    def written(self) -> dict[str, Any]:
        """Return the JSON value without the parts that most sources do not have."""
        rare = ("suppressed", "corrections", "held_out", "read_as")
        empty = {name for name in rare if not getattr(self, name)}
        return self.model_dump(mode="json", exclude=empty)


def read_manifest(path: Path) -> Manifest:
    """Return the last run's manifest, or an empty one if it is missing or of another version."""
    try:
        manifest = Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValidationError, ValueError):
        return Manifest()
    return manifest if manifest.code_version == CODE_VERSION else Manifest()


def is_intact(partition: Partition, clean: Path, quarantine: Path) -> bool:
    """Return whether the files of a partition are unchanged."""
    if not clean.is_file() or sha256(clean) != partition.sha256:
        return False
    if partition.quarantine_sha256 is None:
        return not quarantine.exists()
    return quarantine.is_file() and sha256(quarantine) == partition.quarantine_sha256
