"""The Bento: the service's code, params.yaml and the bundle, built into a BentoML store."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from ruamel.yaml import YAML

from pipeline.contracts.errors import DeploymentError
from pipeline.serving.process import SERVICE

NAME = "evergreen"
HOME = Path(".bentoml")
REQUIREMENTS = (
    "alembic",
    "bentoml",
    "httpx",
    "numpy",
    "onnxruntime",
    "opentelemetry-exporter-otlp-proto-http",
    "pandas",
    "prometheus-client",
    "psutil",
    "psycopg",
    "psycopg-binary",
    "pyarrow",
    "pydantic",
    "ruamel.yaml",
    "sqlalchemy",
)
# BentoML's Dockerfile runs as the user `bentoml`; this template adds a health check.
TEMPLATE = "Dockerfile.template"
DOCKERFILE = """\
{% extends bento_base_template %}
{% block SETUP_BENTO_ENTRYPOINT %}
{{ super() }}
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \\
    CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/readyz', timeout=2)"
{% endblock %}
"""
TIMEOUT_SECONDS = 180
PROJECT = Path(__file__).parents[2]


def build_bento(bundle: Path, params_path: Path, version_name: str, home: Path = HOME) -> Path:
    """Build the Bento `evergreen:<version_name>` and return its folder; a rebuild replaces it.

    Args:
        bundle: Folder of the bundle.
        params_path: Path of params.yaml.
        version_name: The bundle's version.
        home: BentoML's store, which can be rebuilt from the bundle.

    Raises:
        DeploymentError: BentoML fails, or does not finish in time.
    """
    folder = home.absolute() / "bentos" / NAME / version_name
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="evergreen-bento-") as scratch:
        context = Path(scratch)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / "pipeline", context / "pipeline", ignore=ignored)
        shutil.copytree(bundle, context / "models" / "champion")
        shutil.copy2(params_path, context / "params.yaml")
        (context / TEMPLATE).write_text(DOCKERFILE, encoding="utf-8")
        _write_bentofile(context / "bentofile.yaml")
        command = [sys.executable, "-m", "bentoml", "build", str(context), "--version"]
        process = _run([*command, version_name, "--output", "tag"], context, home)
    if process.returncode != 0 or not folder.is_dir():
        raise DeploymentError(
            "BentoML to build the service",
            received=f"exit code {process.returncode}: {_output_tail(process)}",
            action="Correct the error that BentoML reports.",
        )
    return folder


def _output_tail(process: subprocess.CompletedProcess[str]) -> str:
    return (process.stderr or process.stdout)[-1500:]


def _run(command: list[str], context: Path, home: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  our own interpreter
            command,
            cwd=context,
            env={**os.environ, "BENTOML_HOME": str(home.absolute()), "PYTHONPATH": str(context)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeploymentError(
            f"BentoML to build the service within {TIMEOUT_SECONDS} seconds",
            received="no result",
            action="Try again when the machine is less busy.",
        ) from error


def _write_bentofile(path: Path) -> None:
    content = {
        "service": SERVICE,
        "name": NAME,
        "description": "Evergreen: the products of a shopper's next basket.",
        "include": ["pipeline/", "models/champion/", "params.yaml"],
        "python": {
            "packages": [f"{name}=={version(name)}" for name in REQUIREMENTS],
            "lock_packages": False,
        },
        "docker": {"dockerfile_template": TEMPLATE},
    }
    with path.open("w", encoding="utf-8") as stream:
        YAML().dump(content, stream)
