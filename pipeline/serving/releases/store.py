"""The release store: the pointer, the archived bundles and the deployed bundle on disk."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.bundles.archive import RELEASES, version_of
from pipeline.bundles.manifest import MANIFEST
from pipeline.bundles.release_pointer import POINTER, Pointer, read_pointer, resolve_pointer
from pipeline.contracts.artefacts import CHAMPION

FileStamps = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class ReleaseStore:
    """The folder of releases and the bundle that DVC tracks.

    Attributes:
        folder: models/releases.
        deployed: models/champion.
    """

    folder: Path = RELEASES
    deployed: Path = CHAMPION.path

    def read_pointer(self) -> Pointer:
        """Return the pointer, resolved against the deployed bundle.

        Raises:
            PointerError: The pointer is damaged.
            BundleError: The deployed bundle is missing.
        """
        return resolve_pointer(read_pointer(self.folder), version_of(self.deployed))

    def bundle_path(self, version: str) -> Path:
        """Return the folder of a version; it may not exist."""
        path = self.folder / version
        return self.deployed if not path.exists() and self._is_deployed(version) else path

    def _is_deployed(self, version: str) -> bool:
        return (self.deployed / MANIFEST).exists() and version_of(self.deployed) == version

    def stamps(self) -> FileStamps:
        """Return a cheap value that changes with the pointer and the deployed bundle."""
        return tuple(_stat(path) for path in (self.folder / POINTER, self.deployed / MANIFEST))


def build_release_store(folder: str | None, deployed: Path) -> ReleaseStore | None:
    """Return the release store in `folder`, or None if no folder is set."""
    return ReleaseStore(Path(folder), deployed) if folder else None


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
