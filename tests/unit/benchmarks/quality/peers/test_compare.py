import pytest

from benchmarks.quality.peers.compare import against_reference, claims, verdict

ABOVE = {"difference": 0.01, "low": 0.001, "high": 0.02}
AROUND = {"difference": 0.01, "low": -0.001, "high": 0.02}
BELOW = {"difference": -0.01, "low": -0.02, "high": -0.001}
DAYS = ("2017-10-09", "2017-11-06", "2017-12-04")


@pytest.mark.parametrize(
    ("differences", "wanted"),
    [
        ([ABOVE, ABOVE, ABOVE], "better"),
        ([ABOVE, ABOVE, AROUND], "undecided"),
        ([BELOW, BELOW, BELOW], "worse"),
        ([ABOVE, ABOVE, BELOW], "undecided"),
        ([], "undecided"),
    ],
)
def test_a_claim_needs_every_interval_on_one_side_of_zero(differences, wanted):
    assert verdict(differences) == wanted


def test_a_claim_needs_all_cutoffs():
    cell = {"recall@10": ABOVE, "ndcg@10": AROUND}
    whole = {"popular": {"rolling": dict.fromkeys(DAYS, cell)}}
    assert claims(whole, DAYS)["popular"]["rolling"] == {
        "recall@10": "better",
        "ndcg@10": "undecided",
    }
    two = {"popular": {"rolling": dict.fromkeys(DAYS[:2], cell)}}
    assert claims(two, DAYS)["popular"]["rolling"]["recall@10"] == "undecided"


def test_three_percent_off_the_reference_is_within_and_four_is_not():
    cell = {
        "recall@10": 0.0377 * 1.029,
        "ndcg@10": 0.0572 * 0.96,
        "hit_rate@10": 0.283,
        "recall@20": 0.0607,
    }
    rows = against_reference({"popular": {"rolling": {"2017-12-04": cell}}})
    assert [row["metric"] for row in rows] == ["recall@10", "ndcg@10", "hit_rate@10", "recall@20"]
    assert [row["within"] for row in rows] == [True, False, True, True]
    assert rows[1]["relative"] == pytest.approx(-0.04, abs=1e-4)


def test_a_method_that_was_not_measured_has_no_reference_row():
    assert against_reference({"popular": {"rolling": {"2017-11-06": {}}}}) == []
