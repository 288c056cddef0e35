"""What the loop would do with the verdicts as they are; nothing is changed."""

from pipeline.lifecycle.ledger.entries import collect_tried, group_attempts, read_episode
from pipeline.lifecycle.ledger.ledger_file import read_ledger
from pipeline.lifecycle.loop.choose import describe_candidates, describe_step, rank_repairs
from pipeline.lifecycle.loop.cycle import read_cycle
from pipeline.lifecycle.loop.loop import (
    build_refusal_questions,
    describe_question,
    find_open_question,
)


def preview() -> str:
    """Return the repairs in the order in which the loop would try them.

    Raises:
        ArtefactError: A verdict is missing, or it or the ledger is damaged.
    """
    entries = read_ledger().entries
    unfinished = [attempt for attempt in group_attempts(entries) if attempt.is_unfinished]
    lines = [
        f"First, attempt {attempt.number} would be taken up ({attempt.state}): "
        f"{describe_step(attempt.repair)}."
        for attempt in unfinished
    ]
    lines.append("Then `uv run dvc repro` would run. With the verdicts as they are now:")
    verdict = read_cycle().verdict
    if verdict is None:
        return "\n".join([*lines, "Every phase is healthy, or accepted: nothing to repair."])
    episode = read_episode(entries)
    repairs = (*verdict.repairs, *build_refusal_questions(episode, verdict))
    ranked = rank_repairs(repairs, collect_tried(entries))
    lines += describe_candidates(verdict, ranked)
    question = find_open_question(episode, verdict)
    return "\n".join(lines if question is None else [*lines, describe_question(question).message])
