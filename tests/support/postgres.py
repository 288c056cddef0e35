"""A temporary PostgreSQL server of Debian's binaries on loopback."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pipeline.serving.process import LOOPBACK, free_port

DEBIAN = Path("/usr/lib/postgresql")
USER = "postgres"
SECONDS = 120


def binaries() -> Path | None:
    """Return the folder of the newest installed version."""
    installed = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    return installed[-1].parent if installed else None


@dataclass(frozen=True)
class Cluster:
    """A running server; every call of `new_database` creates a database."""

    folder: Path
    bin: Path
    port: int
    numbers: count

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        name = f"test_{next(self.numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{USER}@{LOOPBACK}:{self.port}/{name}"

    def sql(self, statement: str) -> None:
        connect = ["-h", LOOPBACK, "-p", str(self.port), "-U", USER, "-d", "postgres"]
        self._run("psql", *connect, "-q", "-v", "ON_ERROR_STOP=1", "-c", statement)

    def start(self) -> None:
        options = f"-c listen_addresses={LOOPBACK} -p {self.port} -k {self.folder} -c fsync=off"
        data, log = str(self.folder / "data"), str(self.folder / "log.txt")
        self._run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        """Stop at once, as in a crash; committed rows survive."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def init(self) -> None:
        self._run(
            "initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", USER, "-E", "UTF8"
        )

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = [str(self.bin / program), *arguments]
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            command = ["runuser", "-u", USER, "--", *command]
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}"


@contextmanager
def running() -> Iterator[Cluster]:
    """Yield a running cluster."""
    installed = binaries()
    assert installed is not None
    # Outside pytest's folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="evergreen-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        cluster = Cluster(folder, installed, free_port(), count())
        cluster.init()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)
