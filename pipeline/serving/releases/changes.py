"""The changes that commands make: each reads the release pointer and writes the next one.

One process changes the pointer at a time, and the pointer is written last: a command that is killed
before that has changed nothing but the archive.
"""

import logging

from pipeline.bundles.archive import (
    archive_bundle,
    find_version,
    list_versions,
    prune_archive,
    version_of,
)
from pipeline.bundles.release_pointer import (
    Canary,
    Pointer,
    PointerError,
    lock,
    resolve_pointer,
    write_pointer,
)
from pipeline.contracts.errors import DeploymentError
from pipeline.contracts.params import CanaryParams
from pipeline.serving.releases.store import ReleaseStore

log = logging.getLogger("evergreen")


def promote(name: str, store: ReleaseStore) -> Pointer:
    """Make a version or a bundle folder the champion, and return the new pointer.

    A promotion ends the canary, which was tested against the old champion, and replaces a damaged
    pointer.

    Raises:
        BundleError: The bundle does not exist, or does not match its manifest.
    """
    with lock(store.folder):
        try:
            pointer = store.read_pointer()
        except PointerError as error:
            log.warning("The previous champion is unknown. %s", error)
            pointer = resolve_pointer(None, version_of(store.deployed))
        version = find_version(name, store.folder, champion=store.deployed)
        return _set_champion(pointer, version, store)


def rollback(store: ReleaseStore) -> Pointer:
    """Make the previous champion the champion again, and return the new pointer.

    Raises:
        DeploymentError: The pointer names no previous champion.
        ArtefactError: The pointer or the previous bundle is damaged.
    """
    with lock(store.folder):
        pointer = store.read_pointer()
        if pointer.previous is None:
            raise DeploymentError(
                "a previous champion",
                received=f"none; archived: {', '.join(list_versions(store.folder)) or 'none'}",
                action="Promote an archived version: "
                "`uv run python -m pipeline.serving promote VERSION`.",
            )
        version = find_version(pointer.previous, store.folder, champion=store.deployed)
        return _set_champion(pointer, version, store)


def _set_champion(pointer: Pointer, version: str, store: ReleaseStore) -> Pointer:
    if version == pointer.champion:
        raise DeploymentError(
            "a version other than the champion",
            received=f"{version}, the champion",
            action="See `uv run python -m pipeline.serving releases`.",
        )
    shadow = pointer.shadow if pointer.shadow != version else None
    _archive_current(pointer, store)
    changed = pointer.advance(
        champion=version, previous=pointer.champion, canary=None, shadow=shadow
    )
    return _write(changed, store)


def set_shadow(name: str | None, store: ReleaseStore) -> Pointer:
    """Start a version as the shadow, or stop the shadow if None; return the new pointer.

    Raises:
        ArtefactError: The bundle does not exist, or the pointer or the bundle is damaged.
        DeploymentError: The version is the champion.
    """
    with lock(store.folder):
        pointer = store.read_pointer()
        version = None if name is None else _find_challenger(name, pointer, store)
        return _write(pointer.advance(shadow=version), store)


def set_canary(name: str | None, share: float, rules: CanaryParams, store: ReleaseStore) -> Pointer:
    """Start a version as the canary, or stop the canary if None; return the new pointer.

    Args:
        name: A version, a bundle folder, or None.
        share: Fraction of users that the canary serves, 0.001 to 0.5.
        rules: The stop rules, copied into the pointer.
        store: The release store.

    Raises:
        ArtefactError: The bundle does not exist, or the pointer or the bundle is damaged.
        DeploymentError: The version is the champion.
    """
    with lock(store.folder):
        pointer = store.read_pointer()
        if name is None:
            return _write(pointer.advance(canary=None), store)
        version = _find_challenger(name, pointer, store)
        canary = Canary(version=version, share=share, **rules.model_dump())
        return _write(pointer.advance(canary=canary, stopped=None), store)


def _find_challenger(name: str, pointer: Pointer, store: ReleaseStore) -> str:
    version = find_version(name, store.folder, champion=store.deployed)
    if version == pointer.champion:
        raise DeploymentError(
            "a version other than the champion to compare with it",
            received=f"{version}, the champion",
            action="See `uv run python -m pipeline.serving releases`.",
        )
    _archive_current(pointer, store)
    return version


def _archive_current(pointer: Pointer, store: ReleaseStore) -> None:
    """Archive models/champion if it is the champion: `uv run dvc repro` may replace it later."""
    if pointer.champion == pointer.deployed:
        archive_bundle(store.deployed, store.folder)


def _write(pointer: Pointer, store: ReleaseStore) -> Pointer:
    write_pointer(pointer, store.folder)
    for version in prune_archive(store.folder, pointer.versions()):
        log.info("Deleted the archived version %s.", version)
    return pointer
