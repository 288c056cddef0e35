from pathlib import Path
from typing import Any

import pytest

from pipeline.bundles.archive import list_versions
from pipeline.bundles.manifest import write_manifest
from pipeline.bundles.release_pointer import read_pointer, resolve_pointer
from pipeline.contracts import artefacts
from pipeline.contracts.params import GuardrailParams, read_params
from pipeline.deployment import report
from pipeline.deployment.golden import GoldenResult
from pipeline.deployment.release import BUNDLE, ServiceCheck, promote
from pipeline.runtime import gates
from pipeline.runtime.tracking import Run
from pipeline.serving.load_test import LoadResult
from tests.support import tiny_shop
from tests.support.fake_bundle import make_manifest

MANIFEST = make_manifest("ranker")


def service_check(**changes: Any) -> ServiceCheck:
    golden = GoldenResult(8, changes.pop("n_different", 0), 0.0, "")
    load = LoadResult(40, changes.pop("n_failed", 0), 5.0, changes.pop("p99_ms", 9.0), 0.0)
    return ServiceCheck(
        golden, load, changes.pop("memory_gib", 1.0), 5.0, changes.pop("visible", True)
    )


@pytest.fixture
def guardrails() -> GuardrailParams:
    return read_params().planning.guardrails


def test_a_service_that_holds_every_guardrail_is_promoted(guardrails: GuardrailParams) -> None:
    conclusion = report.build_verdict(MANIFEST, service_check(), guardrails)
    assert conclusion.status == "proceed"
    assert all(item.holds for item in conclusion.evidence)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"n_different": 1}, "golden_requests_equal"),
        ({"n_failed": 1}, "failed_requests"),
        ({"p99_ms": 1000.0}, "p99_latency_ms"),
        ({"memory_gib": 64.0}, "serving_memory_gib"),
        ({"visible": False}, "event_is_seen"),
    ],
)
def test_one_broken_check_keeps_the_old_champion(
    guardrails: GuardrailParams, change: dict[str, Any], name: str
) -> None:
    conclusion = report.build_verdict(MANIFEST, service_check(**change), guardrails)
    assert conclusion.status == "stop"
    assert [item.name for item in conclusion.evidence if not item.holds] == [name]
    assert "the old champion stays" in conclusion.cause
    (repair,) = conclusion.repairs
    is_slow = name in {"p99_latency_ms", "serving_memory_gib"}
    assert repair.cause == ("slow_release" if is_slow else "bad_release")
    assert repair.step.kind == "ask"
    assert name in repair.step.question


def test_measured_times_are_in_no_dvc_output(guardrails: GuardrailParams) -> None:
    slow, fast = service_check(p99_ms=30.0), service_check(p99_ms=3.0)
    assert report.build_verdict(MANIFEST, slow, guardrails) == report.build_verdict(
        MANIFEST, fast, guardrails
    )
    assert report.build_report(MANIFEST, slow) == report.build_report(MANIFEST, fast)


def test_the_page_names_the_version(guardrails: GuardrailParams, tmp_path: Path) -> None:
    page = report.build_page(MANIFEST, report.build_verdict(MANIFEST, service_check(), guardrails))
    page.write(tmp_path / "index.html")
    assert MANIFEST.version in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_promotion_replaces_the_champion_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(artefacts.CHAMPION.path, "old", "left_over.txt")
    write_folder(BUNDLE, "new")
    promote()
    names = {path.name for path in artefacts.CHAMPION.path.iterdir()}
    assert names == {"model.json", "manifest.json"}
    assert (artefacts.CHAMPION.path / "model.json").read_text(encoding="utf-8") == "new"
    assert not BUNDLE.exists()


def test_after_a_promotion_one_can_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old = write_folder(artefacts.CHAMPION.path, "old")
    new = write_folder(BUNDLE, "new")
    promote()
    pointer = resolve_pointer(read_pointer(), new)
    assert (pointer.champion, pointer.previous) == (new, old)
    assert set(list_versions()) == {old, new}


def test_a_damaged_champion_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(artefacts.CHAMPION.path, "old")
    (artefacts.CHAMPION.path / "model.json").write_text("damaged", encoding="utf-8")
    new = write_folder(BUNDLE, "new")
    promote()
    assert list_versions() == [new]
    assert "rollback to the old champion is not possible" in caplog.text


def write_folder(folder: Path, text: str, *more: str) -> str:
    folder.mkdir(parents=True)
    for name in ("model.json", *more):
        (folder / name).write_text(text, encoding="utf-8")
    return write_manifest(folder, MANIFEST).version


@pytest.fixture
def outcomes(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A deployment whose service has the outcomes that the list holds, last first."""
    from pipeline.contracts import plan
    from pipeline.deployment import release

    tiny_shop.write_verdicts(shop_folder)
    write_folder(artefacts.CHAMPION.path, "old")
    changes: list[dict[str, Any]] = []

    def build(params: object) -> dict[str, Any]:
        write_folder(BUNDLE, "new")
        return MANIFEST

    class Promised:
        guardrails = read_params().planning.guardrails

    monkeypatch.setattr(plan, "read_plan", Promised)
    monkeypatch.setattr(release, "build_bundle", build)
    monkeypatch.setattr(release, "check_service", lambda *_: service_check(**changes.pop()))
    monkeypatch.setattr(Run, "register_model", lambda *_, **__: None)
    return changes


def champion() -> str:
    return (artefacts.CHAMPION.path / "model.json").read_text(encoding="utf-8")


def test_a_failed_check_leaves_the_old_champion(outcomes: list[dict[str, Any]]) -> None:
    from pipeline.deployment import __main__ as deployment

    outcomes.append({"n_different": 3})
    assert deployment.main([]) == 1
    assert champion() == "old"
    assert not BUNDLE.exists()
    assert artefacts.read_verdict("deployment").status == "stop"
    assert "golden_requests_equal" in artefacts.page("deployment").path.read_text("utf-8")


def test_a_check_that_a_person_accepted_promotes_and_another_one_does_not(
    outcomes: list[dict[str, Any]],
) -> None:
    from pipeline.deployment import __main__ as deployment

    outcomes.append({"p99_ms": 2000.0})
    assert deployment.main([]) == 1
    gates.accept("deployment", "This machine is slower than the shop's")
    outcomes.append({"n_different": 3})
    assert deployment.main([]) == 1
    assert champion() == "old"
    outcomes.append({"p99_ms": 3000.0})
    assert deployment.main([]) == 0
    assert champion() == "new"
    assert artefacts.read_verdict("deployment").status == "stop"
