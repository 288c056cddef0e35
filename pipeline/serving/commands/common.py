"""What the commands have in common: their arguments' form, their place, their last words."""

import argparse
import os
from pathlib import Path

from pipeline.bundles.archive import RELEASES
from pipeline.bundles.release_pointer import Pointer
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.params import read_params
from pipeline.serving.environment import BUNDLE, RELEASES_FOLDER
from pipeline.serving.releases.running import wait_until_followed
from pipeline.serving.releases.store import ReleaseStore


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a command's parser."""
    return argparse.ArgumentParser(
        prog=f"uv run python -m pipeline.serving {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def place() -> ReleaseStore:
    """Return where releases are: of the environment, else of the project."""
    return ReleaseStore(
        folder=Path(os.environ.get(RELEASES_FOLDER) or RELEASES),
        deployed=Path(os.environ.get(BUNDLE) or CHAMPION.path),
    )


def follow(champion: str) -> None:
    """Let MLflow's alias name the champion; it is the last step, and whatever it does is no error.

    Args:
        champion: The version that answers now.
    """
    from pipeline.runtime.model_registry import follow_champion

    follow_champion(read_params(), champion)


def tell(what: str, pointer: Pointer, version: str | None) -> None:
    """Wait until the running service follows the pointer, and say how long that took.

    Args:
        what: The new state, as a sentence without a full stop.
        pointer: What was written.
        version: What the change is about; None if it only ends something.

    Raises:
        DeploymentError: It refuses, or does not follow in time.
    """
    seconds = wait_until_followed(
        place().folder,
        pointer.change,
        version,
        timeout_seconds=read_params().deployment.ready_timeout_seconds,
    )
    if seconds is None:
        print(f"{what}. No service runs: it holds from the next start.")
    else:
        print(f"{what}. The running service follows since {seconds:.1f} s after it was asked.")
