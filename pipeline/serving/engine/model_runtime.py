"""A loaded bundle that answers: requests in the model's terms, shelves in people's terms."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol, cast
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.contracts.params import ServingParams
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.recommender import SLOTS, Ranked, Recommender, Why
from pipeline.recommenders.base.requests import Requests, join
from pipeline.serving.engine.answer_cache import (
    AnswerCache,
    CachedAnswer,
    CachePolicy,
    NotCachedError,
)
from pipeline.serving.explanations.catalogue import Catalogue, build_catalogue
from pipeline.serving.explanations.reasons import Reasons
from pipeline.serving.observability.metrics import metrics
from pipeline.serving.payloads import Limits, RecommendedItem, RecommendRequest, Slot
from pipeline.serving.reranking.exploration import sampling_of
from pipeline.serving.reranking.reranker import Rank, RerankedLists, Reranker
from pipeline.serving.reranking.rules import RerankingRules
from pipeline.serving.user_state.recent_events import RecentEvents
from pipeline.serving.user_state.request_builder import RequestBuilder, RequestContext

N_WARM_UP = 3


class ModelBundle(Protocol):
    """What serving needs of `pipeline.bundles.bundle.Bundle`."""

    @property
    def manifest(self) -> dict[str, Any]:
        """Version, model, as_of, timezone."""
        ...

    @property
    def recommender(self) -> Recommender:
        """The fitted method."""
        ...

    @property
    def histories(self) -> Histories:
        """All purchases before as_of."""
        ...

    @property
    def attributes(self) -> pd.DataFrame:
        """Codes, indexed by user_id."""
        ...

    @property
    def items(self) -> pd.DataFrame:
        """What people are shown of items."""
        ...


@dataclass(frozen=True)
class PreparedRequest:
    """A request in the model's terms.

    Attributes:
        query: As it came.
        situation: What the model's answer depends on.
        rules: What the shelf must keep to.
        builder: Makes the request of the situation.
    """

    query: RecommendRequest
    situation: RequestContext
    rules: RerankingRules
    builder: RequestBuilder

    @cached_property
    def requests(self) -> Requests:
        """A batch of one."""
        return self.builder.requests(self.situation)


class ModelRuntime:
    """Answers from one bundle and what came in since; it stores nothing."""

    def __init__(self, bundle: ModelBundle, overlay: RecentEvents, params: ServingParams) -> None:
        """Prepare what does not change between requests.

        Args:
            bundle: The model and what it knows.
            overlay: What shoppers did since.
            params: Limits, and how explore slots are filled.
        """
        self.version = str(bundle.manifest["version"])
        self.vocabulary = bundle.recommender.vocabulary
        self.as_of = as_of_moment(bundle.manifest)
        self.histories = bundle.histories
        self.limits = Limits(params.default_k, params.maximum_k, params.explore_slots)
        self.builder = RequestBuilder(
            bundle.histories,
            bundle.attributes,
            overlay,
            timezone=str(bundle.manifest["timezone"]),
            cart_hours=params.cart_hours,
            viewed_minutes=params.viewed_minutes,
        )
        self.catalogue: Catalogue = build_catalogue(
            bundle.items, bundle.histories, as_of=self.as_of
        )
        self.kept = AnswerCache(minutes=params.keep_minutes, shoppers=params.keep_shoppers)
        self._recommender = bundle.recommender
        self._params = params
        self._arranger = Reranker(
            self.catalogue.group_code.tolist(),
            sampling_of(params),
            self.catalogue.title_code.tolist(),
        )

    def warm_up(self, user_ids: Sequence[str]) -> None:
        """Let the graph trace and allocate before the first shopper waits for it."""
        for user_id in (*user_ids[:N_WARM_UP], ""):
            for k in (1, self.limits.default_k, self.limits.maximum_k):
                query = RecommendRequest.model_construct(user_id=user_id, k=k, at=self.as_of)
                self.shelves([self.ask(query, 0.0, frozenset())], [""])

    def ask(
        self, query: RecommendRequest, now: float, unavailable: AbstractSet[int]
    ) -> PreparedRequest:
        """Return a request in the model's terms.

        Args:
            query: What came.
            now: Seconds since 1970, for a request that says no moment of its own.
            unavailable: Item indices that cannot be bought.

        Raises:
            RequestError: It asks for more than params.yaml allows.
        """
        if query.at is None:
            moment = self.builder.moment(query.user_id, now)
        else:
            moment = query.at.timestamp()
        situation = self.builder.situation(
            query.user_id,
            moment,
            cart=self.vocabulary.encode(query.cart).tolist() if query.cart else (),
            viewed=self.vocabulary.encode(query.viewed).tolist() if query.viewed else (),
            store_id=query.store_id,
        )
        return PreparedRequest(
            query, situation, self._rules(query, situation, unavailable), self.builder
        )

    def _rules(
        self, query: RecommendRequest, situation: RequestContext, unavailable: AbstractSet[int]
    ) -> RerankingRules:
        k, explore_slots = self.limits.resolve(query)
        params = self._params
        hours = params.bought_hours if query.bought_hours is None else query.bought_hours
        blocked = unavailable | self.builder.bought(situation, hours)
        if query.exclude:
            blocked = blocked | set(self.vocabulary.encode(query.exclude).tolist())
        return RerankingRules(
            k,
            explore_slots,
            blocked,
            diversity=params.diversity if query.diversity is None else query.diversity,
            distinct_titles=query.distinct_titles or params.distinct_titles,
            is_new=not self.builder.has_bought(situation),
        )

    def shelves(
        self, asked: Sequence[PreparedRequest], request_ids: Sequence[str], *, explain: bool = True
    ) -> RerankedLists:
        """Return the shelves of at least one request, by one call of the model.

        Args:
            asked: [n].
            request_ids: [n] what chance is drawn from.
            explain: Whether reasons will be told.
        """
        rules = [each.rules for each in asked]
        return self._arranger.arrange(self._rank(asked, explain=explain), rules, request_ids)

    def shelf(
        self, asked: PreparedRequest, request_id: str, source: CachePolicy
    ) -> tuple[RerankedLists, CachedAnswer]:
        """Return the shelf of one request, and what the model said.

        Args:
            asked: The request.
            request_id: What chance is drawn from.
            source: Of what the model says.

        Raises:
            NotKeptError: Nothing that holds is kept, and the model is not the source.
        """
        said: CachedAnswer | None = None

        def rank(width: int) -> tuple[Ranked, Why]:
            nonlocal said
            said = None
            if source is not CachePolicy.MODEL and asked.query.at is None:
                said = self.kept.find(asked.situation, width)
            if source is CachePolicy.KEPT and said is None:
                raise NotCachedError
            metrics().kept.labels(found="no" if said is None else "yes").inc()
            if said is None:
                ranked, why = self._recommender.rank_explained(asked.requests, width)
                said = CachedAnswer(asked.query, asked.situation, width, ranked, why)
                self.kept.put(said)
            return said.ranked, said.why

        shelves = self._arranger.arrange(rank, [asked.rules], [request_id])
        assert said is not None
        return shelves, said

    def _rank(self, asked: Sequence[PreparedRequest], *, explain: bool) -> Rank:
        requests = join([each.requests for each in asked])

        def rank(width: int) -> tuple[Ranked, Why | None]:
            if explain:
                return self._recommender.rank_explained(requests, width)
            return self._recommender.rank(requests, width), None

        return rank

    def items(
        self,
        asked: PreparedRequest,
        shelves: RerankedLists,
        row: int = 0,
        *,
        contributions: bool = False,
        told: dict[int, list[str]] | None = None,
    ) -> list[RecommendedItem]:
        """Return the items of one shelf, with reasons if the shelves are explained.

        Args:
            asked: The request in that row.
            shelves: Of all requests.
            row: From 0.
            contributions: Whether the numbers behind the reasons are told too.
            told: Reasons that are known already, by place; those that are not are put in.
        """
        known = {} if told is None else told
        items = []
        pairs = zip(shelves.chosen[row], shelves.scores[row], strict=True)
        for at, (choice, score) in enumerate(pairs):
            why: dict[str, float] = {}
            if shelves.why is not None and (contributions or choice.place not in known):
                why, facts = shelves.explanations.of(row, at)
                reasons = Reasons(asked.requests, self.catalogue).of(choice.item, why, facts)
                known[choice.place] = [reason.text for reason in reasons]
            items.append(
                RecommendedItem.model_construct(
                    item_id=self.catalogue.ids[choice.item],
                    title=self.catalogue.titles[choice.item],
                    rank=at + 1,
                    score=score,
                    slot=cast("Slot", SLOTS[choice.slot]),
                    propensity=choice.propensity,
                    reasons=known.get(choice.place, []),
                    contributions=_told(why) if contributions else None,
                )
            )
        return items


def _told(why: Mapping[str, float]) -> dict[str, float]:
    """Return the contributions that are not nothing, the largest first."""
    rounded = {group: round(added, 6) for group, added in why.items()}
    ordered = sorted(rounded.items(), key=lambda pair: -pair[1])
    return {group: added for group, added in ordered if added}


def as_of_moment(manifest: dict[str, Any]) -> datetime:
    """Return the first moment that the bundle does not know, in the shop's time zone.

    >>> as_of_moment({"as_of": "2017-12-04", "timezone": "America/New_York"}).isoformat()
    '2017-12-04T00:00:00-05:00'
    >>> as_of_moment({"as_of": "2017-12-04T05:00:00+00:00", "timezone": "UTC"}).isoformat()
    '2017-12-04T05:00:00+00:00'
    """
    moment = datetime.fromisoformat(str(manifest["as_of"]))
    zone = zone_of(manifest)
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def zone_of(manifest: dict[str, Any]) -> ZoneInfo:
    """Return the time zone of the shop that a bundle was made for."""
    return ZoneInfo(str(manifest["timezone"]))
