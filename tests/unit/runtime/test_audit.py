"""CI's conclusion from the answer of pip-audit: no answer is a failure."""

import importlib.util
import json
from typing import Any

import pytest

from tests.support.tiny_shop import PROJECT


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("ci_audit", PROJECT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [], **more}


def said(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(packages), "fixes": []})


def test_a_vulnerable_package_fails_with_its_name_and_the_mended_version(audit: Any) -> None:
    fault = {"id": "PYSEC-1", "fix_versions": ["1.1"]}
    code, text = audit.conclusion(said(package("a"), package("b", vulns=[fault])), "")
    assert code == 1
    assert "b 1.0: PYSEC-1, mended in 1.1" in text
    assert "2 of 2" in text


def test_sound_packages_pass_and_those_left_out_are_counted(audit: Any) -> None:
    skipped = {"name": "b", "skip_reason": "not found"}
    assert audit.conclusion(said(package("a"), skipped), "") == (
        0,
        "1 of 2 locked packages audited, 0 faults",
    )


def test_a_mirror_that_knows_no_vulnerabilities_is_no_pass(audit: Any) -> None:
    skipped = {"name": "b", "skip_reason": "not found on PyPI"}
    assert audit.conclusion(said(skipped, skipped), "") == (None, "not found on PyPI")


def test_a_service_that_cannot_be_reached_is_no_pass(audit: Any) -> None:
    assert audit.conclusion("", "Traceback\nConnectionError: no route") == (
        None,
        "ConnectionError: no route",
    )
    assert audit.conclusion(said(), "")[0] is None
