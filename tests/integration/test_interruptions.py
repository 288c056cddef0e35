"""Ctrl-C in any stage: the exit code is 130, and the outputs of the last run are unchanged."""

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.artefacts import Artefact
from pipeline.runtime.stage_cost import COSTS
from tests.support import tiny_shop
from tests.support.reports import make_report

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Interruption:
    """The place of Ctrl-C, and stand-ins for the work before it."""

    stage: str
    where: str
    before: tuple[tuple[str, Callable[..., Any]], ...] = ()

    @property
    def main(self) -> Callable[[list[str]], int]:
        """Return the stage's entry point."""
        module = {"refit": "training.refit"}.get(self.stage, f"{self.stage}.__main__")
        return importlib.import_module(f"pipeline.{module}").main  # type: ignore[no-any-return]


def saved(_: object, folder: Path) -> None:
    folder.mkdir()
    (folder / "model.json").write_text("new", encoding="utf-8")


class Cut:
    def save(self, folder: Path) -> None:
        saved(None, folder)
        raise KeyboardInterrupt


def nothing(*_: object, **__: object) -> Any:
    source = SimpleNamespace(windows=())
    return SimpleNamespace(
        table=None, balances=None, labelled=SimpleNamespace(source=source), model_dump=dict
    )


def plan() -> Any:
    return SimpleNamespace(guardrails=None)


def shop(*_: object, **__: object) -> Any:
    return SimpleNamespace(train=pd.DataFrame({"labels": [], "cart": [], "relevance": []}))


def bundle(*_: object, **__: object) -> dict[str, Any]:
    folder = Path("models/bundle")
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("new", encoding="utf-8")
    return {}


def proven(*_: object, **__: object) -> Any:
    return SimpleNamespace(status="proceed")


LABELED = (
    ("pipeline.labeling.outcome.read_tables", nothing),
    ("pipeline.labeling.outcome.label_and_audit", nothing),
    ("pipeline.labeling.audit.checks.check_usable", nothing),
)
READ_PLAN = ("pipeline.contracts.plan.read_plan", plan)
BUILT = (READ_PLAN, ("pipeline.deployment.release.build_bundle", bundle))
PROVED = (
    *BUILT,
    ("pipeline.deployment.release.check_service", nothing),
    ("pipeline.deployment.report.build_verdict", proven),
    ("pipeline.deployment.report.build_latency_report", lambda _: {}),
    ("pipeline.deployment.report.format_measurements", nothing),
)
MOMENTS = {
    "planning, while it plans": Interruption("planning", "pipeline.planning.planning.build_plan"),
    "planning, at its verdict": Interruption(
        "planning",
        "pipeline.planning.viability.build_verdict",
        (
            ("pipeline.planning.planning.build_plan", nothing),
            ("pipeline.planning.machine.calibrate", lambda machine, *_: machine),
        ),
    ),
    "labeling, while it reads": Interruption("labeling", "pipeline.labeling.outcome.read_tables"),
    "labeling, while it validates": Interruption(
        "labeling", "pipeline.labeling.audit.checks.validate", LABELED
    ),
    "training, while it fits": Interruption(
        "training",
        "pipeline.training.compare.read_fits",
        (("pipeline.recommenders.base.tables.read_training_data", shop),),
    ),
    "training, while it saves": Interruption(
        "training",
        "",
        (
            ("pipeline.recommenders.base.tables.read_training_data", shop),
            ("pipeline.training.compare.read_fits", nothing),
            ("pipeline.training.compare.build_report", lambda *_: SimpleNamespace(family="mlp")),
            ("pipeline.contracts.artefacts.family", lambda _: artefacts.CANDIDATES),
            ("pipeline.training.compare.shutil.copytree", saved),
            ("pipeline.training.compare.build_baseline_recommender", lambda *_: Cut()),
        ),
    ),
    "testing, while it measures": Interruption(
        "testing", "pipeline.testing.evaluation.Evaluation.run", (READ_PLAN,)
    ),
    "refit, while it fits": Interruption(
        "refit", "pipeline.recommenders.base.tables.read_training_data"
    ),
    "deployment, while it bundles": Interruption(
        "deployment", "pipeline.deployment.release.build_bundle", (READ_PLAN,)
    ),
    "deployment, while it proves": Interruption(
        "deployment", "pipeline.deployment.release.check_service", BUILT
    ),
    "deployment, while it promotes": Interruption(
        "deployment",
        "shutil.copytree",
        (*PROVED, ("pipeline.deployment.release.archive_releases", nothing)),
    ),
    "monitoring, while it reads": Interruption(
        "monitoring", "pipeline.monitoring.monitor.read_inputs"
    ),
    "monitoring, while it replays": Interruption(
        "monitoring",
        "pipeline.monitoring.monitor.monitor",
        (("pipeline.monitoring.monitor.read_inputs", nothing),),
    ),
}


def outputs(stage: str) -> list[Path]:
    known = [artefact for artefact in vars(artefacts).values() if isinstance(artefact, Artefact)]
    paths = [artefact.path for artefact in known if artefact.stage == stage]
    return [*paths, *(Path("reports") / stage / name for name in ("index.html", "verdict.json"))]


def put_sentinels(stage: str) -> None:
    for path in outputs(stage):
        file = path if path.suffix else path / "model.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("the last run", encoding="utf-8")


def written() -> dict[str, str]:
    """Return the hash of every output file, including temporary files.

    Measured times and the challenger are excluded: the next run writes them again.
    """
    passing = {Path("models/bundle/model.json"), Path("reports/deployment/latency.json")}
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for root in ("data", "models", "reports")
        for path in sorted(Path(root).rglob("*"))
        if path.is_file() and path not in passing and COSTS not in path.parents
    }


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_leaves_what_the_last_run_wrote(
    moment: str,
    shop_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = MOMENTS[moment]
    values = tiny_shop.params()
    values["tracking"]["uri"] = "sqlite:////no/such/folder/mlflow.db"
    tiny_shop.write_params(shop_folder / "params.yaml", values)
    put_sentinels(case.stage)
    # refit reads which candidate won
    artefacts.write_record(make_report("mlp", {"mlp": 0.2}), artefacts.TEST_METRICS)
    tiny_shop.write_verdicts(shop_folder)
    before = written()
    for name, stand_in in case.before:
        monkeypatch.setattr(name, stand_in)
    if case.where:
        monkeypatch.setattr(case.where, interrupt)
    assert case.main([]) == 130
    monkeypatch.undo()
    monkeypatch.chdir(shop_folder)
    assert written() == before
    assert f"{case.stage} was interrupted" in caplog.text
    assert "Traceback" not in caplog.text
