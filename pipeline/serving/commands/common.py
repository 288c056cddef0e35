"""Shared parts of the release commands: the parser, the release store and the final report."""

import argparse
import os
from pathlib import Path

from pipeline.bundles.archive import RELEASES
from pipeline.bundles.release_pointer import Pointer
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.params import read_params
from pipeline.serving.environment import BUNDLE, RELEASES_FOLDER
from pipeline.serving.releases.store import ReleaseStore
from pipeline.serving.releases.worker_state import wait_until_followed


def build_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return the argument parser of a command."""
    return argparse.ArgumentParser(
        prog=f"uv run python -m pipeline.serving {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def locate_release_store() -> ReleaseStore:
    """Return the release store that the environment names, else the project's."""
    return ReleaseStore(
        folder=Path(os.environ.get(RELEASES_FOLDER) or RELEASES),
        deployed=Path(os.environ.get(BUNDLE) or CHAMPION.path),
    )


def update_alias(champion: str) -> None:
    """Point MLflow's alias at the champion; a failure is logged and is no error.

    Args:
        champion: The champion's version.
    """
    from pipeline.runtime.model_registry import move_champion_alias

    move_champion_alias(read_params(), champion)


def report_change(what: str, pointer: Pointer, version: str | None) -> None:
    """Wait until the running service follows the pointer, and print how long that took.

    Args:
        what: The new state, as a sentence without a full stop.
        pointer: The pointer that was written.
        version: The version that the change starts, or None if it only ends a trial.

    Raises:
        DeploymentError: The service refuses the version, or does not follow in time.
    """
    seconds = wait_until_followed(
        locate_release_store().folder,
        pointer.change,
        version,
        timeout_seconds=read_params().deployment.ready_timeout_seconds,
    )
    if seconds is None:
        print(f"{what}. No service runs: the change applies from the next start.")
    else:
        print(f"{what}. The running service followed within {seconds:.1f} s.")
