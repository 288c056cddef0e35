"""The ledger as a table."""

import textwrap
from collections.abc import Iterable, Sequence

from pipeline.lifecycle.ledger.entries import Attempt, LedgerEntry, group_attempts
from pipeline.lifecycle.loop.choose import describe_step

COLUMNS = ("no", "when (UTC)", "phase", "cause", "state", "by", "expected", "realised", "minutes")


def format_history(entries: Sequence[LedgerEntry], width: int = 100) -> str:
    """Return one row per attempt, with its step and its reason below.

    Args:
        entries: The ledger, oldest first.
        width: Width of the terminal in columns.
    """
    attempts = group_attempts(entries)
    if not attempts:
        return "The ledger is empty: the loop has tried no repair here."
    rows = [COLUMNS, *(_row(attempt) for attempt in attempts)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(COLUMNS))]
    lines = [_align(COLUMNS, widths)]
    indent = " " * (widths[0] + 2)
    for attempt, row in zip(attempts, rows[1:], strict=True):
        lines.append(_align(row, widths))
        for text in _details(attempt):
            lines += textwrap.wrap(
                text, max(width, 40), initial_indent=indent, subsequent_indent=indent
            )
    return "\n".join(lines)


def _row(attempt: Attempt) -> tuple[str, ...]:
    repair, last = attempt.repair, attempt.entries[-1]
    minutes = None if attempt.after is None else attempt.after.minutes
    return (
        str(attempt.number),
        f"{attempt.entries[0].at:%Y-%m-%d %H:%M}",
        repair.target_phase,
        repair.cause,
        attempt.state,
        "person" if "person" in (attempt.by, last.by) else "loop",
        _signed(repair.expected_gain),
        _signed(last.realised_gain),
        "-" if minutes is None else f"{minutes:.1f}",
    )


def _details(attempt: Attempt) -> Iterable[str]:
    last = attempt.entries[-1]
    yield describe_step(attempt.repair)
    if last.answer:
        yield f"answer: {last.answer}"
    if last.note:
        yield f"{attempt.state}: {last.note}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _align(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip()
