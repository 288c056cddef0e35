"""What an example is called where people review labels: in the queue, in tasks, in labels.csv.

An example's own id names its user, and what people decide is committed. So there it is called by a
digest: the pipeline finds the example by it, and nobody reads a user's id off it. Like the list of
forgotten people it still answers whoever has both the file and an id; so forgetting a person
removes what was decided about their baskets.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.contracts.schemas import PROTOCOLS

DIGITS = 16
KNOWN = ("basket_id", "item_id", "reason", "decision")


def example_id(protocol: str, user_id: str, basket_id: str) -> str:
    """Return what an example is called in the labelled set.

    A colon in a user's id is written as %3A: no two baskets share a name.

    >>> example_id("rolling", "ann:x", "basket-7")
    'rolling:ann%3Ax:basket-7'
    """
    user = user_id.replace("%", "%25").replace(":", "%3A")
    return f"{protocol}:{user}:{basket_id}"


def review_id(example: str) -> str:
    """Return what an example is called among reviewers.

    >>> review_id("rolling:ann:basket-7")
    '9202f42ec950405a'
    """
    return hashlib.sha256(example.encode()).hexdigest()[:DIGITS]


def forget_reviews(path: Path, user_ids: Iterable[str]) -> int:
    """Remove the decisions about some people's baskets from a reviewed file; return how many.

    Args:
        path: Of data/reviewed/labels.csv; it need not exist.
        user_ids: Who. A row is about them if its example is theirs, or any further column, as an
            export of a labelling tool has them, names one of them.
    """
    if not path.exists():
        return 0
    people = list(user_ids)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        names, rows = list(reader.fieldnames or ()), list(reader)
    kept = [row for row in rows if not _is_about(row, people)]
    if len(kept) < len(rows):
        _write(path, names, kept)
    return len(rows) - len(kept)


def _is_about(row: Mapping[str, str | None], people: Iterable[str]) -> bool:
    example, basket = (row.get("example_id") or "").strip(), (row.get("basket_id") or "").strip()
    others = [str(value) for name, value in row.items() if name not in KNOWN]
    return any(
        example in set(_names(person, basket)) or any(_mentions(text, person) for text in others)
        for person in people
    )


def _names(user_id: str, basket_id: str) -> Iterator[str]:
    """Yield all names of the examples of one basket, were it this user's."""
    for protocol in PROTOCOLS:
        name = example_id(protocol, user_id, basket_id)
        yield from (name, review_id(name))


def _mentions(text: str, user_id: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(user_id)}(?![\w-])", text) is not None


def _write(path: Path, names: list[str], rows: list[dict[str, str | None]]) -> None:
    from pipeline.contracts.atomic import whole_file

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
