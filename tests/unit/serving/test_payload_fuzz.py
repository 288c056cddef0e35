"""Any bytes are either a request that can be answered or one clear error."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.provisional import urls

from pipeline.contracts.errors import RequestError
from pipeline.contracts.schemas import is_id
from pipeline.serving.parsing import parse_events, parse_recommend
from pipeline.serving.payloads import RecommendRequest

TEXTS = st.text(max_size=200) | urls()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
FIELDS = (
    "user_id",
    "item_id",
    "event_type",
    "k",
    "cart",
    "at",
    "timestamp",
    "quantity",
    "event_id",
)
NEAR = st.dictionaries(st.sampled_from(FIELDS), JSON | st.just("view"), max_size=6)


def refusal(body: bytes) -> str:
    """The error text for a body, '' if it is valid; any other error fails the test."""
    text = ""
    for parse in (parse_recommend, parse_events):
        try:
            parse(body)
        except RequestError as error:
            text += str(error)
    return text


@given(st.binary(max_size=2_000))
@example(b"[" * 100_000)
@example(b'{"user_id": "\\ud800"}')
@example(b'{"user_id": "ann", "k": 1' + b"0" * 5_000 + b"}")
@example(b'{"user_id": "ann", "k": 1e400}')
@example(b'{"user_id": "ann", "at": "9999-12-31T23:59:59-23:59"}')
@example(b'{"user_id": "ann", "at": "0001-01-01T00:00:00+23:59"}')
@example(b'{"user_id": "ann", "at": "2024-02-30T00:00:00Z"}')
@example(b'{"user_id": "ann", "' + b"x" * 60_000 + b'": 1}')
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_are_a_request_or_a_clear_error(body: bytes) -> None:
    assert len(refusal(body)) < 4_000


@given(JSON | NEAR | st.lists(NEAR, max_size=3))
def test_any_json_is_a_request_or_a_clear_error(value: Any) -> None:
    assert len(refusal(json.dumps(value).encode())) < 4_000


LETTERS = st.characters(exclude_categories=["Cc", "Cs"])
ID = st.text(min_size=1, max_size=128, alphabet=LETTERS).filter(is_id)


@given(user=ID, cart=st.lists(ID, max_size=5), k=st.integers(1, 100), whole=st.booleans())
def test_valid_requests_are_parsed_unchanged(
    user: str, cart: list[str], k: int, *, whole: bool
) -> None:
    body = {"user_id": user, "cart": cart, "k": k if whole else float(k)}
    request = parse_recommend(json.dumps(body).encode())
    assert request == RecommendRequest(user_id=user, cart=cart, k=k)
    assert isinstance(request.k, int)
