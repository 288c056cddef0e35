"""The Dockerfile of `bentoml build`; without a container engine, its text is checked."""

import re
from pathlib import Path

import pytest

from pipeline.deployment.bento import build_bento


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bento")
    bundle = folder / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    params = folder / "params.yaml"
    params.write_bytes((Path(__file__).parents[2] / "params.yaml").read_bytes())
    bento = build_bento(bundle, params, "0123456789ab", home=folder / "home")
    assert (bento / "src" / "pipeline" / "serving" / "security" / "authorizer.py").is_file()
    assert (bento / "src" / "models" / "champion" / "manifest.json").is_file()
    return (bento / "env" / "docker" / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_container_does_not_run_as_root(dockerfile: str) -> None:
    users = re.findall(r"(?m)^USER\s+(\S+)", dockerfile)
    assert users
    assert users[-1] not in {"root", "0"}
    assert dockerfile.index(f"USER {users[-1]}") < dockerfile.index("\nENTRYPOINT")


@pytest.mark.slow
def test_the_container_has_a_health_check(dockerfile: str) -> None:
    (check,) = re.findall(r"(?m)^HEALTHCHECK(?:\\\n|.)*", dockerfile)
    assert "/readyz" in check
    assert "--start-period" in check


@pytest.mark.slow
def test_the_container_keeps_secrets_out_of_its_image(dockerfile: str) -> None:
    assert "keys.json" not in dockerfile
    assert "EVERGREEN_KEYS" not in dockerfile
    assert "OTEL_SDK_DISABLED=true" in dockerfile
