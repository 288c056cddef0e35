"""Verify the champion and serve it until Ctrl-C.

Reads: params.yaml, models/champion/, models/releases/ (the champion's version; see `releases`).
Writes: the event store (serving.event_store in params.yaml).
"""

import argparse
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from pipeline.bundles.archive import RELEASES
from pipeline.bundles.bundle import verify_bundle
from pipeline.contracts.artefacts import CHAMPION
from pipeline.contracts.params import PARAMS_PATH, read_params
from pipeline.serving.environment import BUNDLE, RELEASES_FOLDER, keys_path
from pipeline.serving.process import (
    LOOPBACK,
    check_port,
    serve_command,
    service_environment,
    stop_service,
    wait_until_ready,
)
from pipeline.serving.security.keys import KeyFileError, read_keys
from pipeline.serving.security.loopback import is_loopback

INTERRUPTED = 130
ANYWHERE = {"0.0.0.0": LOOPBACK, "::": "[::1]"}  # noqa: S104  read, not bound

log = logging.getLogger("evergreen.serving")


def main(argv: Sequence[str]) -> int:
    """Return the service's exit code, or 130 after Ctrl-C.

    Raises:
        EvergreenError: The service cannot start.
    """
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", help="address to listen on; default: serving.host")
    parser.add_argument("--port", type=int, help="default: serving.port")
    arguments = parser.parse_args(argv)
    return serve(host=arguments.host, port=arguments.port)


def serve(*, host: str | None = None, port: int | None = None) -> int:
    """Serve the champion until Ctrl-C or SIGTERM; return the exit code.

    Raises:
        EvergreenError: params.yaml is invalid, the host needs keys, the champion is missing or
            altered, the port is taken, or the service does not become ready.
    """
    params = read_params()
    host, port = host or params.serving.host, port or params.serving.port
    check_keys(host, keys_path(os.environ, params.serving.keys))
    bundle = Path(os.environ.get(BUNDLE) or CHAMPION.path)
    releases = Path(os.environ.get(RELEASES_FOLDER) or RELEASES)
    verify_bundle(bundle)
    check_port(host, port)
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="evergreen-service-") as home:
        environment = service_environment(
            bundle, PARAMS_PATH, None, home=Path(home), releases=releases
        )
        # A session of its own: Ctrl-C reaches only this process, which stops the others in order.
        process = subprocess.Popen(  # noqa: S603
            serve_command(host, port), env=environment, start_new_session=True
        )
        try:
            url = f"http://{ANYWHERE.get(host, host)}:{port}"
            wait_until_ready(process, url, params.deployment.ready_timeout_seconds)
            log.info("Serving the champion at %s (Ctrl-C stops it).", url)
            return process.wait()
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            stop_service(process)


def check_keys(host: str, path: Path) -> None:
    """Check that the service may listen on `host`: other than loopback requires a key file.

    Raises:
        KeyFileError: The key file is required but missing, or it is damaged.
    """
    if read_keys(path) is None and not is_loopback(host):
        raise KeyFileError(
            f"keys in '{path}' to listen on {host}, which other machines can reach",
            received="no such file",
            action="Create a key with "
            "`uv run python -m pipeline.serving key create --scopes recommend,events`, "
            "or listen on 127.0.0.1.",
        )


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
