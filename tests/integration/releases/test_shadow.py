"""The shadow: it scores every request, and no user sees its answers."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from pipeline.event_store.store import EventStore
from pipeline.event_store.tables import SHADOW_ANSWERS
from pipeline.serving.payloads import RecommendRequest
from pipeline.serving.releases import changes
from tests.support.release_service import ReleaseService


def test_a_shadow_scores_the_same_requests_and_nobody_sees_it(
    service: ReleaseService, old: str, make: Callable[..., str], url: str
) -> None:
    new = changes.set_shadow(make("new", reversed=True), service.release_store).shadow
    service.watcher.poll()
    shadow = service.backend.releases.roles.shadow
    assert shadow is not None
    answers = [service.ask(f"user{n}") for n in range(20)]
    assert {answer["model_version"] for answer in answers} == {old}
    changes.set_shadow(None, service.release_store)
    service.watcher.poll()
    rows = shadow_rows(url)
    assert {row["request_id"] for row in rows} == {answer["request_id"] for answer in answers}
    assert {row["model_version"] for row in rows} == {new}
    shown = {answer["request_id"]: [i["item_id"] for i in answer["items"]] for answer in answers}
    assert all(row["items"] == shown[row["request_id"]][::-1] for row in rows)


def shadow_rows(url: str) -> list[dict[str, Any]]:
    store = EventStore(url)
    with store.database.reading("the answers") as connection:
        rows = [dict(row) for row in connection.execute(sa.select(SHADOW_ANSWERS)).mappings()]
    store.close()
    return rows


def test_a_shadow_that_fails_or_falls_behind_is_counted_and_harms_no_request(
    service: ReleaseService, make: Callable[..., str], url: str
) -> None:
    changes.set_shadow(make("bad", fails=True), service.release_store)
    service.watcher.poll()
    shadow = service.backend.releases.roles.shadow
    assert shadow is not None
    for number in range(5):
        assert service.ask(f"user{number}")["items"]
    shadow.close()
    assert all("ZeroDivisionError" in row["error"] for row in shadow_rows(url))
    answer = service.backend.releases.recommend(RecommendRequest(user_id="ann"))
    offered = [shadow.offer(RecommendRequest(user_id="ann"), answer) for _ in range(1_000)]
    assert offered[0]
    assert not offered[-1]
    assert service.ask()["items"]
