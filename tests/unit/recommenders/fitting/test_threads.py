"""How many threads TensorFlow may use per operation: ours to set, unless the user did."""

import os

import pytest

from pipeline.runtime.stage import THREADS, quiet_tools, use_all_cores_per_operation


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, "")  # so that it is put back, whatever the code under test does
    del os.environ[THREADS]


def test_small_operations_get_one_thread() -> None:
    quiet_tools()
    assert os.environ[THREADS] == "1"


def test_large_products_get_all_cores() -> None:
    quiet_tools()
    use_all_cores_per_operation()
    assert THREADS not in os.environ


def test_the_users_own_number_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, "3")
    quiet_tools()
    use_all_cores_per_operation()
    assert os.environ[THREADS] == "3"
