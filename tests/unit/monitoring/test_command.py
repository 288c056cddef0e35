"""Which period of a running service the command judges."""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.params import read_params
from pipeline.monitoring.__main__ import main
from pipeline.monitoring.command import PERIOD_FILE, add_options, choose_period, parse_moment
from pipeline.monitoring.period import Period, latest_period
from tests.support.tiny_shop import PROJECT

READ = read_params(PROJECT / "params.yaml")
PARAMS = READ.model_copy(
    update={"shop": READ.shop.model_copy(update={"as_of": date(2024, 1, 1), "timezone": "UTC"})}
)
NOW = datetime(2024, 3, 10, 15, 30, tzinfo=UTC)


def midnight(month: int, day: int) -> datetime:
    return datetime(2024, month, day, tzinfo=UTC)


def choose(folder: Path, *options: str) -> Period:
    parser = argparse.ArgumentParser()
    add_options(parser)
    arguments = parser.parse_args(["--out", str(folder), *options])
    return choose_period(arguments, PARAMS, NOW)


def test_the_latest_whole_days_are_judged(tmp_path: Path) -> None:
    assert latest_period(PARAMS, NOW) == Period(midnight(2, 11), midnight(3, 10), NOW)
    assert choose(tmp_path) == latest_period(PARAMS, NOW)


def test_nothing_before_as_of_is_judged() -> None:
    early = datetime(2024, 1, 5, tzinfo=UTC)
    assert latest_period(PARAMS, early) == Period(midnight(1, 1), midnight(1, 5), early)


def test_the_next_period_begins_where_the_last_one_ended(tmp_path: Path) -> None:
    artefacts.write_json({"until": midnight(3, 3).isoformat()}, tmp_path / PERIOD_FILE)
    assert choose(tmp_path) == Period(midnight(3, 3), midnight(3, 10), NOW)
    assert choose(tmp_path, "--since", "2024-02-01").since == midnight(2, 1)


def test_days_and_moments_are_read(tmp_path: Path) -> None:
    period = choose(tmp_path, "--since", "2024-03-01", "--until", "2024-03-02T12:00:00+00:00")
    assert period.since == midnight(3, 1)
    assert period.until == datetime(2024, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2024-03-01T12:00:00", "2024-13-01"])
def test_a_moment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"got '{text}'"):
        parse_moment(text)


def test_a_period_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--since before --until"):
        choose(tmp_path, "--since", "2024-03-05", "--until", "2024-03-05")


def test_a_damaged_file_of_the_last_period_is_an_error(tmp_path: Path) -> None:
    (tmp_path / PERIOD_FILE).write_text('{"until": 7}')
    with pytest.raises(ArtefactError, match=r"period\.json.*--since"):
        choose(tmp_path)


def test_options_of_a_running_service_need_it_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--since", "2024-03-01"])
    assert "need --source event_store" in capsys.readouterr().err
