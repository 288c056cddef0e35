import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import Params
from pipeline.contracts.phases import PHASES
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.runtime.stage import part, stage
from pipeline.runtime.stage_cost import COSTS, FILE
from pipeline.runtime.tracking import Run
from tests.support import tiny_shop
from tests.support.tiny_shop import PROJECT


def no_store(folder: Path) -> None:
    """Point MLflow at an impossible store, and write proceeding verdicts for every phase."""
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    changed = text.replace("sqlite:///mlflow.db", "sqlite:////no/such/folder/mlflow.db")
    (folder / "params.yaml").write_text(changed, encoding="utf-8")
    tiny_shop.write_verdicts(folder)


def test_a_verdict_that_proceeds_exits_with_0(shop_folder: Path) -> None:
    no_store(shop_folder)
    conclusion = Verdict(phase="planning", status="proceed", cause="All is well.")

    @stage("planning", after=None)
    def main(params: Params, run: Run) -> Verdict:
        return conclusion

    assert main([]) == 0
    assert artefacts.read_verdict("planning") == conclusion


def test_a_verdict_that_stops_exits_with_1_and_is_kept(shop_folder: Path) -> None:
    no_store(shop_folder)

    @stage("planning", after=None)
    def main(params: Params, run: Run) -> Verdict:
        evidence = (Evidence(name="users", value=25, bound=200, holds=False),)
        return Verdict(phase="planning", status="stop", cause="Too few.", evidence=evidence)

    assert main([]) == 1
    assert artefacts.read_verdict("planning").status == "stop"


def test_what_a_stage_took_is_recorded_beside_its_results(shop_folder: Path) -> None:
    no_store(shop_folder)

    @stage("testing", after=None)
    def main(params: Params, run: Run) -> Verdict:
        time.sleep(0.3)
        held = bytearray(2**20)
        return Verdict(phase="testing", status="proceed", cause=f"{len(held)} bytes were held.")

    assert main([]) == 0
    cost = artefacts.read_json(artefacts.Artefact(COSTS / "testing" / "latency.json", "testing"))
    assert 0.3 / 60 <= cost["minutes"] < 5
    assert 0.01 < cost["memory_gib"] < 50
    assert cost["processor_minutes"] > 0
    assert not (COSTS / "planning").exists()


def test_what_a_part_of_a_phase_took_is_recorded_under_its_name(shop_folder: Path) -> None:
    no_store(shop_folder)

    @part("training", "training.fit", stages="families", after=None)
    def main(name: str, params: Params, run: Run) -> None:
        assert name == "mlp"

    assert main(["mlp"]) == 0
    assert (COSTS / "families@mlp" / "latency.json").exists()


def test_of_a_stage_that_fails_no_cost_is_recorded(shop_folder: Path) -> None:
    no_store(shop_folder)

    @stage("collection", after=None)
    def main(params: Params, run: Run) -> Verdict:
        raise SourceError("a file", received="nothing", action="Put it there.")

    assert main([]) == 1
    assert not list(COSTS.rglob(FILE))


def test_an_expected_error_is_one_sentence_and_1(
    shop_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    no_store(shop_folder)

    @stage("collection", after="planning")
    def main(params: Params, run: Run) -> Verdict:
        raise SourceError("a file", received="nothing", action="Put it there.")

    assert main([]) == 1
    assert "collection failed. Expected a file, got nothing. Put it there." in caplog.text
    assert "Traceback" not in caplog.text


def test_ctrl_c_exits_with_130(shop_folder: Path) -> None:
    no_store(shop_folder)

    @stage("collection", after="planning")
    def main(params: Params, run: Run) -> Verdict:
        raise KeyboardInterrupt

    assert main([]) == 130


def test_wrong_params_exit_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @stage("planning", after=None)
    def main(params: Params, run: Run) -> Verdict:
        raise AssertionError

    assert main([]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_help_answers_within_a_second_or_so(phase: str) -> None:
    command = [sys.executable, "-m", f"pipeline.{phase}", "--help"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "Reads" in done.stdout
    assert "Writes" in done.stdout
    assert time.perf_counter() - started < 20, "a heavy package is imported at the top"


@pytest.mark.parametrize("phase", PHASES)
def test_help_imports_no_heavy_package(phase: str) -> None:
    code = (
        f"import sys, runpy\nsys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('pipeline.{phase}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'mlflow', 'great_expectations', 'bentoml', 'ibis', 'scipy'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
