import json

import numpy as np
import pytest

from benchmarks.quality import __main__ as quality
from benchmarks.quality.peers.compare import CLAIMED, PAIRED
from benchmarks.quality.peers.methods import COUNTING, fit_method, method_names
from benchmarks.quality.peers.results import read_cell, summarise, with_earlier
from benchmarks.quality.peers.table import quality_page
from benchmarks.support import own_process
from pipeline.contracts.errors import TrainingError
from pipeline.contracts.params import read_params
from pipeline.testing.protocols import KNOWN, TITLES

METRICS = (*PAIRED, "repeat_recall@10", "explore_recall@10", "explore_slots_recall@10")
DAY = "2017-12-04"


@pytest.fixture
def cells(tmp_path):
    """`good` is .2 better than `poor` for each of 50 users, in every metric."""
    found = {}
    for name, lift in (("good", 0.2), ("poor", 0.0)):
        folder = tmp_path / name
        folder.mkdir()
        random = np.random.default_rng(1)
        values = {}
        for protocol in TITLES:
            values[f"{protocol}/users/code"] = np.arange(50)
            for level in ("product", "product_type"):
                for metric in METRICS:
                    values[f"{protocol}/{level}/{metric}"] = random.uniform(0, 0.5, 50) + lift
        np.savez_compressed(folder / "values.npz", **values)
        cost = {
            "fit_seconds": 1.0,
            "rank_seconds": {"first_basket": 1.5, "rolling": 2.0},
            "peak_gib": 1.25,
            "cores": 2,
            "tables_gib": 1.0,
            "notes": {},
        }
        (folder / "cost.json").write_text(json.dumps(cost))
        found[name, DAY] = read_cell(folder)
    return found


def test_a_constant_lead_has_an_interval_without_width(cells):
    found = summarise(cells, "good", read_params())
    lead = found["paired"]["poor"]["rolling"][DAY]["recall@10"]
    assert lead == pytest.approx({"difference": 0.2, "low": 0.2, "high": 0.2})
    assert set(found["paired"]) == {"poor"}


def test_one_cutoff_is_no_claim(cells):
    found = summarise(cells, "good", read_params())
    assert found["claims"]["poor"]["rolling"] == dict.fromkeys(CLAIMED, "undecided")


def test_costs_add_up(cells):
    found = summarise(cells, "good", read_params())["methods"]["good"]
    assert found["seconds"] == 4.5
    assert found["peak_gib"] == 1.25


def test_the_page_shows_every_method_and_each_claim(cells):
    result = {
        "commit": "abc",
        "date": "2018-01-01",
        "machine": {"cores": 2, "memory_gib": 8},
        "default": "good",
        "how": "As said.",
        "cutoffs": [DAY],
        **summarise(cells, "good", read_params()),
    }
    page = quality_page(result)
    assert "| poor | rolling | recall@10 | +0.2000 (+0.2000…+0.2000) | undecided |" in page
    assert page.count("| good |") == 1 + 2 * 3  # cost, and two levels of three protocols
    assert all(known in page for known in KNOWN.values())
    assert page.index("| good | 0.") < page.index("| poor | 0.")


def test_rows_that_were_not_measured_again_say_of_which_commit_they_are(cells):
    page = {"commit": "new", "date": "2018-01-02", "machine": {"cores": 2, "memory_gib": 8}}
    page |= {"default": "good", "how": "As said.", "cutoffs": [DAY]}
    earlier = {"commit": "old"} | summarise(cells, "good", read_params())
    again = summarise({("good", DAY): cells["good", DAY]}, "good", read_params())
    found = with_earlier(again, earlier)
    assert found["methods"]["poor"]["commit"] == "old"
    assert "commit" not in found["methods"]["good"]
    assert found["paired"] == earlier["paired"]
    assert "Not measured again: poor. Their rows are of commit old" in quality_page(page | found)
    later = with_earlier(again, {"commit": "newer", **found})
    assert later["methods"]["poor"]["commit"] == "old"


def test_a_booster_with_fewer_inputs_than_the_network_is_called_so(cells):
    page = {"commit": "new", "date": "2018-01-02", "machine": {"cores": 2, "memory_gib": 8}}
    page |= {"default": "good", "how": "As said.", "cutoffs": [DAY]}
    booster = {("good", DAY): cells["good", DAY], ("lightgbm", DAY): cells["poor", DAY]}
    found = summarise(booster, "good", read_params())
    assert "Not on equal terms: lightgbm." in quality_page(page | found)
    found["methods"]["lightgbm"]["notes"] = {"inputs": "as the network"}
    assert "Not on equal terms" not in quality_page(page | found)


def test_a_change_of_the_families_leaves_results_of_counting_true(monkeypatch):
    monkeypatch.setattr(own_process, "DATA", ("params.yaml",))  # a clean clone has no data yet
    params = read_params()
    other = params.model_copy(
        update={"families": params.families.model_copy(update={"popular_days": 27})}
    )
    assert quality.key_of("decayed", params) == quality.key_of("decayed", other)
    assert quality.key_of("mlp", params) != quality.key_of("mlp", other)
    assert quality.key_of("mlp", params) == quality.key_of("mlp", params)


def test_every_method_is_named_once():
    names = method_names(("mlp", "cnn"))
    assert len(names) == len(set(names))
    assert {*COUNTING, "mlp", "cnn", "gru", "lightgbm"} <= set(names)


def test_an_unknown_method_says_which_there_are():
    with pytest.raises(TrainingError, match="lightgbm_without_offers"):
        fit_method("oracle", None, read_params())


def test_help_names_the_cutoffs(capsys):
    with pytest.raises(SystemExit):
        quality.main(["--help"])
    assert "2017-10-09" in capsys.readouterr().out
