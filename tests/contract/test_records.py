"""The JSON files between stages: the recorded ones keep every byte, and damage is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.contracts import artefacts
from pipeline.contracts.artefacts import Artefact
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.family_metrics import FamilyMetrics, TrainingReport
from pipeline.contracts.plan import Plan
from pipeline.contracts.testing_report import TestReport
from pipeline.labeling.audit.label_audit import LabelAudit
from pipeline.testing.reference import Reference
from tests.support.tiny_shop import PROJECT

RECORDS: list[tuple[type[BaseModel], Artefact]] = [
    (Plan, artefacts.PLAN),
    (TestReport, artefacts.TEST_METRICS),
    (Reference, artefacts.REFERENCE),
    (LabelAudit, artefacts.LABEL_AUDIT),
    (FamilyMetrics, artefacts.family_metrics("mlp")),
    (TrainingReport, artefacts.TRAINING_METRICS),
]
MLP = artefacts.family_metrics("mlp")
MISSING = object()


def read_recorded(artefact: Artefact) -> Any:
    return json.loads((PROJECT / artefact.path).read_text(encoding="utf-8"))


def damage(value: Any, key: str, replacement: object) -> None:
    """Replace the value at a dotted key; MISSING removes it."""
    *path, last = key.split("/")
    for name in path:
        value = value[name]
    if replacement is MISSING:
        del value[last]
    else:
        value[last] = replacement


@pytest.mark.parametrize(("model", "artefact"), RECORDS, ids=lambda value: str(value)[:60])
def test_a_recorded_file_is_written_as_it_was_read(
    model: type[BaseModel], artefact: Artefact, tmp_path: Path
) -> None:
    recorded = Artefact(PROJECT / artefact.path, artefact.stage)
    copy = Artefact(tmp_path / "copy.json", artefact.stage)
    artefacts.write_record(artefacts.read_record(model, recorded), copy)
    assert copy.path.read_bytes() == recorded.path.read_bytes()


@pytest.mark.parametrize(
    ("model", "artefact", "key", "replacement", "message"),
    [
        (TestReport, artefacts.TEST_METRICS, "champion", MISSING, "champion: no such key"),
        (TestReport, artefacts.TEST_METRICS, "champion", 7, r"champion: .*string \(got 7\)"),
        (
            TestReport, artefacts.TEST_METRICS, "rolling/recall@10", "0.2",
            r"rolling\.recall@10: .*number \(got '0\.2'\)",
        ),
        (
            TestReport, artefacts.TEST_METRICS, "rolling/recall@10", MISSING,
            "rolling: expected a mean of recall@10, got none",
        ),
        (
            TestReport, artefacts.TEST_METRICS, "baselines/decayed/paired/rolling/ndcg@10/low",
            MISSING, r"baselines\.decayed\.paired\.rolling\.ndcg@10\.low: no such key",
        ),
        (
            TestReport, artefacts.TEST_METRICS, "diagnosis/leak/verdict", "fine",
            r"diagnosis\.leak\.verdict: .*\(got 'fine'\)",
        ),
        (TestReport, artefacts.TEST_METRICS, "winner", "mlp", r"winner: unknown key \(got 'mlp'\)"),
        (Reference, artefacts.REFERENCE, "confidence", MISSING, "confidence: no such key"),
        (Reference, artefacts.REFERENCE, "k", 10.5, r"k: .*\(got 10\.5\)"),
        (Reference, artefacts.REFERENCE, "k", 5, r"expected the keys coverage@5, .* got others"),
        (Reference, artefacts.REFERENCE, "coverage@10", MISSING, r"got others: \['coverage@10'\]"),
        (
            Reference, artefacts.REFERENCE, "bins/hour/shares", [1.0],
            r"bins\.hour: expected 13 shares for 11 edges, got 1",
        ),
        (
            Reference, artefacts.REFERENCE, "effective_requests/hour", MISSING,
            r"effective_requests, got others: \['hour'\]",
        ),
        (
            Reference, artefacts.REFERENCE, "quality/interval/recall@10", MISSING,
            r"expected .*recall@10 in quality\.interval",
        ),
        (
            FamilyMetrics, MLP, "validation/ndcg@10", None,
            r"validation\.ndcg@10: .*number \(got None\)",
        ),
        (FamilyMetrics, MLP, "epochs", MISSING, "epochs: no such key"),
        (
            FamilyMetrics, MLP, "probe/network/learning_curve", [{"fraction": 1.0}],
            r"probe\.network\.learning_curve\.0\.score: no such key",
        ),
        (
            FamilyMetrics, MLP, "probe/network/gradient", 0.1,
            r"probe\.network\.gradient: unknown key \(got 0\.1\)",
        ),
        (
            LabelAudit, artefacts.LABEL_AUDIT, "labels/n_doubtful", "many",
            r"labels\.n_doubtful: .*integer \(got 'many'\)",
        ),
        (
            LabelAudit, artefacts.LABEL_AUDIT, "splits/test/rolling/n_carts", MISSING,
            r"splits\.test\.rolling\.n_carts: no such key",
        ),
        (TrainingReport, artefacts.TRAINING_METRICS, "family", MISSING, "family: no such key"),
        (Plan, artefacts.PLAN, "target/value", "high", r"target\.value: .*\(got 'high'\)"),
    ],
)  # fmt: skip
def test_damage_is_named_with_its_key_its_value_and_the_command(
    model: type[BaseModel],
    artefact: Artefact,
    key: str,
    replacement: object,
    message: str,
    tmp_path: Path,
) -> None:
    value = read_recorded(artefact)
    damage(value, key, replacement)
    damaged = Artefact(tmp_path / artefact.path.name, artefact.stage)
    artefacts.write_json(value, damaged.path)
    with pytest.raises(ArtefactError, match=message) as caught:
        artefacts.read_record(model, damaged)
    assert caught.value.expected == f"the keys and types of {model.__name__} in '{damaged.path}'"
    assert f"uv run dvc repro {artefact.stage}`" in caught.value.action


@pytest.mark.parametrize(("content", "received"), [("", "EOF"), ("[]", r"object \(got \[\]\)")])
def test_a_file_that_is_no_object_is_named(content: str, received: str, tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text(content, encoding="utf-8")
    with pytest.raises(ArtefactError, match=received):
        artefacts.read_record(Reference, Artefact(tmp_path / "reference.json", "testing"))


def test_a_metric_that_was_not_measured_is_named_with_those_that_were() -> None:
    report = artefacts.read_record(TestReport, Artefact(PROJECT / artefacts.TEST_METRICS.path, ""))
    with pytest.raises(ArtefactError, match=r"'recall@7' in .*metrics\.json.*got no value among"):
        report.rolling.mean("recall@7")
