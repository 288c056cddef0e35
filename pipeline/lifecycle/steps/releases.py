"""Roll back: make the previous champion the champion, and check that it is."""

from pipeline.contracts.errors import DeploymentError
from pipeline.lifecycle.errors import ConflictError, RefusedStepError
from pipeline.lifecycle.ledger.entries import ReleaseEffect

SHOW_RELEASES = "See `uv run python -m pipeline.serving releases`."


def prepare_rollback() -> ReleaseEffect:
    """Return what a rollback would change.

    Raises:
        RefusedStepError: There is no previous champion.
        ArtefactError: The release pointer is damaged, or models/champion is missing.
    """
    from pipeline.serving.commands.common import locate_release_store

    pointer = locate_release_store().read_pointer()
    if pointer.previous is None:
        raise RefusedStepError(
            "a previous champion to roll back to", received="none", action=SHOW_RELEASES
        )
    return ReleaseEffect(before=pointer.champion, after=pointer.previous)


def roll_back(effect: ReleaseEffect, timeout_seconds: float) -> None:
    """Roll back, and check that another version serves.

    Raises:
        RefusedStepError: The champion is still the same.
        DeploymentError: The running service refuses the version; the old champion is restored.
    """
    from pipeline.serving.commands.common import locate_release_store, update_alias
    from pipeline.serving.releases import changes

    store = locate_release_store()
    pointer = changes.rollback(store)
    champion = store.read_pointer().champion
    if champion != effect.after:
        raise RefusedStepError(
            f"the champion {effect.after} after the rollback",
            received=champion,
            action=SHOW_RELEASES,
        )
    try:
        _wait_for_service(pointer.change, champion, timeout_seconds)
    except DeploymentError:
        make_champion(effect.before, timeout_seconds)
        raise
    update_alias(champion)


def make_champion(version: str, timeout_seconds: float) -> None:
    """Promote an archived version.

    Raises:
        ArtefactError: It is not archived, or is damaged.
        DeploymentError: The running service refuses it.
    """
    from pipeline.serving.commands.common import locate_release_store, update_alias
    from pipeline.serving.releases import changes

    pointer = changes.promote(version, locate_release_store())
    _wait_for_service(pointer.change, version, timeout_seconds)
    update_alias(version)


def _wait_for_service(change: int, version: str, timeout_seconds: float) -> None:
    from pipeline.serving.commands.common import locate_release_store
    from pipeline.serving.releases.worker_state import wait_until_followed

    folder = locate_release_store().folder
    wait_until_followed(folder, change, version, timeout_seconds=timeout_seconds)


def is_rolled_back(effect: ReleaseEffect) -> bool:
    """Return whether the rollback is in effect.

    Raises:
        ConflictError: Another version is the champion.
    """
    from pipeline.serving.commands.common import locate_release_store

    champion = locate_release_store().read_pointer().champion
    if champion not in (effect.before, effect.after):
        raise ConflictError(
            f"{effect.after} as the champion, as the rollback left it",
            received=f"{champion} (before the rollback: {effect.before})",
            action=f"Someone has promoted another version since. {SHOW_RELEASES}",
        )
    return champion == effect.after
