"""The canary: who gets it, and what stops it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.release_service import ReleaseService


def test_a_canary_answers_its_share_and_always_the_same_users(
    service: ReleaseService, old: str, make: Callable[..., str]
) -> None:
    new = service.start_canary(make("new"), share=0.2)
    sides = {user: service.ask(user)["model_version"] for user in map(str, range(300))}
    assert set(sides.values()) == {old, new}
    assert all(service.ask(user)["model_version"] == side for user, side in sides.items())
    share = sum(side == new for side in sides.values()) / len(sides)
    assert 0.1 < share < 0.3  # 0.2 with four standard deviations
    assert service.backend.releases.engine_for("17").version == sides["17"]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [({"fails": True}, "errors"), ({"seconds": 0.02}, "latency"), ({"reversed": True}, "hits")],
)
def test_a_canary_that_is_worse_is_stopped_and_the_champion_answers_all(
    service: ReleaseService,
    old: str,
    make: Callable[..., str],
    behaviour: dict[str, Any],
    reason: str,
) -> None:
    service.start_canary(make("bad", **behaviour))
    service.send_traffic()
    assert service.stop_reason() == reason
    assert {service.ask(f"user{n}")["model_version"] for n in range(40)} == {old}


def test_a_canary_that_is_no_worse_goes_on(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    service.start_canary(make("good"))
    service.send_traffic()
    assert service.stop_reason() is None


def test_nobody_gets_an_error_of_a_canary(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    service.start_canary(make("bad", fails=True))
    answers = [service.ask(f"user{n}") for n in range(50)]
    assert all(answer["items"] for answer in answers)


def test_a_canary_is_not_judged_before_its_minimum_of_requests(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    service.start_canary(make("bad", fails=True), minimum_requests=10_000)
    service.send_traffic(100)
    assert service.stop_reason() is None


def test_answers_that_are_overdue_stop_a_canary_at_once(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    service.start_canary(make("bad", seconds=61.0))
    canary = service.backend.releases.roles.canary
    assert canary is not None
    in_canary = [user for user in map(str, range(20)) if canary.is_canary(user)][:3]
    for user in in_canary:
        service.ask(user)
    service.watcher.poll()
    assert service.stop_reason() == "latency"


def test_a_canary_that_was_stopped_can_be_started_again(
    service: ReleaseService, make: Callable[..., str]
) -> None:
    bad = make("bad", fails=True)
    service.start_canary(bad)
    service.send_traffic()
    assert service.stop_reason() == "errors"
    service.start_canary(bad)
    assert service.backend.releases.roles.canary is not None
