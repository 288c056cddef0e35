"""What the commands change: each reads the pointer, writes the next one, and says what it was.

One process at a time does this, and the pointer is written last: killed before that, a command has
changed nothing but what is kept.
"""

import logging

from pipeline.bundles.archive import (
    archive_bundle,
    archived_versions,
    find_version,
    prune,
    version_of,
)
from pipeline.bundles.release_pointer import (
    Canary,
    Pointer,
    PointerError,
    in_force,
    lock,
    write_pointer,
)
from pipeline.contracts.errors import DeploymentError
from pipeline.contracts.params import CanaryParams
from pipeline.serving.releases.store import ReleaseStore

log = logging.getLogger("evergreen")


def promote(name: str, place: ReleaseStore) -> Pointer:
    """Make a version or a bundle's folder the champion; return the new pointer.

    It ends a canary, which was measured against the old champion. A damaged pointer is replaced.

    Raises:
        BundleError: There is no such bundle, or it does not match its manifest.
    """
    with lock(place.folder):
        try:
            pointer = place.pointer()
        except PointerError as error:
            log.warning("What answered before is not known. %s", error)
            pointer = in_force(None, version_of(place.deployed))
        return _lead(pointer, find_version(name, place.folder, champion=place.deployed), place)


def rollback(place: ReleaseStore) -> Pointer:
    """Make the previous champion the champion again; return the new pointer.

    Raises:
        DeploymentError: There is none.
        ArtefactError: The pointer, or what it names, is damaged.
    """
    with lock(place.folder):
        pointer = place.pointer()
        if pointer.previous is None:
            raise DeploymentError(
                "a previous champion",
                received="none; archived are: "
                f"{', '.join(archived_versions(place.folder)) or 'none'}",
                action="`uv run python -m pipeline.serving promote VERSION` takes any that is "
                "kept.",
            )
        version = find_version(pointer.previous, place.folder, champion=place.deployed)
        return _lead(pointer, version, place)


def _lead(pointer: Pointer, version: str, place: ReleaseStore) -> Pointer:
    if version == pointer.champion:
        raise DeploymentError(
            "another version than the champion",
            received=f"{version}, which answers already",
            action="See `uv run python -m pipeline.serving releases`.",
        )
    shadow = pointer.shadow if pointer.shadow != version else None
    _keep_current(pointer, place)
    return _write(
        pointer.changed(champion=version, previous=pointer.champion, canary=None, shadow=shadow),
        place,
    )


def set_shadow(name: str | None, place: ReleaseStore) -> Pointer:
    """Let a version score in the shadow, or none; return the new pointer.

    Raises:
        ArtefactError: The pointer or the bundle is damaged, or there is no such bundle.
        DeploymentError: It is the champion.
    """
    with lock(place.folder):
        pointer = place.pointer()
        version = None if name is None else _challenger(name, pointer, place)
        return _write(pointer.changed(shadow=version), place)


def set_canary(name: str | None, share: float, rules: CanaryParams, place: ReleaseStore) -> Pointer:
    """Let a version answer a share of the shoppers, or none; return the new pointer.

    Raises:
        ArtefactError: The pointer or the bundle is damaged, or there is no such bundle.
        DeploymentError: It is the champion.
    """
    with lock(place.folder):
        pointer = place.pointer()
        if name is None:
            return _write(pointer.changed(canary=None), place)
        version = _challenger(name, pointer, place)
        canary = Canary(version=version, share=share, **rules.model_dump())
        return _write(pointer.changed(canary=canary, stopped=None), place)


def _challenger(name: str, pointer: Pointer, place: ReleaseStore) -> str:
    version = find_version(name, place.folder, champion=place.deployed)
    if version == pointer.champion:
        raise DeploymentError(
            "a version that can be compared with the champion",
            received=f"{version}, the champion itself",
            action="See `uv run python -m pipeline.serving releases`.",
        )
    _keep_current(pointer, place)
    return version


def _keep_current(pointer: Pointer, place: ReleaseStore) -> None:
    """Keep models/champion if it answers now: `uv run dvc repro` may replace it later."""
    if pointer.champion == pointer.deployed:
        archive_bundle(place.deployed, place.folder)


def _write(pointer: Pointer, place: ReleaseStore) -> Pointer:
    write_pointer(pointer, place.folder)
    for version in prune(place.folder, pointer.versions()):
        log.info("%s is not kept any more.", version)
    return pointer
