"""Faults of the service: each returns the replies as a damaged service would have given them."""

from dataclasses import replace

import numpy as np

from pipeline.monitoring.replay import Replies
from pipeline.recommenders.base.recommender import Recommendations


def permute_vocabulary(replies: Replies, n_items: int, seed: int, share: float) -> Replies:
    """A share of the answers by a bundle with another vocabulary."""
    random = np.random.default_rng(seed)
    names = np.concatenate([[0], 1 + random.permutation(n_items - 1)]).astype(np.int32)
    served = replies.served
    chosen = random.random(len(served.items)) < share
    items = np.where(chosen[:, None], names[served.items], served.items)
    return replace(replies, served=Recommendations(items, served.scores, served.slots))


def randomise_scores(replies: Replies, n_items: int, seed: int, share: float) -> Replies:
    """A share of the answers by a damaged model: random items and random scores."""
    random = np.random.default_rng(seed)
    served = replies.served
    is_filled = served.items > 0
    chosen = is_filled & (random.random(len(served.items)) < share)[:, None]
    items = random.integers(1, n_items, served.items.shape, dtype=np.int32)
    scores = random.normal(size=served.scores.shape).astype(np.float32)
    return replace(
        replies,
        served=Recommendations(
            items=np.where(chosen, items, served.items).astype(np.int32),
            scores=np.where(chosen, scores, served.scores).astype(np.float32),
            slots=served.slots,
        ),
    )


def fail_calls(replies: Replies, seed: int, share: float) -> Replies:
    """A share of the calls whose first attempt fails."""
    failed = int((np.random.default_rng(seed).random(replies.calls.n) < share).sum())
    calls = replace(replies.calls, n_failed_first=failed, n_failed_attempts=failed)
    return replace(replies, calls=calls)


def lose_events(replies: Replies, n_lost: int) -> Replies:
    """Events that the service did not accept."""
    return replace(replies, n_lost_events=n_lost)
