"""Model runtime: a loaded bundle that turns requests into ranked items with titles and reasons."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from pipeline.contracts.params import ServingParams
from pipeline.recommenders.base.recommender import SLOTS, Ranked, Why
from pipeline.recommenders.base.requests import Requests, join
from pipeline.serving.engine.answer_cache import (
    AnswerCache,
    CachedAnswer,
    CachePolicy,
    NotCachedError,
)
from pipeline.serving.engine.model_bundle import ModelBundle
from pipeline.serving.explanations.catalogue import Catalogue, build_catalogue
from pipeline.serving.explanations.reasons import ReasonBuilder
from pipeline.serving.observability.metrics import metrics
from pipeline.serving.parsing import RequestLimits
from pipeline.serving.payloads import RecommendedItem, RecommendRequest, Slot
from pipeline.serving.reranking.exploration import build_sampling
from pipeline.serving.reranking.reranker import Rank, RerankedLists, Reranker
from pipeline.serving.reranking.rules import RerankingRules
from pipeline.serving.user_state.recent_events import RecentEvents
from pipeline.serving.user_state.request_builder import RequestBuilder, RequestContext

N_WARM_UP = 3


@dataclass(frozen=True)
class PreparedRequest:
    """A request in the model's terms.

    Attributes:
        query: The request as received.
        context: Everything that the model's answer depends on.
        rules: Rules that select the items from the ranked lists.
        builder: Builds the model's input from the context.
    """

    query: RecommendRequest
    context: RequestContext
    rules: RerankingRules
    builder: RequestBuilder

    @cached_property
    def requests(self) -> Requests:
        """The model's input: a batch of one."""
        return self.builder.build(self.context)


class ModelRuntime:
    """Answers from one bundle and the recent events; it writes nothing to the store."""

    def __init__(
        self, bundle: ModelBundle, recent_events: RecentEvents, params: ServingParams
    ) -> None:
        """Compute what does not change between requests.

        Args:
            bundle: Loaded model bundle.
            recent_events: Events since the bundle's `as_of`.
            params: Section `serving` of params.yaml.
        """
        self.version = bundle.manifest.version
        self.vocabulary = bundle.recommender.vocabulary
        self.as_of = bundle.manifest.as_of_moment
        self.histories = bundle.histories
        self.limits = RequestLimits(params.default_k, params.maximum_k, params.explore_slots)
        self.builder = RequestBuilder(
            bundle.histories,
            bundle.attributes,
            recent_events,
            timezone=bundle.manifest.timezone,
            cart_hours=params.cart_hours,
            viewed_minutes=params.viewed_minutes,
        )
        self.catalogue: Catalogue = build_catalogue(
            bundle.items, bundle.histories, as_of=self.as_of
        )
        self.cache = AnswerCache(minutes=params.keep_minutes, maximum_users=params.keep_shoppers)
        self._recommender = bundle.recommender
        self._params = params
        self._reranker = Reranker(
            self.catalogue.category_code.tolist(),
            build_sampling(params),
            self.catalogue.title_code.tolist(),
        )

    def warm_up(self, user_ids: Sequence[str]) -> None:
        """Answer a few requests, so that the graph is traced before the first real one."""
        for user_id in (*user_ids[:N_WARM_UP], ""):
            for k in (1, self.limits.default_k, self.limits.maximum_k):
                query = RecommendRequest.model_construct(user_id=user_id, k=k, at=self.as_of)
                self.rank_batch([self.prepare(query, 0.0, frozenset())], [""])

    def prepare(
        self, query: RecommendRequest, now: float, unavailable: AbstractSet[int]
    ) -> PreparedRequest:
        """Return a request in the model's terms.

        Args:
            query: The request as received.
            now: Seconds since 1970; used if the request does not set `at`.
            unavailable: Indices of unavailable items.

        Raises:
            RequestError: The request exceeds a limit of params.yaml.
        """
        if query.at is None:
            moment = self.builder.moment(query.user_id, now)
        else:
            moment = query.at.timestamp()
        context = self.builder.build_context(
            query.user_id,
            moment,
            cart=self.vocabulary.encode(query.cart).tolist() if query.cart else (),
            viewed=self.vocabulary.encode(query.viewed).tolist() if query.viewed else (),
            store_id=query.store_id,
        )
        return PreparedRequest(
            query, context, self._build_rules(query, context, unavailable), self.builder
        )

    def _build_rules(
        self, query: RecommendRequest, context: RequestContext, unavailable: AbstractSet[int]
    ) -> RerankingRules:
        k, explore_slots = self.limits.resolve(query)
        params = self._params
        hours = params.bought_hours if query.bought_hours is None else query.bought_hours
        blocked = unavailable | self.builder.items_bought(context, hours)
        if query.exclude:
            blocked = blocked | set(self.vocabulary.encode(query.exclude).tolist())
        return RerankingRules(
            k,
            explore_slots,
            blocked,
            diversity=params.diversity if query.diversity is None else query.diversity,
            distinct_titles=query.distinct_titles or params.distinct_titles,
            is_new=not self.builder.has_bought(context),
        )

    def rank_batch(
        self,
        requests: Sequence[PreparedRequest],
        request_ids: Sequence[str],
        *,
        explain: bool = True,
    ) -> RerankedLists:
        """Return the items of several requests, from one call of the model.

        Args:
            requests: [n] requests, n at least 1.
            request_ids: [n] seeds of exploration.
            explain: Whether the lists can be explained.
        """
        rules = [request.rules for request in requests]
        return self._reranker.rerank(
            self._build_rank(requests, explain=explain), rules, request_ids
        )

    def rank(
        self, request: PreparedRequest, request_id: str, source: CachePolicy
    ) -> tuple[RerankedLists, CachedAnswer]:
        """Return the items of one request, and the model's answer that they come from.

        Args:
            request: The request.
            request_id: Seed of exploration.
            source: Where the ranked lists may come from.

        Raises:
            NotCachedError: `source` is CACHE_ONLY and the cache has no valid answer.
        """
        answer: CachedAnswer | None = None

        def rank(width: int) -> tuple[Ranked, Why]:
            nonlocal answer
            answer = None
            if source is not CachePolicy.MODEL_ONLY and request.query.at is None:
                answer = self.cache.get(request.context, width)
            if source is CachePolicy.CACHE_ONLY and answer is None:
                raise NotCachedError
            metrics().cache_lookups.labels(found="no" if answer is None else "yes").inc()
            if answer is None:
                ranked, why = self._recommender.rank_explained(request.requests, width)
                answer = CachedAnswer(request.query, request.context, width, ranked, why)
                self.cache.put(answer)
            return answer.ranked, answer.why

        lists = self._reranker.rerank(rank, [request.rules], [request_id])
        assert answer is not None
        return lists, answer

    def _build_rank(self, prepared: Sequence[PreparedRequest], *, explain: bool) -> Rank:
        requests = join([request.requests for request in prepared])

        def rank(width: int) -> tuple[Ranked, Why | None]:
            if explain:
                return self._recommender.rank_explained(requests, width)
            return self._recommender.rank(requests, width), None

        return rank

    def build_items(
        self,
        request: PreparedRequest,
        lists: RerankedLists,
        row: int = 0,
        *,
        contributions: bool = False,
        reasons: dict[int, list[str]] | None = None,
    ) -> list[RecommendedItem]:
        """Return the items of one request, with reasons if the lists can be explained.

        Args:
            request: The request in that row.
            lists: Selected items of all requests.
            row: Row of the request, from 0.
            contributions: Whether items carry the numbers behind the reasons.
            reasons: Reasons by position in the concatenated lists; missing ones are added.
        """
        known = {} if reasons is None else reasons
        items = []
        pairs = zip(lists.chosen[row], lists.scores[row], strict=True)
        for index, (choice, score) in enumerate(pairs):
            why: dict[str, float] = {}
            if lists.why is not None and (contributions or choice.position not in known):
                why, facts = lists.explanations.of(row, index)
                builder = ReasonBuilder(request.requests, self.catalogue)
                built = builder.build(choice.item, why, facts)
                known[choice.position] = [reason.text for reason in built]
            items.append(
                RecommendedItem.model_construct(
                    item_id=self.catalogue.ids[choice.item],
                    title=self.catalogue.titles[choice.item],
                    rank=index + 1,
                    score=score,
                    slot=cast("Slot", SLOTS[choice.slot]),
                    propensity=choice.propensity,
                    reasons=known.get(choice.position, []),
                    contributions=_round_contributions(why) if contributions else None,
                )
            )
        return items


def _round_contributions(why: Mapping[str, float]) -> dict[str, float]:
    """Return the contributions that do not round to 0, the largest first."""
    rounded = {group: round(value, 6) for group, value in why.items()}
    ordered = sorted(rounded.items(), key=lambda pair: -pair[1])
    return {group: value for group, value in ordered if value}
