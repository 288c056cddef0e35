"""Questions to a person: a file each, with the evidence and the command that answers it.

    data/lifecycle/questions/<number of the attempt>.json

Every question has two options beside its own: `accept` lets the verdict stand, as `accept` of this
program does; `done` says that the person has repaired the cause.
"""

import json
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.contracts.atomic import whole_file
from pipeline.contracts.repairs import Ask, Repair
from pipeline.lifecycle.errors import LedgerError, LoopError, StorageError
from pipeline.lifecycle.ledger.entries import Attempt, LedgerEntry, Trouble
from pipeline.lifecycle.ledger.ledger_file import FOLDER

QUESTIONS = FOLDER / "questions"
ACCEPT, DONE = "accept", "done"


class Question(BaseModel):
    """A question file.

    Attributes:
        number: Number of the attempt in the ledger.
        asked: When, UTC.
        trouble: The verdict in question, with the evidence that fails.
        cause: Name of the cause.
        because: The evidence for the cause, in a sentence.
        question: What a person must decide.
        options: The possible answers.
        command: The command that answers.
        answer: The chosen option, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    asked: datetime
    trouble: Trouble
    cause: str
    because: str
    question: str
    options: tuple[str, ...]
    command: str
    answer: str | None = None


def build_question(attempt: Attempt) -> Question:
    """Return the question of an attempt whose repair asks."""
    repair, trouble = attempt.repair, attempt.before.trouble
    assert repair.step.kind == "ask"
    assert trouble is not None
    return Question(
        number=attempt.number,
        asked=attempt.entries[0].at,
        trouble=trouble,
        cause=repair.cause,
        because=repair.because,
        question=repair.step.question,
        options=list_options(repair.step),
        command=answer_command(attempt.number),
    )


def answer_command(number: int) -> str:
    """Return the command that answers a question."""
    return f"uv run python -m pipeline.lifecycle answer {number} OPTION"


def list_options(step: Ask) -> tuple[str, ...]:
    """Return the options of a question, each once.

    >>> list_options(Ask(question="Is it wanted?", options=("wanted", "done")))
    ('wanted', 'done', 'accept')
    """
    return tuple(dict.fromkeys((*step.options, *step.steps, DONE, ACCEPT)))


def write_question(question: Question, folder: Path = QUESTIONS) -> Path:
    """Write the file of a question, and return its path.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    path = folder / f"{question.number}.json"
    text = json.dumps(question.model_dump(mode="json"), indent=2, ensure_ascii=False)
    try:
        with whole_file(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"to write '{path}'",
            received=str(error),
            action="Free some space, then run `uv run python -m pipeline.lifecycle run`.",
        ) from error
    return path


def read_question(number: int, folder: Path = QUESTIONS) -> Question:
    """Return a question.

    Raises:
        LoopError: There is no such question.
        LedgerError: The file is damaged.
    """
    path = folder / f"{number}.json"
    try:
        return Question.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        names = sorted(int(file.stem) for file in folder.glob("*.json"))
        raise LoopError(
            f"the number of a question in '{folder}'",
            received=f"{number}; the questions are {', '.join(map(str, names)) or 'none'}",
            action="See `uv run python -m pipeline.lifecycle ledger`.",
        ) from error
    except ValidationError as error:
        raise LedgerError(
            f"a question in '{path}'",
            received=f"{error.error_count()} invalid values",
            action=f"Restore the file: `git checkout {path}`.",
        ) from error


def build_answer(attempt: Attempt, option: str) -> LedgerEntry:
    """Return the entry of an answer; it holds the step to apply if the option has one.

    Raises:
        LoopError: The option is not one of the question's.
    """
    repair = attempt.entries[0].repair
    assert repair is not None
    assert repair.step.kind == "ask"
    options = list_options(repair.step)
    if option not in options:
        raise LoopError(
            f"one of {', '.join(options)} as the answer to question {attempt.number}",
            received=f"'{option}'",
            action=f"Read data/lifecycle/questions/{attempt.number}.json, then answer again.",
        )
    step = repair.step.steps.get(option)
    chosen: Repair | None = None if step is None else repair.model_copy(update={"step": step})
    return LedgerEntry(
        attempt=attempt.number, transition="answered", by="person", repair=chosen, answer=option
    )
