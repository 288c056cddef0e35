"""One measurement in a process of its own, kept until what decides it changes.

Its folder holds values.npz and cost.json, which the process writes, and key.txt, which says that
the result is whole and of which code, parameters and data.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PROJECT = Path(__file__).resolve().parents[2]
DATA = ("data/labelled/examples.parquet", "data/clean/manifest.json")

Doubles = npt.NDArray[np.float64]


def digest_of(sources: Iterable[str], settings: str) -> str:
    """Return a digest of files and folders of the repository, of settings and of the data."""
    digest = hashlib.sha256()
    for source in sources:
        path = PROJECT / source
        if not path.exists():
            raise FileNotFoundError(path)  # a name that is no longer true would decide nothing
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        for file in files:
            digest.update(f"{file.relative_to(PROJECT)}\n".encode() + file.read_bytes())
    for table in DATA:
        digest.update((PROJECT / table).read_bytes())
    digest.update(settings.encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Measurement:
    """What is measured, and where the result is kept.

    Attributes:
        label: Said while it runs.
        module: With its arguments: what Python runs, in `folder`.
        folder: Has data/ and params.yaml while it runs.
        key: From `digest_of`.
    """

    label: str
    module: Sequence[str]
    folder: Path
    key: str

    def is_done(self) -> bool:
        """Return whether the result is there and still true."""
        kept = self.folder / "key.txt"
        return kept.exists() and kept.read_text(encoding="utf-8") == self.key

    def run(self) -> None:
        """Measure, unless it is done.

        Raises:
            SystemExit: It fails; what others found stays.
        """
        if self.is_done():
            print(f"{self.label}: as before", flush=True)
            return
        print(f"{self.label}: running", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "data").symlink_to(PROJECT / "data")
        shutil.copy(PROJECT / "params.yaml", self.folder)
        log = self.folder / "log.txt"
        with log.open("w", encoding="utf-8") as stream:
            done = subprocess.run(
                [sys.executable, "-m", *self.module],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-15:])
            raise SystemExit(f"{self.label} ended with {done.returncode}:\n{tail}")
        (self.folder / "key.txt").write_text(self.key, encoding="utf-8")
        print(f"{self.label}: {self.cost()}", flush=True)

    def cost(self) -> dict[str, Any]:
        """Return what the process wrote about seconds and memory."""
        found: dict[str, Any] = json.loads((self.folder / "cost.json").read_text(encoding="utf-8"))
        return found

    def values(self) -> dict[str, Doubles]:
        """Return the values of each request."""
        with np.load(self.folder / "values.npz") as arrays:
            return dict(arrays)
