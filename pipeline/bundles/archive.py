"""Bundles that are kept outside DVC's outputs, so that one can go back to them at once.

    models/releases/<version>/     a verified copy of a bundle

The service loads from here what is not `models/champion` itself. The newest few stay; what the
pointer names (pipeline/bundles/release_pointer.py) always stays.
"""

import json
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from pipeline.bundles.bundle import MANIFEST, verify_bundle
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.atomic import restore, whole_folder
from pipeline.contracts.errors import BundleError

RELEASES = Path("models/releases")
VERSION = re.compile(r"[0-9a-f]{12}")
N_KEPT = 5


def version_of(bundle: Path) -> str:
    """Return the version that a bundle's manifest names; its files are not checked.

    Raises:
        BundleError: There is no manifest, or it names no version.
    """
    restore(bundle)
    try:
        version = str(json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"a model bundle in '{bundle}'",
            received=f"{type(error).__name__}: {error}",
            action="Name a folder with a manifest.json, or run `uv run dvc repro`.",
        ) from error
    if not VERSION.fullmatch(version):
        raise BundleError(
            "a version of 12 hexadecimal digits",
            received=f"'{version[:40]}' in '{bundle / MANIFEST}'",
            action="Make the bundle again: `uv run dvc repro deployment`.",
        )
    return version


def archived_versions(folder: Path = RELEASES) -> list[str]:
    """Return the versions that are kept, the newest first."""
    found = [path for path in folder.glob("*") if VERSION.fullmatch(path.name) and path.is_dir()]
    found.sort(key=lambda path: (-path.stat().st_mtime, path.name))
    return [path.name for path in found]


def archive_bundle(bundle: Path, folder: Path = RELEASES) -> str:
    """Keep a verified copy of a bundle, whole or not at all, and return its version.

    A copy that is there and verifies is left as it is; one that does not is replaced.

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
            temporary.touch()  # new here, however old the bundle is
    return version


def _is_intact(path: Path) -> bool:
    try:
        verify_bundle(path)
    except BundleError:
        return False
    return True


def find_version(name: str, folder: Path = RELEASES, *, champion: Path = CHAMPION.path) -> str:
    """Return the version that is meant by a version or a bundle's folder; it is kept then.

    Args:
        name: A kept version, the version of models/champion, or a path.
        folder: Where bundles are kept.
        champion: The bundle that DVC tracks.

    Raises:
        BundleError: There is no such bundle, or it does not match its manifest.
    """
    if VERSION.fullmatch(name):
        if (folder / name).is_dir():
            return archive_bundle(folder / name, folder)
        if (champion / MANIFEST).is_file() and version_of(champion) == name:
            return archive_bundle(champion, folder)
    elif Path(name).is_dir():
        return archive_bundle(Path(name), folder)
    raise BundleError(
        "a kept version or the folder of a bundle",
        received=f"'{name}'; kept are: {', '.join(archived_versions(folder)) or 'none'}",
        action="See `uv run python -m pipeline.serving releases`.",
    )


def prune(folder: Path, needed: Collection[str], *, n_kept: int = N_KEPT) -> list[str]:
    """Delete all but the newest kept bundles and the needed ones; return what was deleted.

    What a killed process left half copied goes too: let nobody else keep anything meanwhile.
    """
    for half in folder.glob(".*.tmp"):
        shutil.rmtree(half, ignore_errors=True)
    gone = [version for version in archived_versions(folder)[n_kept:] if version not in needed]
    for version in gone:
        _delete(folder / version)
    return gone


def _delete(bundle: Path) -> None:
    """Delete a kept bundle; killed halfway, what is left of it does not pass for one."""
    half = bundle.with_name(f".{bundle.name}.tmp")
    bundle.rename(half)
    shutil.rmtree(half)
