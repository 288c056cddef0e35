"""Payloads: strict models of every request body and answer.

A wrong type, an unknown key or a value out of range raises RequestError, which says what was
expected, what was received and what to do; see `parsing`.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from pipeline.contracts.schemas import ID_LENGTH, ID_PATTERN, ID_RULE, is_id

Slot = Literal["repeat", "explore", "popular"]
EventType = Literal["view", "cart", "purchase", "return"]

MAXIMUM_ITEMS = 500
MAXIMUM_BOUGHT_HOURS = 168
MAXIMUM_EVENTS = 1_000
CLOCK_SKEW = timedelta(minutes=5)
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _check_range(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        message = f"expected a moment between {EARLIEST:%Y} and {LATEST:%Y}"
        raise ValueError(message)
    return moment.astimezone(UTC)


def _check_past(moment: datetime) -> datetime:
    if moment > datetime.now(UTC) + CLOCK_SKEW:
        message = "expected a moment that is not in the future"
        raise ValueError(message)
    return moment


def _parse_whole(value: object) -> object:
    """Return 2 for 2.0: JSON knows one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _check_id(text: str) -> str:
    if not is_id(text):
        message = f"an id must {ID_RULE}"
        raise ValueError(message)
    return text


Id = Annotated[
    str,
    AfterValidator(_check_id),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": ID_LENGTH, "pattern": ID_PATTERN}
    ),
]
Moment = Annotated[AwareDatetime, AfterValidator(_check_range)]
PastMoment = Annotated[Moment, AfterValidator(_check_past)]
Amount = Annotated[float, Field(ge=0, le=1e6)]
Whole = Annotated[int, Field(ge=0), BeforeValidator(_parse_whole)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_parse_whole)]


class Payload(BaseModel):
    """A JSON object: unknown keys, wrong types and NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RecommendOptions(Payload):
    """Options of a recommendation that do not depend on the user."""

    k: Positive | None = Field(None, description="How many items; serving.default_k if absent.")
    at: Moment | None = Field(
        None, description="The moment of the request, ISO 8601 with a zone; now if absent."
    )
    store_id: Id | None = Field(None, description="The store in which the shopper shops.")
    explore_slots: Whole | None = Field(
        None, description="How many of the k items are ones never bought before."
    )
    exclude: list[Id] = Field(
        default_factory=list,
        max_length=MAXIMUM_ITEMS,
        description="Items to leave out of the answer.",
    )
    diversity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="At most (1 - diversity) * k items, but at least one, may come from one "
        "category; serving.diversity if absent.",
    )
    distinct_titles: Literal["off", "newcomers", "all"] | None = Field(
        None,
        description="For whom an item never bought must not repeat the title of an item above it; "
        "serving.distinct_titles if absent.",
    )
    bought_hours: float | None = Field(
        None,
        ge=0,
        le=MAXIMUM_BOUGHT_HOURS,
        description="Hours for which bought items are left out, 0 for none; "
        "serving.bought_hours if absent.",
    )


class RecommendRequest(RecommendOptions):
    """Body of POST /recommend."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "2375"},
                {"user_id": "2375", "k": 5, "cart": ["1029743"], "at": "2017-12-04T18:30:00-05:00"},
            ]
        }
    )

    user_id: Id = Field(description="Id of the shopper; unknown shoppers get popular items.")
    cart: list[Id] = Field(
        default_factory=list,
        max_length=MAXIMUM_ITEMS,
        description="Items in the cart, in addition to those of cart events.",
    )
    viewed: list[Id] = Field(
        default_factory=list,
        max_length=MAXIMUM_ITEMS,
        description="Items viewed recently, in addition to those of view events.",
    )
    explain: bool = Field(
        default=False, description="Whether each item also carries its contributions, as numbers."
    )


class RecommendedItem(Payload):
    """One item of an answer."""

    item_id: str
    title: str
    rank: int = Field(description="From 1.")
    score: float = Field(description="Higher is better; comparable within one answer.")
    slot: Slot
    propensity: float = Field(
        1.0,
        description="Probability of the item in its slot given the items above it; 1 if not drawn.",
    )
    reasons: list[str] = Field(description="The most important reasons for the item, in words.")
    contributions: dict[str, float] | None = Field(
        None,
        description="With 'explain' only: what each group of features adds to the score, relative "
        "to the other candidates; the largest first.",
    )


class RecommendAnswer(Payload):
    """Answer to POST /recommend."""

    request_id: str
    model_version: str
    items: list[RecommendedItem]


class Event(Payload):
    """One event in the body of POST /events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "2375", "item_id": "1029743", "event_type": "view"},
                {
                    "user_id": "2375",
                    "item_id": "1029743",
                    "event_type": "purchase",
                    "quantity": 2,
                    "price": 1.99,
                    "basket_id": "b-17",
                    "timestamp": "2017-12-04T18:32:10-05:00",
                    "event_id": "till-4-000123",
                },
            ]
        }
    )

    user_id: Id
    item_id: Id
    event_type: EventType
    timestamp: PastMoment | None = Field(None, description="ISO 8601 with a zone; now if absent.")
    quantity: Amount = Field(1.0, description="Units; a cart event with 0 takes the item out.")
    price: Amount = Field(0.0, description="Unit price paid.")
    discount: Amount = Field(0.0, description="Amount taken off the list price, per line.")
    basket_id: Id | None = Field(None, description="Common id of purchases paid together.")
    session_id: Id | None = None
    store_id: Id | None = None
    event_id: Id | None = Field(
        None, description="Unique id chosen by the client; an event sent again counts once."
    )


class EventsAnswer(Payload):
    """Answer to POST /events, sent after the events are on disk.

    Events of suppressed users are not stored, and count as neither accepted nor duplicate.
    """

    accepted: int = Field(description="New events, now on disk.")
    duplicates: int = Field(description="Events that were stored before.")


class Problem(Payload):
    """What was expected, what was received, and what to do."""

    wanted: str
    received: str
    action: str


class ErrorAnswer(Payload):
    """Answer with a status of 400 or more."""

    error: Problem
