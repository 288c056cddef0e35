"""The service as a subprocess: start it, wait until it is ready, and stop its process tree.

BentoML restarts a failing worker forever, so the caller needs a deadline and must stop the whole
process tree.
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

from pipeline import serving
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
    absolute_store_url,
    audit_log_path,
    event_store_url,
    keys_path,
)

LOOPBACK = "127.0.0.1"
# Not imported: that takes BentoML and two seconds, and the parent process has no use for either.
SERVICE = f"{serving.__name__}.service:Evergreen"
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
N_LOG_LINES = 15
# uvicorn logs this before the worker exits; BentoML then restarts it.
FAILED_START = "Application startup failed"


@dataclass(frozen=True)
class RunningService:
    """A service that is ready.

    Attributes:
        url: Base URL.
        pid: Process id of the supervisor.
        seconds_to_ready: Seconds from start to the first successful /readyz.
    """

    url: str
    pid: int
    seconds_to_ready: float

    def memory_gib(self) -> float:
        """Return the resident memory of the supervisor and all workers."""
        total = 0
        for process in _process_tree(self.pid):
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
    """Start a service on loopback and yield it when it is ready; stop its process tree at exit.

    Args:
        bundle: Folder of the bundle.
        params_path: Path of params.yaml.
        timeout_seconds: Maximum time until the service is ready.
        event_store: Database URL; that of params.yaml if None.
        port: Port; a free one if None.
        bento: Folder of a built Bento; the service of this source tree if None.
        private: Folder of keys, salt and audit log; a temporary one if None.
        releases: Folder of the release pointer to follow; the service keeps its bundle if None.

    Raises:
        DeploymentError: The port is taken, the start failed, or the service is not ready in time.
    """
    port = free_port() if port is None else port
    check_port(LOOPBACK, port)
    with tempfile.TemporaryDirectory(prefix="evergreen-service-") as scratch:
        environment = service_environment(
            bundle,
            params_path,
            event_store,
            home=Path(scratch),
            from_source=bento is None,
            releases=releases,
        )
        # A private service on loopback needs no keys, and must not write next to the real ones.
        folder = private or Path(scratch)
        environment |= {KEYS: f"{folder}/keys.json", AUDIT_LOG: f"{folder}/audit.jsonl"}
        log_path = Path(scratch) / "log.txt"
        command = serve_command(LOOPBACK, port, bento=bento)
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
            url = f"http://{LOOPBACK}:{port}"
            seconds = wait_until_ready(process, url, timeout_seconds, log_path=log_path)
            known = _process_tree(process.pid)
            yield RunningService(url, process.pid, seconds)
        finally:
            stop_service(process, known=known)


def serve_command(host: str, port: int, *, bento: Path | None = None) -> list[str]:
    """Return the command line that serves a Bento's folder, or this source tree."""
    target = SERVICE if bento is None else str(bento.absolute())
    arguments = ["serve", target, "--host", host, "--port", str(port)]
    return [sys.executable, "-m", "bentoml", *arguments]


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
        bundle: Folder of the bundle.
        params_path: Path of params.yaml.
        event_store: Database URL; that of the environment or of params.yaml if None.
        home: Folder for BentoML's metrics; BentoML clears it at start, so share it with no other.
        from_source: Whether this source tree is importable; it must not be for a Bento.
        releases: Folder of the release pointer to follow; the service keeps its bundle if None.
    """
    params = read_params(params_path).serving
    store = event_store or event_store_url(os.environ, params.event_store)
    dropped = {"PROMETHEUS_MULTIPROC_DIR", "PYTHONPATH", RELEASES_FOLDER}
    followed = {} if releases is None else {RELEASES_FOLDER: str(releases.absolute())}
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [path for path in paths if path and Path(path).absolute() != ROOT]
    return {
        **inherited,
        **followed,
        **ENVIRONMENT,
        BUNDLE: str(bundle.absolute()),
        PARAMS: str(params_path.absolute()),
        EVENT_STORE: absolute_store_url(store, root=Path.cwd()),
        KEYS: str(keys_path(os.environ, params.keys).absolute()),
        AUDIT_LOG: str(audit_log_path(os.environ, params.audit_log).absolute()),
        "BENTOML_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *paths] if from_source else paths),
    }


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Check that the service can listen on a port.

    Raises:
        DeploymentError: The port is taken, or the host is not an address of this machine.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise DeploymentError(
            f"port {port} on {host} to be free",
            received=str(error),
            action="Stop the process that listens there, or choose another port with --port.",
        ) from error


def wait_until_ready(
    process: "subprocess.Popen[bytes]",
    url: str,
    timeout_seconds: float,
    *,
    log_path: Path | None = None,
) -> float:
    """Wait until /readyz succeeds; return the seconds waited.

    Args:
        process: The supervisor.
        url: Base URL of the service.
        timeout_seconds: Maximum time to wait.
        log_path: Log of the service, to detect failures and quote the last lines.

    Raises:
        DeploymentError: The process ended, a worker failed to start, or the timeout expired.
    """
    started = time.monotonic()
    while (waited := time.monotonic() - started) < timeout_seconds:
        if process.poll() is not None:
            raise _not_ready_error(f"exit code {process.returncode}", log_path)
        if log_path is not None and FAILED_START in log_path.read_text(errors="replace"):
            raise _not_ready_error("a worker that failed to start", log_path)
        if _is_ready(url):
            return waited
        time.sleep(POLL_SECONDS)
    raise _not_ready_error(f"no answer in {timeout_seconds:.0f} s", log_path)


def _is_ready(url: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{url}/readyz", timeout=1.0, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _not_ready_error(reason: str, log_path: Path | None) -> DeploymentError:
    lines = [] if log_path is None else log_path.read_text(errors="replace").splitlines()
    last = "\n".join(f"    {line}" for line in lines[-N_LOG_LINES:])
    return DeploymentError(
        "a service that becomes ready",
        received=f"{reason}. The log ends with:\n{last}" if last else reason,
        action="Fix the error in the log.",
    )


def stop_service(
    process: "subprocess.Popen[bytes]",
    *,
    known: Sequence[psutil.Process] = (),
    grace_seconds: float = STOP_SECONDS,
) -> None:
    """Stop the process tree: SIGTERM first, SIGKILL after the grace period.

    Args:
        process: The supervisor.
        known: Processes of the tree at an earlier time; found even if the supervisor has died.
        grace_seconds: Time for the processes to write waiting predictions and exit.
    """
    members = {*known, *_process_tree(process.pid)}
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


def _process_tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
