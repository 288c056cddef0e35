"""A project whose `dvc repro` writes the verdicts of a fake shop, for the lifecycle's commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.fake_cycles import write_project
from tests.support.tiny_shop import PROJECT

PIPELINE = """
stages:
  planning:
    cmd: python stage.py planning - planning collection labeling
    params: [shop, families, serving]
    deps: [stage.py]
    outs:
      - reports/planning/verdict.json: {cache: false}
      - reports/collection/verdict.json: {cache: false}
      - reports/labeling/verdict.json: {cache: false}
  training:
    cmd: python stage.py training labeling training testing deployment
    params: [shop, families, serving]
    deps: [stage.py, reports/planning/verdict.json]
    outs:
      - reports/training/verdict.json: {cache: false}
      - reports/testing/verdict.json: {cache: false}
      - reports/deployment/verdict.json: {cache: false}
  monitoring:
    cmd: python stage.py monitoring deployment monitoring
    params: [shop, families, serving]
    deps: [stage.py, reports/deployment/verdict.json]
    outs:
      - reports/monitoring/verdict.json: {cache: false}
      - reports/monitoring/metrics.json: {cache: false}
"""
STAGE = """
import sys
from pipeline.contracts import artefacts
from pipeline.contracts.params import read_params
from pipeline.runtime import gates, progress
from tests.support.fake_cycles import build_verdict, heals_by, write_quality

name, after, *phases = sys.argv[1:]
params = read_params()
shop = heals_by("shop.as_of", "2017-12-11")(params)
with progress.report_stage(name, params):
    gates.check_gate(name, None if after == "-" else after)
    for phase in phases:
        artefacts.write_verdict(build_verdict(phase, shop))
    if name == "monitoring":
        write_quality(shop)
"""
# A module of this name in the working directory is what `python -m dvc` runs.
FAKE_DVC = """
import os, sys, time
from pathlib import Path
from tests.support.fake_cycles import FakeCycles, heals_by

if "WAIT" in os.environ:
    Path("waiting").touch()
    time.sleep(60)
sys.exit(FakeCycles(heals_by("shop.as_of", "2017-12-11"))(sys.argv[1:]))
"""
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(PROJECT),
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "COLUMNS": "110",
}


def write_fake_dvc_project(folder: Path) -> None:
    """Write a project whose `dvc repro` takes a second."""
    write_project(folder)
    (folder / "dvc.py").write_text(FAKE_DVC, encoding="utf-8")


def write_dvc_project(folder: Path) -> None:
    """Write a project with three stages, as a git repository with DVC."""
    write_project(folder)
    (folder / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (folder / "stage.py").write_text(STAGE, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    shutil.copytree(
        PROJECT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp")
    )


def start(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a command of the lifecycle; its output is one text."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.lifecycle", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def call(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command of the lifecycle; return its exit code and its output."""
    with start(folder, *arguments) as process:
        output, _ = process.communicate(timeout=300)
    return process.returncode, output
