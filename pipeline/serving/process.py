"""The service as a subprocess: started, waited for, measured, and stopped with all its children.

BentoML starts a worker that fails again for ever, so whoever starts it needs a deadline, and must
end the whole process tree.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.contracts.errors import DeploymentError
from pipeline.contracts.params import read_params
from pipeline.serving.environment import (
    AUDIT_LOG,
    BUNDLE,
    ENVIRONMENT,
    EVENT_STORE,
    KEYS,
    PARAMS,
    RELEASES_FOLDER,
    ROOT,
    absolute_store,
    audit_log_of,
    keys_of,
    store_of,
)

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
N_LOG_LINES = 15
# uvicorn's last words: the worker will be started again, and fail again.
FAILED = "Application startup failed"


@dataclass(frozen=True)
class RunningService:
    """A service that answers.

    Attributes:
        url: Where it listens.
        pid: Its supervisor.
        seconds_to_ready: From start to the first ready answer.
    """

    url: str
    pid: int
    seconds_to_ready: float

    def memory_gib(self) -> float:
        """Return the resident memory of the supervisor and all workers."""
        total = 0
        for process in _tree(self.pid):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 2**30


@contextmanager
def running_service(  # noqa: PLR0913  all but two have a default
    bundle: Path,
    *,
    params_path: Path,
    timeout_seconds: float,
    event_store: str | None = None,
    port: int | None = None,
    bento: Path | None = None,
    private: Path | None = None,
    releases: Path | None = None,
) -> Iterator[RunningService]:
    """Yield a service on loopback that is ready; stop it and all its children afterwards.

    Args:
        bundle: The bundle's folder.
        params_path: params.yaml.
        timeout_seconds: How long it may take to be ready.
        event_store: A database URL; that of params.yaml if None.
        port: Which port; a free one if None.
        bento: A built Bento's folder; the service of this source tree if None.
        private: Where its keys, salt and audit log are; nowhere that lasts if None.
        releases: The folder of the pointer that it follows; it keeps to its bundle if None.

    Raises:
        DeploymentError: The port is taken, the start failed, or it took too long.
    """
    chosen = free_port() if port is None else port
    check_port(LOOPBACK, chosen)
    with tempfile.TemporaryDirectory(prefix="evergreen-service-") as scratch:
        environment = service_environment(
            bundle,
            params_path,
            event_store,
            home=Path(scratch),
            from_source=bento is None,
            releases=releases,
        )
        # On loopback and for us alone: it needs no keys, and writes nothing beside the real ones.
        folder = private or Path(scratch)
        environment |= {KEYS: f"{folder}/keys.json", AUDIT_LOG: f"{folder}/audit.jsonl"}
        log_path = Path(scratch) / "log.txt"
        command = serve_command(LOOPBACK, chosen, bento=bento)
        with log_path.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                command,
                env=environment,
                cwd=None if bento is None else scratch,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        known: list[psutil.Process] = []
        try:
            url = f"http://{LOOPBACK}:{chosen}"
            seconds = wait_until_ready(process, url, timeout_seconds, log_path=log_path)
            known = _tree(process.pid)
            yield RunningService(url, process.pid, seconds)
        finally:
            stop(process, known=known)


def serve_command(host: str, port: int, *, bento: Path | None = None) -> list[str]:
    """Return the command line that serves a Bento's folder, or this source tree."""
    target = _service_of_this_tree() if bento is None else str(bento.absolute())
    arguments = ["serve", target, "--host", host, "--port", str(port)]
    return [sys.executable, "-m", "bentoml", *arguments]


def _service_of_this_tree() -> str:
    """Return what `bentoml serve` is asked for; imported late, for BentoML takes a second."""
    from pipeline.serving.service import SERVICE

    return SERVICE


def service_environment(
    bundle: Path,
    params_path: Path,
    event_store: str | None,
    *,
    home: Path,
    from_source: bool = True,
    releases: Path | None = None,
) -> dict[str, str]:
    """Return the environment variables of a service.

    Args:
        bundle: The bundle's folder.
        params_path: params.yaml.
        event_store: A database URL; the environment's or that of params.yaml if None.
        home: A folder of this service alone: BentoML keeps metrics in it, and clears it at start.
        from_source: Serve this source tree; a Bento must find only its own.
        releases: The folder of the pointer that it follows; it keeps to its bundle if None.
    """
    params = read_params(params_path).serving
    store = event_store or store_of(os.environ, params.event_store)
    dropped = {"PROMETHEUS_MULTIPROC_DIR", "PYTHONPATH", RELEASES_FOLDER}
    followed = {} if releases is None else {RELEASES_FOLDER: str(releases.absolute())}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [path for path in paths if path and Path(path).absolute() != ROOT]
    return {
        **kept,
        **followed,
        **ENVIRONMENT,
        BUNDLE: str(bundle.absolute()),
        PARAMS: str(params_path.absolute()),
        EVENT_STORE: absolute_store(store, root=Path.cwd()),
        KEYS: str(keys_of(os.environ, params.keys).absolute()),
        AUDIT_LOG: str(audit_log_of(os.environ, params.audit_log).absolute()),
        "BENTOML_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *paths] if from_source else paths),
    }


def free_port() -> int:
    """Return a port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Check that the service could listen there.

    Raises:
        DeploymentError: Somebody else does, or the address is not this machine's.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise DeploymentError(
            f"port {port} on {host} to be free",
            received=str(error),
            action="Stop what listens there, or choose another with --port.",
        ) from error


def wait_until_ready(
    process: "subprocess.Popen[bytes]",
    url: str,
    timeout_seconds: float,
    *,
    log_path: Path | None = None,
) -> float:
    """Return the seconds until the service answered that it is ready.

    Raises:
        DeploymentError: It ended, its worker failed to start, or the time is over.
    """
    started = time.monotonic()
    while (waited := time.monotonic() - started) < timeout_seconds:
        if process.poll() is not None:
            raise _not_ready(f"it ended with exit code {process.returncode}", log_path)
        if log_path is not None and FAILED in log_path.read_text(errors="replace"):
            raise _not_ready("its worker failed to start", log_path)
        if _answers(url):
            return waited
        time.sleep(POLL_SECONDS)
    raise _not_ready(f"no answer in {timeout_seconds:.0f} s", log_path)


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{url}/readyz", timeout=1.0, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _not_ready(what: str, log_path: Path | None) -> DeploymentError:
    lines = [] if log_path is None else log_path.read_text(errors="replace").splitlines()
    last = "\n".join(f"    {line}" for line in lines[-N_LOG_LINES:])
    return DeploymentError(
        "a service that becomes ready",
        received=f"{what}. Its last words:\n{last}" if last else what,
        action="Mend what the log names.",
    )


def stop(
    process: "subprocess.Popen[bytes]",
    *,
    known: Sequence[psutil.Process] = (),
    grace_seconds: float = STOP_SECONDS,
) -> None:
    """End the process and all its children: ask first, then force.

    Args:
        process: The supervisor.
        known: Its children when it was well; they would be lost if it had died since.
        grace_seconds: How long they may take to write what waits.
    """
    members = {*known, *_tree(process.pid)}
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    else:
        _send(members, signal.SIGTERM)
    _, alive = psutil.wait_procs(members, timeout=grace_seconds)
    _send(alive, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=grace_seconds)
    process.wait()


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
