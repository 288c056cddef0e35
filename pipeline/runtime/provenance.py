"""Provenance of a run: the commit, the cycle, the hashes of its outputs.

DVC writes a stage's hashes to dvc.lock only after the command has ended. To record them on the run,
this module computes them by DVC's definition: MD5 of a file's bytes; for a folder, MD5 of the list
of its files with their MD5.
"""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

DVC_FILE = Path("dvc.yaml")
KINDS = ("outs", "metrics", "plots")
ITEM = "${item.name}"


def output_hashes(stage: str, dvc_file: Path = DVC_FILE) -> dict[str, str]:
    """Return the hash of every existing output of a stage, by path.

    Args:
        stage: Name of the stage, such as `families@mlp` for a stage of a matrix.
        dvc_file: The file that declares the outputs; it may be missing.
    """
    outputs = [Path(name) for name in _read_outputs(stage, dvc_file)]
    return {str(path): dvc_hash(path) for path in outputs if path.exists()}


def _read_outputs(stage: str, dvc_file: Path) -> list[str]:
    from ruamel.yaml import YAML

    if not dvc_file.exists():
        return []
    document = YAML(typ="safe", pure=True).load(dvc_file.read_text(encoding="utf-8"))
    base, _, item = stage.partition("@")
    declared: dict[str, Any] = document["stages"].get(base, {})
    entries = [entry for kind in KINDS for entry in declared.get(kind, [])]
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    return [name.replace(ITEM, item) for name in names]


def dvc_hash(path: Path) -> str:
    """Return DVC's hash of a file or a folder."""
    if path.is_file():
        return _md5(path)
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listed = [{"md5": _md5(file), "relpath": name} for name, file in _in_order(files)]
    text = json.dumps(listed, sort_keys=True)
    return f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}.dir"


def _in_order(files: dict[str, Path]) -> list[tuple[str, Path]]:
    return sorted(files.items(), key=lambda entry: entry[0])


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def cycle_key() -> str:
    """Return the key of this cycle: the parent `dvc` process, or this process without one."""
    import psutil

    current = psutil.Process()
    parents = [process for process in current.parents() if _is_dvc(process)]
    owner = parents[0] if parents else current
    return f"{owner.pid}-{owner.create_time():.2f}"


def _is_dvc(process: Any) -> bool:
    import psutil

    try:
        words = process.cmdline()[:4]
    except psutil.Error:
        return False
    return any(Path(word).name == "dvc" for word in words)


def git_commit() -> str:
    """Return the checked-out commit, or 'unknown' outside a repository."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607  git is looked up as the user set it up
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
