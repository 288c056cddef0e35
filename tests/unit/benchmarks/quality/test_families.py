"""The table of families: who leads by how much, and what it costs."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.families import METRICS, compared, page
from pipeline.contracts.params import Params, read_params
from tests.support.tiny_shop import PROJECT

USERS = np.repeat(np.arange(20.0), 3)
COST = {"fit_seconds": 12.0, "rolling_seconds": 3.0, "peak_gib": 2.0}


@pytest.fixture(scope="module")
def params() -> Params:
    return read_params(Path(PROJECT / "params.yaml"))


def cell(value: float) -> dict[str, np.ndarray]:
    found = {f"{protocol}/user": USERS for protocol in METRICS}
    for protocol, metrics in METRICS.items():
        found |= {f"{protocol}/{metric}": np.full(len(USERS), value) for metric in metrics}
    return found


def test_the_lead_of_the_default_is_paired(params: Params) -> None:
    found = compared({"mlp": (cell(0.3), COST), "gru": (cell(0.25), COST)}, "mlp", params)
    lead = found["gru"]["rolling"]["ndcg@10"]["default_leads"]
    assert lead == pytest.approx({"difference": 0.05, "low": 0.05, "high": 0.05})
    assert found["mlp"]["rolling"]["ndcg@10"]["default_leads"]["difference"] == 0.0


def test_the_best_family_stands_first(params: Params) -> None:
    cells = {"mlp": (cell(0.3), COST), "gru": (cell(0.35), COST), "decayed": (cell(0.2), COST)}
    found = {
        "default": "mlp",
        "families": compared(cells, "mlp", params),
        "commit": "0123456789ab",
        "machine": {"cores": 2},
    }
    rows = [line.split("|")[1].strip() for line in page(found).splitlines() if "| " in line][1:]
    assert rows == ["gru", "mlp", "decayed"]
    assert "-0.0500 [-0.0500, -0.0500]" in page(found)
