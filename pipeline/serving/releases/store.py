"""Where a service finds what it should answer with: the pointer, the kept bundles, the champion."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.bundles.archive import RELEASES, version_of
from pipeline.bundles.bundle import MANIFEST
from pipeline.bundles.release_pointer import POINTER, Pointer, in_force, read_pointer
from pipeline.contracts.artefacts import CHAMPION

Mark = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class ReleaseStore:
    """The folder of releases, and the bundle that DVC tracks.

    Attributes:
        folder: models/releases.
        deployed: models/champion.
    """

    folder: Path = RELEASES
    deployed: Path = CHAMPION.path

    def pointer(self) -> Pointer:
        """Return what holds now.

        Raises:
            PointerError: The pointer is damaged.
            BundleError: There is no deployed bundle.
        """
        return in_force(read_pointer(self.folder), version_of(self.deployed))

    def bundle(self, version: str) -> Path:
        """Return the folder of a version, which need not exist."""
        path = self.folder / version
        return self.deployed if not path.exists() and self._is_deployed(version) else path

    def _is_deployed(self, version: str) -> bool:
        return (self.deployed / MANIFEST).exists() and version_of(self.deployed) == version

    def mark(self) -> Mark:
        """Return what changes whenever the pointer or the deployed bundle does; it costs little."""
        return tuple(_stat(path) for path in (self.folder / POINTER, self.deployed / MANIFEST))


def release_store(folder: str | None, deployed: Path) -> ReleaseStore | None:
    """Return the place of a folder, None without one: then nothing is followed."""
    return ReleaseStore(Path(folder), deployed) if folder else None


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
