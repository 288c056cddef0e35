"""Payloads: valid requests and events are parsed, invalid ones raise RequestError."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.contracts.errors import RequestError
from pipeline.serving.api.openapi import build_document
from pipeline.serving.parsing import RequestLimits, parse_events, parse_recommend
from pipeline.serving.payloads import MAXIMUM_EVENTS, Event, RecommendRequest
from tests.support.fake_bundle import serving_params

LIMITS = RequestLimits(default_k=10, maximum_k=100, explore_slots=2)


def test_a_user_id_is_all_that_a_request_needs() -> None:
    request = parse_recommend(b'{"user_id": "7"}')
    assert request == RecommendRequest(user_id="7")
    assert LIMITS.resolve(request) == (10, 2)


def test_explore_slots_do_not_exceed_a_small_k() -> None:
    assert LIMITS.resolve(RecommendRequest(user_id="7", k=1)) == (1, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"user_id": "7"',
        b'{"user_id": 7}',
        b'{"user_id": ""}',
        b'{"user_id": "a\\u0000b"}',
        b'{"user_id": "\\ud800"}',
        b'{"user_id": "7", "k": 0}',
        b'{"user_id": "7", "k": -1}',
        b'{"user_id": "7", "k": "10"}',
        b'{"user_id": "7", "k": 1.5}',
        b'{"user_id": "7", "k": true}',
        b'{"user_id": "7", "cart": "milk"}',
        b'{"user_id": "7", "cart": [1]}',
        b'{"user_id": "7", "at": "2024-03-01T10:00:00"}',
        b'{"user_id": "7", "at": "soon"}',
        b'{"user_id": "7", "at": "9999-01-01T00:00:00Z"}',
        b'{"user_id": "7", "at": 1e300}',
        b'{"user_id": "7", "explore_slots": -1}',
        b'{"user_id": "7", "surprise": 1}',
        json.dumps({"user_id": "7" * 129}).encode(),
        json.dumps({"user_id": "7", "cart": ["x"] * 501}).encode(),
        b"[" * 100_000,
    ],
)
def test_a_wrong_recommendation_request_is_refused_in_one_short_sentence(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        parse_recommend(body)
    assert 0 < len(caught.value.received) < 500


@pytest.mark.parametrize("k", [101, 10**9, 10**30])
def test_more_items_than_the_maximum_are_refused(k: int) -> None:
    request = parse_recommend(b'{"user_id": "7", "k": %d}' % k)
    with pytest.raises(RequestError, match="at most 100"):
        LIMITS.resolve(request)


def test_more_explore_slots_than_items_are_refused() -> None:
    with pytest.raises(RequestError, match="explore_slots"):
        LIMITS.resolve(RecommendRequest(user_id="7", k=3, explore_slots=4))


def test_times_are_turned_to_utc() -> None:
    request = parse_recommend(b'{"user_id": "7", "at": "2024-03-01T10:00:00-05:00"}')
    assert request.at == datetime(2024, 3, 1, 15, tzinfo=UTC)
    assert request.at.tzinfo is UTC


def test_one_event_and_a_list_of_one_are_the_same() -> None:
    one = b'{"user_id": "7", "item_id": "milk", "event_type": "view"}'
    expected = [Event(user_id="7", item_id="milk", event_type="view")]
    assert parse_events(one) == expected
    assert parse_events(b" [" + one + b"]") == expected


@pytest.mark.parametrize(
    "change",
    [
        {"event_type": "steal"},
        {"quantity": -1},
        {"quantity": "2"},
        {"price": float("nan")},
        {"price": float("inf")},
        {"discount": 1e12},
        {"timestamp": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
        {"timestamp": "2024-03-01"},
        {"event_id": ""},
        {"more": 1},
    ],
)
def test_a_wrong_event_is_refused(change: dict[str, object]) -> None:
    body = {"user_id": "7", "item_id": "milk", "event_type": "view", **change}
    with pytest.raises(RequestError):
        parse_events(json.dumps(body).encode())


def test_no_events_and_too_many_events_are_refused() -> None:
    event = {"user_id": "7", "item_id": "milk", "event_type": "view"}
    for events in ([], [event] * (MAXIMUM_EVENTS + 1)):
        with pytest.raises(RequestError):
            parse_events(json.dumps(events).encode())


def test_an_error_does_not_echo_the_input() -> None:
    with pytest.raises(RequestError) as caught:
        parse_recommend(json.dumps({"user_id": "secret" * 1000}).encode())
    assert "secret" not in str(caught.value)


def test_the_document_describes_our_routes_with_valid_examples() -> None:
    document = build_document(serving_params())
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    for example in schemas["RecommendRequest"]["examples"]:
        parse_recommend(json.dumps(example).encode())
    for example in schemas["Event"]["examples"]:
        parse_events(json.dumps(example).encode())
    assert {"type": "integer", "minimum": 1, "maximum": 100} in (
        schemas["RecommendRequest"]["properties"]["k"]["anyOf"]
    )
    parts = json.dumps(document).split('"#/components/schemas/')[1:]
    assert {part.split('"')[0] for part in parts} <= set(schemas)
