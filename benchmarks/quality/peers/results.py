"""From values per request to means, intervals and paired differences."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality.peers.compare import PAIRED, against_reference, claims
from benchmarks.quality.peers.run import LEVELS
from pipeline.contracts.params import Params
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.testing.measure import summarise_values
from pipeline.testing.protocols import TITLES

Doubles = npt.NDArray[np.float64]
CUTOFFS = ("2017-10-09", "2017-11-06", "2017-12-04")
DIGITS = 6


@dataclass(frozen=True)
class Cell:
    """A method at a cut-off.

    Attributes:
        values: One per request, by (protocol, level) and metric.
        users: Code of each request's user, by protocol.
        cost: Seconds and memory.
    """

    values: dict[tuple[str, str], dict[str, Doubles]]
    users: dict[str, npt.NDArray[np.int64]]
    cost: dict[str, Any]


def read_cell(folder: Path) -> Cell:
    """Return what `benchmarks.quality.peers.run` wrote to `folder`."""
    values: dict[tuple[str, str], dict[str, Doubles]] = {}
    users = {}
    with np.load(folder / "values.npz", allow_pickle=False) as arrays:
        for name in arrays.files:
            protocol, level, metric = name.split("/")
            if level == "users":
                users[protocol] = arrays[name]
            else:
                values.setdefault((protocol, level), {})[metric] = arrays[name]
    return Cell(values, users, json.loads((folder / "cost.json").read_text(encoding="utf-8")))


def summarise(
    cells: Mapping[tuple[str, str], Cell], default: str, params: Params
) -> dict[str, Any]:
    """Return methods, paired differences, claims and the comparison with the reference.

    Args:
        cells: By method and day.
        default: Whose lead is computed, where it was measured.
        params: For the bootstrap.
    """
    methods: dict[str, Any] = {}
    paired: dict[str, Any] = {}
    days = sorted({day for _, day in cells})
    for day in days:
        here = {name: cell for (name, at), cell in cells.items() if at == day}
        for protocol in TITLES:
            bootstrap = _bootstrap(here, protocol, params)
            for name, cell in here.items():
                entry = methods.setdefault(name, {}).setdefault(protocol, {})
                entry[day] = _summary(cell, protocol, bootstrap)
            if default in here:
                for name, cell in here.items():
                    if name != default:
                        found = _lead(here[default], cell, protocol, bootstrap)
                        paired.setdefault(name, {}).setdefault(protocol, {})[day] = found
    for name in methods:
        methods[name] |= costs([cell.cost for (at, _), cell in cells.items() if at == name])
    return {
        "methods": methods,
        "paired": paired,
        "claims": claims(paired, CUTOFFS),
        "reference": against_reference(methods),
    }


def with_earlier(result: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with the methods of an earlier one that were not measured again.

    Each of those says at which commit it was measured, and so do its differences: they are to the
    default as it then was. A verdict needs every cut-off, as always.

    Args:
        result: From `summarise`.
        earlier: The contents of quality.json.
    """
    kept = [name for name in earlier["methods"] if name not in result["methods"]]
    commits = {name: earlier["methods"][name].get("commit", earlier["commit"]) for name in kept}
    methods = {name: earlier["methods"][name] | {"commit": commits[name]} for name in kept}
    paired = {name: earlier["paired"][name] for name in kept if name in earlier["paired"]}
    every = {**result["paired"], **paired}
    return {
        **result,
        "methods": {**result["methods"], **methods},
        "paired": every,
        "claims": claims(every, CUTOFFS),
        "reference": against_reference({**result["methods"], **methods}),
    }


def _bootstrap(here: Mapping[str, Cell], protocol: str, params: Params) -> Bootstrap:
    """Return the resampled users that all methods share."""
    users = [cell.users[protocol] for cell in here.values()]
    if not all(np.array_equal(users[0], each) for each in users):
        raise SystemExit(f"Methods were asked different {protocol} questions: empty --scratch.")
    testing = params.testing
    found = Bootstrap.of(users[0], testing.bootstrap_samples, testing.confidence, params.shop.seed)
    return Bootstrap(found.user, found.weights.astype(np.float64), found.confidence)


def _summary(cell: Cell, protocol: str, bootstrap: Bootstrap) -> dict[str, Any]:
    product, product_type = (
        _rounded(summarise_values(cell.values[protocol, level], bootstrap).model_dump(mode="json"))
        for level in LEVELS
    )
    return {
        **product,
        "product_type": product_type,
        "n_requests": len(bootstrap.user),
        "n_users": int(bootstrap.weights.shape[1]),
    }


def _lead(ours: Cell, theirs: Cell, protocol: str, bootstrap: Bootstrap) -> dict[str, Any]:
    product, product_type = (
        {
            metric: bootstrap.paired(
                ours.values[protocol, level][metric], theirs.values[protocol, level][metric]
            )
            for metric in PAIRED
        }
        for level in LEVELS
    )
    found: dict[str, Any] = _rounded({**product, "product_type": product_type})
    return found


def costs(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the cost of the slowest cut-off; memory of the largest."""
    fit = max(each["fit_seconds"] for each in found)
    rank = max(sum(each["rank_seconds"].values()) for each in found)
    return {
        "seconds": round(fit + rank, 1),
        "fit_seconds": fit,
        "rank_seconds": round(rank, 2),
        "peak_gib": max(each["peak_gib"] for each in found),
        "tables_gib": max(each["tables_gib"] for each in found),
        "cores": max(each["cores"] for each in found),
        "notes": found[-1]["notes"],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value
