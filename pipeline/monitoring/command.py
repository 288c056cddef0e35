"""The command that judges a period of a running service, outside `dvc repro`."""

import argparse
import json
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError
from pipeline.contracts.params import Params
from pipeline.monitoring.period import Period, latest_period
from pipeline.runtime.stage import StageOptions, run_command

OUT = Path("data/monitoring")
PERIOD_FILE = "period.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to the parser of the stage."""
    parser.add_argument(
        "--source",
        choices=("replay", "event_store"),
        help="event_store judges a period of a running service, and writes to --out; without this "
        "option, the stage runs with monitoring.source of params.yaml",
    )
    parser.add_argument("--store", help="URL of the event store; serving.event_store if absent")
    parser.add_argument(
        "--since",
        type=parse_moment,
        help="first day or moment; the end of the period judged last in --out, else "
        "monitoring.replay_days ago",
    )
    parser.add_argument(
        "--until", type=parse_moment, help="the first day or moment after the period; today"
    )
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder of the results; {OUT}")


def parse_moment(text: str) -> date | datetime:
    """Return a day, or a moment with a time zone, from ISO 8601.

    >>> parse_moment("2024-03-01")
    datetime.date(2024, 3, 1)

    Raises:
        ArgumentTypeError: If the text is neither.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = f"expected a day or a moment with a zone, such as 2024-03-01, got '{text}'"
        raise argparse.ArgumentTypeError(message)
    return moment


def choose_period(arguments: argparse.Namespace, params: Params, now: datetime) -> Period:
    """Return the period to judge.

    Args:
        arguments: Options of the command.
        params: Time zone, `as_of` and the length of a period.
        now: The current moment.

    Raises:
        ArtefactError: If the period judged last cannot be read.
        ValueError: If the period ends before it starts.
    """
    period = latest_period(params, now)
    since = arguments.since or _read_last_end(arguments.out)
    if since is not None:
        period = replace(period, since=_start_of(since, params))
    if arguments.until is not None:
        period = replace(period, until=_start_of(arguments.until, params))
    if period.since >= period.until:
        message = f"expected --since before --until, got {period.since} and {period.until}"
        raise ValueError(message)
    return period


def judge_period(arguments: argparse.Namespace, params: Params, period: Period) -> int:
    """Judge a period of a running service, and write the results to a folder; return 0.

    Raises:
        EvergreenError: If an input or the store cannot be read.
    """
    from pipeline.monitoring.monitor import monitor_service, read_inputs
    from pipeline.monitoring.report import write_results
    from pipeline.serving.environment import event_store_url

    url = arguments.store or event_store_url(os.environ, params.serving.event_store)
    inputs = read_inputs(params)
    result = monitor_service(inputs, url, period)
    write_results(result, inputs, arguments.out)
    artefacts.write_json(result.verdict.model_dump(mode="json"), arguments.out / "verdict.json")
    ends = {"since": period.since.isoformat(), "until": period.until.isoformat()}
    artefacts.write_json(ends, arguments.out / PERIOD_FILE)
    print(f"{result.verdict.status_in_words}. {result.verdict.cause}")
    return 0


def run_period(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int | None:
    """Run the command if the options ask for it; return its exit code, else None."""
    if arguments.source != "event_store":
        if arguments.store or arguments.since or arguments.until:
            parser.error("--store, --since and --until need --source event_store")
        return None

    def judge(params: Params) -> int:
        try:
            period = choose_period(arguments, params, datetime.now(UTC))
        except ValueError as error:
            parser.error(str(error))
        return judge_period(arguments, params, period)

    return run_command("monitoring", judge)


def _start_of(moment: date | datetime, params: Params) -> datetime:
    return moment if isinstance(moment, datetime) else params.shop.midnight(moment)


def _read_last_end(out: Path) -> datetime | None:
    path = out / PERIOD_FILE
    if not path.exists():
        return None
    try:
        return datetime.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["until"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"the end of the period judged last, as 'until' in '{path}'",
            received=f"{type(error).__name__}: {error}",
            action="Delete the file, or give --since.",
        ) from error


OPTIONS = StageOptions(add=add_options, run=run_period)
