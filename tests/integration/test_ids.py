"""One rule for ids: every step accepts the same ids and refuses the same ids."""

import json
import re
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.collection.months import split
from pipeline.collection.quality import reasons_by_row
from pipeline.contracts import artefacts, schemas
from pipeline.contracts.errors import RequestError, SourceError
from pipeline.contracts.schemas import ID_PATTERN, ID_RULE, NOT_AN_ID, is_id
from pipeline.labeling.examples.selection import build_example_ids
from pipeline.recommenders.base.histories import build_histories
from pipeline.recommenders.base.saved import read_vocabulary, write_vocabulary
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.serving.commands.user_list import read_users
from pipeline.serving.parsing import parse_events
from pipeline.validation import Validator
from tests.support.fake_bundle import CountingRecommender, FakeBundle
from tests.support.served import Http, act, ids, recommend, send

ODD = (
    "",
    " ",
    " tea",
    "tea ",
    "tea\u00a0",
    "\ufefftea",
    "tea\n",
    "te\ta",
    "wait\u0085",
    "a\u2028b",
    "a\x00b",
    "a\x7f",
    "x" * 129,
    "é" * 129,
)
FINE = ("0042", "42", "a", "a b", "a,b", 'a"b', "a\\b", "a:b", "a/b?c#d", "e\u0301", "\u00e9", "🍞")
FINE += ("x" * 128, "é" * 128, "NA", "null", "None", "nan", "[1]", "%3A")
TEXTS = st.text(max_size=140) | st.sampled_from([*ODD, *FINE])


def fails(text: str) -> bool:
    """Whether /events refuses this user id and this item id, with the rule in its error."""
    errors = []
    for name in ("user_id", "item_id"):
        body = {"user_id": "ann", "item_id": "tea", "event_type": "view", name: text}
        errors.append(refusal(body))
        if not errors[-1]:
            assert getattr(*parse_events(json.dumps(body).encode()), name) == text
    assert all(ID_RULE in text for text in errors if text)
    assert bool(errors[0]) == bool(errors[1])
    return bool(errors[0])


def refusal(body: dict[str, str]) -> str:
    try:
        parse_events(json.dumps(body).encode())
    except RequestError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("texts", "accepted"), [(ODD, False), (FINE, True)])
def test_the_rule_accepts_and_refuses_the_listed_ids(
    texts: tuple[str, ...], *, accepted: bool
) -> None:
    assert [is_id(text) for text in texts] == [accepted] * len(texts)


@given(TEXTS)
def test_all_forms_of_the_rule_agree_with_the_endpoint(text: str) -> None:
    by_pattern = re.fullmatch(ID_PATTERN.removesuffix("$"), text) is not None
    by_re2 = not pc.match_substring_regex(pa.array([text]), NOT_AN_ID)[0].as_py()
    assert is_id(text) == by_pattern == by_re2 == (not fails(text))


def rows(texts: list[str]) -> pd.DataFrame:
    """One event per text, which is both the user's and the item's id."""
    moment = pd.Timestamp("2024-02-01", tz="UTC").as_unit("us")
    given = pd.DataFrame({"user_id": pd.Series(texts, dtype="str")})
    others = {"event_type": "purchase", "quantity": 1.0, "price": 1.0, "discount": 0.0}
    frame = given.assign(item_id=given["user_id"], timestamp=moment, **others, basket_id="b")
    return frame.assign(session_id=None, store_id=None, source="till").astype(
        dict.fromkeys(["event_type", "basket_id", "session_id", "store_id", "source"], "str")
    )


@cache
def validator() -> Validator:
    return Validator(Path(mkdtemp()))


@pytest.mark.slow
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TEXTS, min_size=1, max_size=60, unique=True))
def test_accepted_ids_survive_and_refused_ids_are_quarantined(texts: list[str]) -> None:
    folder = Path(mkdtemp())
    table = pa.Table.from_pandas(rows(texts), preserve_index=False)
    validation = validator().validate(table.to_pandas(), schemas.EVENTS, name="events")
    good, bad = split(table, reasons_by_row(validation))

    assert sorted(good["item_id"].to_pylist()) == sorted(text for text in texts if not fails(text))
    assert sorted(bad["item_id"].to_pylist()) == sorted(text for text in texts if fails(text))
    both = f"item_id: {ID_RULE}; user_id: {ID_RULE}"
    assert set(bad["reasons"].to_pylist()) <= {both}

    artefacts.write_table(good, folder / "events.parquet", schemas.EVENTS)
    events = pd.read_parquet(folder / "events.parquet")
    known = Vocabulary(tuple(sorted(events["item_id"].unique())))
    write_vocabulary(known, folder)
    loaded = read_vocabulary(folder, {"n_items": len(known)})
    assert loaded == known
    if len(events):
        assert build_histories(events, loaded).user_ids == tuple(sorted(events["user_id"]))


def test_every_valid_id_is_answered(bundle: FakeBundle, tmp_path: Path, start: Any) -> None:
    """Request, event, history, cart, exclusion and answer of unusual ids."""
    write_vocabulary(Vocabulary(FINE), tmp_path)
    known = read_vocabulary(tmp_path, {"n_items": len(FINE) + 1})
    bundle.recommender = CountingRecommender(vocabulary=known)
    bundle.histories = build_histories(rows(list(FINE)), known)
    bundle.items = pd.DataFrame({"item_id": FINE}).assign(
        title=None, department="A", category=[str(n) for n in range(len(FINE))], type=None
    )
    bundle.items["brand"] = None
    http: Http = start()
    for name in FINE:
        assert ids(recommend(http, name, k=1)) == [name]
        assert name not in ids(recommend(http, name, k=len(FINE), cart=[name]))
        assert name not in ids(recommend(http, name, k=len(FINE), exclude=[name]))
    for name in FINE:
        assert send(http, act("purchase", name, "new shopper " + name[:99])).status_code == 201
        assert ids(recommend(http, "new shopper " + name[:99], k=1)) == [name]


def test_a_bundle_with_a_vocabulary_of_lines_still_opens(tmp_path: Path) -> None:
    names = ("0042", "bread", "wait\u0085", "a\u2028b")
    text = "".join(f"{name}\n" for name in names)
    (tmp_path / "vocabulary.txt").write_text(text, encoding="utf-8", newline="\n")
    assert read_vocabulary(tmp_path, {"n_items": 5}).ids == names


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
@pytest.mark.parametrize("wrong", ["te\ta", "wait\u0085", "x" * 129])
def test_a_list_of_users_follows_the_rule(tmp_path: Path, kind: str, wrong: str) -> None:
    path = tmp_path / f"users.{kind}"
    frame = pd.DataFrame({"user_id": ["0042", wrong]})
    if kind == "txt":
        path.write_text("".join(f"{name}\n" for name in frame["user_id"]), encoding="utf-8")
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    with pytest.raises(SourceError, match=re.escape(ID_RULE)):
        read_users(path)


@given(st.lists(st.tuples(*[st.text("ab:%", min_size=1, max_size=4)] * 2), unique=True))
def test_no_two_baskets_share_an_example(pairs: list[tuple[str, str]]) -> None:
    baskets = pd.DataFrame(pairs, columns=["user_id", "basket_id"])
    assert build_example_ids("rolling", baskets).is_unique
