"""The manifest of a bundle: what it holds, where it comes from, and the SHA-256 of every file."""

import hashlib
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ConfigDict, ValidationError, field_validator

from pipeline.contracts.artefacts import sha256, write_json
from pipeline.contracts.atomic import restore
from pipeline.contracts.errors import BundleError
from pipeline.contracts.records import Record, describe_invalid

MANIFEST = "manifest.json"
VERSION_LENGTH = 12


class BundlePart(Record):
    """A part of a manifest. A release is kept for long, so keys of another version are ignored."""

    model_config = ConfigDict(extra="ignore")


class BundledModel(BundlePart):
    """The served model; a frequency baseline has no epochs."""

    name: str
    epochs: dict[str, int] | None = None


class BundledData(BundlePart):
    """Digests of the data that the model was fitted on: the clean data's inputs, the examples."""

    clean: str
    examples: str


class BundleFacts(BundlePart):
    """What deployment knows about a bundle before its files are complete.

    Attributes:
        model: The served model.
        as_of: End of the data, exclusive, in ISO 8601; without an offset in the shop's time zone.
        timezone: Time zone of the shop.
        maximum_user_lines: Purchase lines per user that a history holds; None for all.
        git_commit: Commit of the code, or 'unknown'.
        data: Digests of the data.
    """

    model: BundledModel
    as_of: str
    timezone: str
    maximum_user_lines: int | None = None
    git_commit: str
    data: BundledData

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the shop."""
        return ZoneInfo(self.timezone)

    @property
    def as_of_moment(self) -> datetime:
        """The end of the data, exclusive, in the shop's time zone."""
        moment = datetime.fromisoformat(self.as_of)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=self.zone)
        return moment.astimezone(self.zone)

    @field_validator("as_of")
    @classmethod
    def _is_a_moment(cls, value: str) -> str:
        datetime.fromisoformat(value)
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except ZoneInfoNotFoundError as error:
            raise ValueError(f"expected a time zone, got '{value}'") from error
        return value


class BundleManifest(BundleFacts):
    """manifest.json.

    Attributes:
        version: 12 hexadecimal digits, a hash of the files.
        files: SHA-256 of every file by its path in the bundle.
    """

    version: str
    files: dict[str, str]


def write_manifest(folder: Path, facts: BundleFacts) -> BundleManifest:
    """Write manifest.json for the files in a folder, and return it.

    Args:
        folder: The bundle, complete except for the manifest.
        facts: What the bundle holds and where it comes from.
    """
    files = {
        str(path.relative_to(folder)): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    listed = "".join(f"{name} {digest}\n" for name, digest in files.items())
    version = hashlib.sha256(listed.encode()).hexdigest()[:VERSION_LENGTH]
    known = facts.model_dump(include=set(BundleFacts.model_fields))
    manifest = BundleManifest.model_validate({**known, "version": version, "files": files})
    write_json(manifest.model_dump(mode="json"), folder / MANIFEST)
    return manifest


def read_manifest(folder: Path) -> BundleManifest:
    """Return the manifest of the bundle in `folder`, without checking the files.

    Raises:
        BundleError: The bundle is missing, or its manifest has a missing or a wrong key.
    """
    restore(folder)
    path = folder / MANIFEST
    try:
        return BundleManifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        text = str(error) if isinstance(error, OSError) else describe_invalid(error)
        raise BundleError(
            f"the manifest of a model bundle in '{path}'",
            received=text,
            action="Run `uv run dvc repro deployment`, or `uv run dvc pull` if a remote has it.",
        ) from error
