"""Ids of examples in label reviews: in the queue, in tasks, in labels.csv.

The id of an example contains its user, and review decisions are committed. Reviews therefore use a
digest: the pipeline finds the example by it, and it does not show the user's id. Anyone who has
both the file and an id can still check for that id; so forgetting a person also removes the
decisions about their baskets.
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
    """Return the id of an example in the labelled set.

    A colon in a user's id is written as %3A, so that ids are unique.

    >>> example_id("rolling", "ann:x", "basket-7")
    'rolling:ann%3Ax:basket-7'
    """
    user = user_id.replace("%", "%25").replace(":", "%3A")
    return f"{protocol}:{user}:{basket_id}"


def review_id(example: str) -> str:
    """Return the digest that stands for an example in reviews.

    >>> review_id("rolling:ann:basket-7")
    '9202f42ec950405a'
    """
    return hashlib.sha256(example.encode()).hexdigest()[:DIGITS]


def forget_reviews(path: Path, user_ids: Iterable[str]) -> int:
    """Remove all decisions about the baskets of some users; return the number of removed rows.

    Args:
        path: Path of data/reviewed/labels.csv; a missing file is accepted.
        user_ids: Users to forget. A row is removed if its example belongs to one of the users, or
            if an extra column, such as a labelling tool exports, contains one of the ids.
    """
    if not path.exists():
        return 0
    people = list(user_ids)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        names, rows = list(reader.fieldnames or ()), list(reader)
    remaining = [row for row in rows if not _is_about(row, people)]
    if len(remaining) < len(rows):
        _write(path, names, remaining)
    return len(rows) - len(remaining)


def _is_about(row: Mapping[str, str | None], people: Iterable[str]) -> bool:
    example, basket = (row.get("example_id") or "").strip(), (row.get("basket_id") or "").strip()
    others = [str(value) for name, value in row.items() if name not in KNOWN]
    return any(
        example in set(_names(person, basket)) or any(_mentions(text, person) for text in others)
        for person in people
    )


def _names(user_id: str, basket_id: str) -> Iterator[str]:
    """Yield all possible ids of the examples of a basket of this user."""
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
