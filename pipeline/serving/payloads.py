"""What goes over the wire: strict models of every request body and answer.

A wrong type, an unknown key or a value out of range is refused with one sentence that says what was
wanted, what came and what to do. Limits that params.yaml sets are checked by `Limits`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from pipeline.contracts.errors import RequestError
from pipeline.contracts.schemas import ID_LENGTH, ID_PATTERN, ID_RULE, is_id

Slot = Literal["repeat", "explore", "popular"]
EventType = Literal["view", "cart", "purchase", "return"]

MAXIMUM_ITEMS = 500
MAXIMUM_BOUGHT_HOURS = 168
MAXIMUM_EVENTS = 1_000
NAME_LENGTH = 60  # of an unknown key, in the answer that refuses it
CLOCK_SKEW = timedelta(minutes=5)
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
T = TypeVar("T")


def _in_range(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        message = f"expected a moment between {EARLIEST:%Y} and {LATEST:%Y}"
        raise ValueError(message)
    return moment.astimezone(UTC)


def _not_in_the_future(moment: datetime) -> datetime:
    if moment > datetime.now(UTC) + CLOCK_SKEW:
        message = "expected a moment that is not in the future"
        raise ValueError(message)
    return moment


def _whole(value: object) -> object:
    """Return 2 for 2.0: JSON knows one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _id(text: str) -> str:
    if not is_id(text):
        message = f"an id must {ID_RULE}"
        raise ValueError(message)
    return text


Id = Annotated[
    str,
    AfterValidator(_id),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": ID_LENGTH, "pattern": ID_PATTERN}
    ),
]
Moment = Annotated[AwareDatetime, AfterValidator(_in_range)]
PastMoment = Annotated[Moment, AfterValidator(_not_in_the_future)]
Amount = Annotated[float, Field(ge=0, le=1e6)]
Whole = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_whole)]


class Payload(BaseModel):
    """A JSON object: unknown keys, wrong types and NaN are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RecommendOptions(Payload):
    """What a shelf shall be like, whoever it is for."""

    k: Positive | None = Field(None, description="How many items; serving.default_k if absent.")
    at: Moment | None = Field(
        None, description="The moment of the request, ISO 8601 with a zone; now if absent."
    )
    store_id: Id | None = Field(None, description="Where the shopper shops.")
    explore_slots: Whole | None = Field(
        None, description="How many of the k are for items never bought before."
    )
    exclude: list[Id] = Field(
        default_factory=list,
        max_length=MAXIMUM_ITEMS,
        description="Items that must not be in the answer.",
    )
    diversity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="At most (1 - diversity) of the k come from one category, and at least one "
        "may; serving.diversity if absent.",
    )
    distinct_titles: Literal["off", "newcomers", "all"] | None = Field(
        None,
        description="On whose shelves no item that was never bought reads like one above it; "
        "serving.distinct_titles if absent.",
    )
    bought_hours: float | None = Field(
        None,
        ge=0,
        le=MAXIMUM_BOUGHT_HOURS,
        description="How long what was bought is not offered again; serving.bought_hours if "
        "absent, 0: it may come back at once.",
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

    user_id: Id = Field(description="Who; a shopper that is not known gets what is popular.")
    cart: list[Id] = Field(
        default_factory=list,
        max_length=MAXIMUM_ITEMS,
        description="Items in the cart, on top of those told by cart events.",
    )
    viewed: list[Id] = Field(
        default_factory=list,
        max_length=MAXIMUM_ITEMS,
        description="Items just looked at, on top of those told by view events.",
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
        description="Probability of the item in its place, given those above it; 1 if not drawn.",
    )
    reasons: list[str] = Field(description="What counted most for the item, in words.")
    contributions: dict[str, float] | None = Field(
        None,
        description="With 'explain' only: what each kind of knowledge adds to the score, compared "
        "with the other items to choose from; the largest first.",
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
    discount: Amount = Field(0.0, description="Taken off the shelf price, per line.")
    basket_id: Id | None = Field(None, description="Purchases paid together.")
    session_id: Id | None = None
    store_id: Id | None = None
    event_id: Id | None = Field(
        None, description="Your own unique id; sent again, the event is counted once."
    )


class EventsAnswer(Payload):
    """Answer to POST /events, given after the events are on disk.

    Events of people who asked to be forgotten are not kept, and count as neither.
    """

    accepted: int = Field(description="New events, now on disk.")
    duplicates: int = Field(description="Events that were there already.")


class Problem(Payload):
    """What was wanted, what came, and what to do."""

    wanted: str
    received: str
    action: str


class ErrorAnswer(Payload):
    """Every answer with a status of 400 or more."""

    error: Problem


_RECOMMEND = TypeAdapter(RecommendRequest)
_EVENT = TypeAdapter(Event)
_EVENTS = TypeAdapter(Annotated[list[Event], Field(min_length=1, max_length=MAXIMUM_EVENTS)])


@dataclass(frozen=True)
class Limits:
    """What params.yaml allows a request to ask for."""

    default_k: int
    maximum_k: int
    explore_slots: int

    def size(self, k: int | None) -> int:
        """Return how many items are meant by `k`.

        Raises:
            RequestError: More than `maximum_k`.
        """
        size = self.default_k if k is None else k
        if size > self.maximum_k:
            raise RequestError(
                f"'k' of at most {self.maximum_k}",
                received=f"{size}",
                action="Ask for fewer items.",
            )
        return size

    def resolve(self, request: RecommendRequest) -> tuple[int, int]:
        """Return k and the number of explore slots.

        Raises:
            RequestError: More items than `maximum_k`, or more explore slots than items.
        """
        k = self.size(request.k)
        explore = min(self.explore_slots, k)
        explore = explore if request.explore_slots is None else request.explore_slots
        if explore > k:
            raise RequestError(
                f"'explore_slots' of at most k = {k}",
                received=f"{explore}",
                action="Ask for fewer explore slots or more items.",
            )
        return k, explore


def parse_recommend(body: bytes) -> RecommendRequest:
    """Return the request in `body`.

    Raises:
        RequestError: It is not JSON, or not such a request.
    """
    return parse(_RECOMMEND, body)


def parse_events(body: bytes) -> list[Event]:
    """Return the events in `body`, which holds one or a list of them.

    Raises:
        RequestError: It is not JSON, or not such events.
    """
    return parse_one_or_more(_EVENT, _EVENTS, body)


def parse_one_or_more(one: TypeAdapter[T], more: TypeAdapter[list[T]], body: bytes) -> list[T]:
    """Return the objects in `body`, which holds one or a list of them.

    Raises:
        RequestError: It is not JSON, or not such objects.
    """
    if body.lstrip()[:1] == b"[":
        return parse(more, body)
    return [parse(one, body)]


def parse(adapter: TypeAdapter[T], body: bytes) -> T:
    """Return what is in `body`.

    Raises:
        RequestError: It is not JSON, or not what was wanted.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise RequestError(
            "a JSON body as described in /docs.json",
            received=describe(error),
            action="Correct these values and send it again.",
        ) from error


def describe(error: ValidationError, *, limit: int = 5) -> str:
    """Return the first `limit` faults in one line, without echoing long input."""
    faults = [
        f"{'.'.join(str(part)[:NAME_LENGTH] for part in item['loc']) or 'body'}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False)[:limit]
    ]
    more = error.error_count() - limit
    return "; ".join([*faults, f"and {more} more"] if more > 0 else faults)
