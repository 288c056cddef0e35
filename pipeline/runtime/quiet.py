"""What libraries print that is of no use to anybody here is held back.

TensorFlow's C++ parts write a few lines about the machine when they are loaded, whatever
TF_CPP_MIN_LOG_LEVEL says, straight to the process's standard error. They are read from there while
TensorFlow is imported; all that is not such a line is passed on, and all of it if the import fails.
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
    """Let only the errors of libraries through."""
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def quiet_imports() -> None:
    """Hold back what TensorFlow says when it is imported, now or later."""
    known = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    if LOUD not in sys.modules and not known:
        sys.meta_path.insert(0, _Finder())


@contextmanager
def held_back(noise: re.Pattern[str]) -> Iterator[None]:
    """Let through what the block writes to the process's standard error, but no line of noise.

    After an error all is let through.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            lines = caught.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if failed or not noise.match(line)))


class _Finder(MetaPathFinder):
    """Finds TensorFlow as Python would have, once, and lets it be loaded quietly."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  the signature is Python's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return how to load TensorFlow, None for any other module."""
        if fullname != LOUD:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Quietly(spec.loader)
        return spec


class _Quietly(Loader):
    """Loads a module as another loader does."""

    def __init__(self, loader: Loader) -> None:
        """Take the loader that does the work."""
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the other loader makes."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Let the other loader fill the module, and hold back what that prints."""
        with held_back(NOISE):
            self._loader.exec_module(module)

    def __getattr__(self, name: str) -> object:
        """Return what else the other loader has, such as the module's source."""
        return getattr(self._loader, name)
