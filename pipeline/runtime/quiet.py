"""Suppression of noise from libraries.

When TensorFlow loads, its C++ code writes a few lines about the machine to standard error,
regardless of TF_CPP_MIN_LOG_LEVEL. This module captures standard error during the import, and
passes on all other lines; if the import fails, it passes on all lines.
"""

import importlib.util
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NOISY_LOGGERS = ("absl", "tensorflow", "tf2onnx", "httpx", "httpcore", "matplotlib")
LOUD = "tensorflow"
NOISE = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\) is called"
    r"|I\d{4} \d\d:\d\d:\d"
    r"|To enable the following instructions: "
)


def quiet_loggers() -> None:
    """Set the loggers of noisy libraries to show errors only."""
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def quiet_imports() -> None:
    """Suppress the lines that TensorFlow writes when it is imported, now or later."""
    is_installed = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    if LOUD not in sys.modules and not is_installed:
        sys.meta_path.insert(0, _Finder())


@contextmanager
def filter_stderr(noise: re.Pattern[str]) -> Iterator[None]:
    """Drop the lines that match `noise` from what the block writes to standard error.

    If the block raises, no line is dropped.
    """
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            captured.seek(0)
            lines = captured.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if failed or not noise.match(line)))


class _Finder(MetaPathFinder):
    """Finds TensorFlow once as Python does, and wraps its loader."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  Python defines the signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return the spec of TensorFlow, or None for any other module."""
        if fullname != LOUD:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(Loader):
    """Wraps a loader and suppresses noise while it runs."""

    def __init__(self, loader: Loader) -> None:
        """Wrap `loader`."""
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module with the wrapped loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module with the wrapped loader, without its noise."""
        with filter_stderr(NOISE):
            self._loader.exec_module(module)

    def __getattr__(self, name: str) -> object:
        """Return an attribute of the wrapped loader, such as its methods for the source."""
        return getattr(self._loader, name)
