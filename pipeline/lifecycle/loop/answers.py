"""Answer a question: a person decides, and the next run carries it out."""

from pipeline.contracts import artefacts
from pipeline.lifecycle.errors import LoopError
from pipeline.lifecycle.ledger.entries import Attempt, Trouble
from pipeline.lifecycle.ledger.journal import Journal
from pipeline.lifecycle.loop import questions
from pipeline.lifecycle.loop.choose import describe_step
from pipeline.runtime import gates

RUN = "Run `uv run python -m pipeline.lifecycle run` to go on."


def answer(number: int, option: str, because: str | None, journal: Journal) -> str:
    """Record the answer to a question, and return what follows from it.

    Args:
        number: Number of the question.
        option: One of its options.
        because: The reason; required by `accept`.
        journal: The ledger; the caller holds the loop's lock.

    Raises:
        LoopError: There is no such open question, or no such option, or the verdict in question
            has changed.
        GateError: `accept` comes without a reason.
        StorageError: The disk is full.
    """
    question = questions.read_question(number)
    attempt = journal.find(number)
    _check_open(attempt, journal)
    entry = questions.build_answer(attempt, option)
    if option == questions.ACCEPT:
        _accept(question.trouble, because)
    journal.add(entry.model_copy(update={"note": because or ""}))
    questions.write_question(question.model_copy(update={"answer": option}))
    attempt = journal.find(number)
    if attempt.is_unfinished:
        return f"The next run will {describe_step(attempt.repair)}. {RUN}"
    return f"Question {number} is answered: {option}. {RUN}"


def _check_open(attempt: Attempt, journal: Journal) -> None:
    is_recent = attempt.number in {other.number for other in journal.episode}
    if attempt.state == "asked" and is_recent:
        return
    reason = f"'{attempt.state}' as its last entry" if is_recent else "a shop that is healthy since"
    raise LoopError(
        f"question {attempt.number} to be open",
        received=reason,
        action="See `uv run python -m pipeline.lifecycle ledger`.",
    )


def _accept(trouble: Trouble, because: str | None) -> None:
    """Accept the verdict in question, unless it is accepted already."""
    verdict = artefacts.read_verdict(trouble.phase)
    names = tuple(sorted({item.name for item in trouble.failing}))
    names_now = gates.failing_names(verdict)
    if (verdict.status, names_now) != (trouble.status, names):
        raise LoopError(
            f"the verdict of {trouble.phase} that the question is about: '{trouble.status}', "
            f"{', '.join(names) or trouble.cause}",
            received=f"'{verdict.status}', {', '.join(names_now) or verdict.cause}",
            action=RUN,
        )
    if gates.find_acceptance(verdict) is None:
        gates.accept(trouble.phase, because or "")
