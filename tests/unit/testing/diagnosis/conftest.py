"""Fixtures of the tests of the diagnosis."""

import pytest

from pipeline.contracts.params import DiagnosisParams, read_params
from tests.support.tiny_shop import PROJECT


@pytest.fixture(scope="module")
def params() -> DiagnosisParams:
    return read_params(PROJECT / "params.yaml").testing.diagnosis
