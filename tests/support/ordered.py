"""The order of tests must be the same in every process: parallel workers compare their lists.

The order of a set of texts depends on the process.
"""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Refuse the cases of a test that have no order."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        cases = mark.args[1] if len(mark.args) > 1 else mark.kwargs.get("argvalues", ())
        if isinstance(cases, set | frozenset):
            raise pytest.UsageError(
                f"Expected ordered cases for {metafunc.definition.nodeid}, got a set. "
                "Give a list or a tuple."
            )
