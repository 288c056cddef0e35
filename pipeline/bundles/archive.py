"""The archive: verified copies of bundles outside DVC's outputs, for an immediate rollback.

    models/releases/<version>/     a verified copy of a bundle

The service loads every version but `models/champion` from here. The archive holds the newest
bundles and the versions that the pointer names (pipeline/bundles/release_pointer.py).
"""

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from pipeline.bundles.bundle import verify_bundle
from pipeline.bundles.manifest import MANIFEST, read_manifest
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.atomic import whole_folder
from pipeline.contracts.errors import BundleError

RELEASES = Path("models/releases")
VERSION = re.compile(r"[0-9a-f]{12}")
N_ARCHIVED = 5


def version_of(bundle: Path) -> str:
    """Return the version in a bundle's manifest, without checking the files.

    Raises:
        BundleError: The manifest is missing, damaged, or has no valid version.
    """
    version = read_manifest(bundle).version
    if not VERSION.fullmatch(version):
        raise BundleError(
            "a version of 12 hexadecimal digits",
            received=f"'{version[:40]}' in '{bundle / MANIFEST}'",
            action="Build the bundle again: `uv run dvc repro deployment`.",
        )
    return version


def list_versions(folder: Path = RELEASES) -> list[str]:
    """Return the archived versions, newest first."""
    bundles = [path for path in folder.glob("*") if VERSION.fullmatch(path.name) and path.is_dir()]
    bundles.sort(key=lambda path: (-path.stat().st_mtime, path.name))
    return [path.name for path in bundles]


def archive_bundle(bundle: Path, folder: Path = RELEASES) -> str:
    """Copy a bundle to the archive atomically, and return its version.

    An intact copy stays; a damaged one is replaced.

    Raises:
        BundleError: The bundle does not match its manifest.
    """
    version = version_of(bundle)
    target = folder / version
    if target.exists() and bundle.resolve() == target.resolve():
        verify_bundle(target)
        return version
    verify_bundle(bundle)
    if not _is_intact(target):
        with whole_folder(target) as temporary:
            shutil.copytree(bundle, temporary, dirs_exist_ok=True)
            verify_bundle(temporary)
            temporary.touch()  # the age in the archive counts, not the bundle's
    return version


def _is_intact(path: Path) -> bool:
    try:
        verify_bundle(path)
    except BundleError:
        return False
    return True


def find_version(name: str, folder: Path = RELEASES, *, champion: Path = CHAMPION.path) -> str:
    """Archive the bundle that `name` refers to, and return its version.

    Args:
        name: An archived version, the version of models/champion, or a bundle folder.
        folder: The archive.
        champion: The bundle that DVC tracks.

    Raises:
        BundleError: The bundle does not exist, or does not match its manifest.
    """
    if VERSION.fullmatch(name):
        if (folder / name).is_dir():
            return archive_bundle(folder / name, folder)
        if (champion / MANIFEST).is_file() and version_of(champion) == name:
            return archive_bundle(champion, folder)
    elif Path(name).is_dir():
        return archive_bundle(Path(name), folder)
    raise BundleError(
        "an archived version or a bundle folder",
        received=f"'{name}'; archived: {', '.join(list_versions(folder)) or 'none'}",
        action="See `uv run python -m pipeline.serving releases`.",
    )


def prune_archive(
    folder: Path, needed: Collection[str], *, n_newest: int = N_ARCHIVED
) -> list[str]:
    """Delete all but the newest bundles and the needed ones, and return the deleted versions.

    Partial copies of killed processes are deleted too, so hold the lock while calling this.

    Args:
        folder: The archive.
        needed: Versions that stay whatever their age.
        n_newest: Number of newest bundles that stay.
    """
    for partial in folder.glob(".*.tmp"):
        shutil.rmtree(partial, ignore_errors=True)
    outdated = [version for version in list_versions(folder)[n_newest:] if version not in needed]
    for version in outdated:
        _delete(folder / version)
    return outdated


def _delete(bundle: Path) -> None:
    """Delete an archived bundle; if the process is killed, the rest is not taken for a bundle."""
    partial = bundle.with_name(f".{bundle.name}.tmp")
    bundle.rename(partial)
    shutil.rmtree(partial)
