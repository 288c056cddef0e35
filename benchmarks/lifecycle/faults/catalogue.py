"""Every fault with its two strengths, the cause that is right, and its phase."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.lifecycle.faults import data_faults as data
from benchmarks.lifecycle.faults import service_faults as service
from benchmarks.lifecycle.faults.data_faults import Shop
from pipeline.contracts.phases import Phase
from pipeline.monitoring.observe import ProductionTables
from pipeline.monitoring.replay import Replies

Damage = Callable[[Replies, int, int], Replies]


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        name: Name of the fault.
        causes: Names of the causes that are right, one for a single fault.
        phases: Their phases.
        strengths: What is passed for `strong` and for `weak`, which is near the detection limit.
        damage_tables: Damages the data.
        damage_replies: Damages the replies; it gets the number of items and the seed.
        p99_ms: Latency of the service, in milliseconds.
        is_held_back: Whether it was written after the rules of the diagnosis.
    """

    name: str
    causes: tuple[str, ...]
    phases: tuple[Phase, ...]
    strengths: dict[str, dict[str, Any]]
    damage_tables: Callable[..., ProductionTables] | None = None
    damage_replies: Callable[..., Replies] | None = None
    is_slow: bool = False
    is_held_back: bool = False

    def tables(self, shop: Shop, strength: str) -> ProductionTables:
        """Return the damaged tables."""
        if self.damage_tables is None:
            return shop.tables
        return self.damage_tables(shop, **self.strengths[strength])

    def replies(self, replies: Replies, n_items: int, seed: int, strength: str) -> Replies:
        """Return the damaged replies."""
        if self.damage_replies is None:
            return replies
        return self.damage_replies(replies, n_items, seed, **self.strengths[strength])


def _fault(
    name: str, cause: str, phase: Phase, damage: Any, strong: dict[str, Any], weak: dict[str, Any]
) -> Fault:
    return Fault(name, (cause,), (phase,), {"strong": strong, "weak": weak}, damage_tables=damage)


def _service_fault(
    name: str, cause: str, damage: Any, strong: dict[str, Any], weak: dict[str, Any]
) -> Fault:
    strengths = {"strong": strong, "weak": weak}
    return Fault(name, (cause,), ("deployment",), strengths, damage_replies=damage)


def _fail(replies: Replies, _n_items: int, seed: int, share: float) -> Replies:
    return service.fail_calls(replies, seed, share)


def _lose(replies: Replies, _n_items: int, _seed: int, n_lost: int) -> Replies:
    return service.lose_events(replies, n_lost)


price_damage = partial(data.damage_lines, column="price")
quantity_damage = partial(data.damage_lines, column="quantity")
one_store_prices = partial(data.scale_prices, one_store=True)
one_store_clock = partial(data.shift_clock, one_store=True)
one_store_days = partial(data.drop_days, one_store=True)
one_store_users = partial(data.permute_users, one_store=True)
new_baskets = partial(data.repeat_days, new_baskets=True)

SINGLE = (
    _fault("prices in cents", "unit_change", "collection", data.scale_prices,
           {"factor": 100.0}, {"factor": 1.15}),
    _fault("another currency, late", "unit_change", "collection", data.scale_prices,
           {"factor": 0.85, "since": 0.5}, {"factor": 0.85, "since": 0.8}),
    _fault("prices of one store", "unit_change", "collection", one_store_prices,
           {"factor": 100.0}, {"factor": 1.3}),
    _fault("clock", "clock_shift", "collection", data.shift_clock,
           {"hours": 6.0}, {"hours": 1.0}),
    _fault("clock, late", "clock_shift", "collection", data.shift_clock,
           {"hours": -5.0, "since": 0.5}, {"hours": -1.0, "since": 0.75}),
    _fault("clock of one store", "clock_shift", "collection", one_store_clock,
           {"hours": 6.0}, {"hours": 3.0}),
    _fault("missing days", "missing_days", "collection", data.drop_days,
           {"n_days": 7}, {"n_days": 2}),
    _fault("missing days of one store", "missing_days", "collection", one_store_days,
           {"n_days": 24}, {"n_days": 12}),
    _fault("late data", "late_data", "collection", data.delay_data,
           {"n_days": 5}, {"n_days": 2}),
    _fault("days loaded twice", "repeated_lines", "collection", data.repeat_days,
           {"n_days": 7}, {"n_days": 1}),
    _fault("days loaded twice, new baskets", "repeated_lines", "collection", new_baskets,
           {"n_days": 7}, {"n_days": 1}),
    _fault("no prices", "damaged_lines", "collection", price_damage,
           {"value": 0.0, "n_days": 5, "share": 1.0}, {"value": 0.0, "n_days": 3, "share": 0.3}),
    _fault("one price", "damaged_lines", "collection", price_damage,
           {"value": 1.0, "n_days": 5, "share": 1.0}, {"value": 1.0, "n_days": 2, "share": 0.7}),
    _fault("quantities", "damaged_lines", "collection", quantity_damage,
           {"value": 99.0, "n_days": 7, "share": 0.5}, {"value": 99.0, "n_days": 4, "share": 0.2}),
    _fault("bots", "bot_traffic", "collection", data.add_bots,
           {"n_bots": 5, "n_lines": 3000}, {"n_bots": 1, "n_lines": 1800}),
    _fault("items with a prefix", "items_remapped", "collection", data.prefix_items,
           {"share": 1.0}, {"share": 0.1}),
    _fault("items under new ids", "items_remapped", "collection", data.hash_items,
           {"share": 0.5}, {"share": 0.1}),
    _fault("items of a department swapped", "items_remapped", "collection", data.swap_items,
           {"department": "GROCERY"}, {"department": "PRODUCE"}),
    _fault("users mixed up", "users_remapped", "collection", data.permute_users,
           {"share": 1.0}, {"share": 0.15}),
    _fault("users of one store mixed up", "users_remapped", "collection", one_store_users,
           {"share": 1.0}, {"share": 0.8}),
    _fault("baskets lost", "thin_data", "collection", data.lose_baskets,
           {"share": 0.6}, {"share": 0.3}),
    _fault("lines lost", "thin_data", "collection", data.lose_lines,
           {"share": 0.5}, {"share": 0.3}),
    _fault("labels misjoined", "labels_misjoined", "labeling", data.misjoin_labels,
           {"share": 1.0}, {"share": 0.05}),
    _fault("label noise", "label_noise", "labeling", data.add_label_noise,
           {"share": 0.4}, {"share": 0.05}),
    _fault("labels left out", "labels_missing", "labeling", data.drop_labels,
           {"share": 0.6}, {"share": 0.3}),
    _service_fault("another vocabulary", "wrong_model", service.permute_vocabulary,
                   {"share": 1.0}, {"share": 0.8}),
    _service_fault("damaged model", "wrong_model", service.randomise_scores,
                   {"share": 1.0}, {"share": 0.8}),
    _service_fault("failing calls", "service_failure", _fail, {"share": 0.1}, {"share": 0.005}),
    _service_fault("lost events", "service_failure", _lose, {"n_lost": 5000}, {"n_lost": 1}),
)  # fmt: skip
