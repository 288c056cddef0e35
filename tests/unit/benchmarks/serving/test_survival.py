"""The page says what was tested: each thing that was killed, and what the cases met."""

from benchmarks.serving.survival import crash_rows, fuzz_section

KILLS = {"events_acknowledged": 1_200, "acknowledged_events_lost": 0, "events_duplicated": 3}


def test_kills_of_the_service_are_told_apart_from_those_of_the_store() -> None:
    crashes = {
        "of_the_service": {"kills": 20, **KILLS},
        "of_the_store_process": {"kills": 180, **KILLS, "events_acknowledged": 9},
    }
    rows = crash_rows(crashes)
    assert [row[0].split(" times")[0] for row in rows] == ["20", "180"]
    assert "the service itself" in rows[0][0]
    assert "recommender of five items" in rows[1][0]
    assert [row[2] for row in rows] == ["1,200, 0, 3", "9, 0, 3"]


def test_cases_that_met_nothing_are_told_apart_from_those_that_were_answered() -> None:
    counts = {
        "valid, answered": 40,
        "valid, unknown id": 49,
        "valid, 2xx": 40,
        "valid, 4xx": 49,
        "invalid, refused": 89,
        "invalid, 4xx": 89,
    }
    text = fuzz_section(
        {
            "service": "mlp 0123456789ab",
            "date": "2026-11-27",
            "commit": "abc",
            "fuzz_cases": 178,
            "valid_answered": 40,
            "refused": 89,
            "unknown_ids": 49,
            "switched_off": 0,
            "failed_checks": 0,
            "by_route": {"GET /similar/{item_id}": counts},
        }
    )
    assert "40 valid cases were answered by an active route" in text
    assert "49 named something that does not exist" in text
    header, _, row = text.splitlines()[-3:]
    assert header == (
        "| route | valid, answered | valid, unknown id | invalid, refused | 2xx | 4xx | 5xx |"
    )
    assert row == "| `GET /similar/{item_id}` | 40 | 49 | 89 | 40 | 138 | 0 |"
