"""Versions that were registered before the packages moved still load."""

import importlib

from pipeline.bundles import pyfunc

OLD = "pipeline.deployment.pyfunc"  # as MLflow wrote it into each version


def test_the_loader_is_found_under_its_old_name() -> None:
    assert importlib.import_module(OLD)._load_pyfunc is pyfunc._load_pyfunc
