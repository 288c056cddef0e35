"""How good every method is: one command, one table.

    uv run python -m benchmarks.quality                       all methods, three cut-offs
    uv run python -m benchmarks.quality --methods mlp decayed --cutoffs 2017-12-04
    uv run python -m benchmarks.quality --table               docs/quality.md from the results
    uv run python -m benchmarks.quality --collect --keep      rows that were not measured again stay

Every protocol, products and product types, intervals by bootstrap over users, and the paired
difference of the default against each method. Each method at each cut-off runs in a process of
its own. What is done is kept in --scratch and not done again while the code, the parameters and the
data that decide it stay the same. Peers come from the dependency group `bench`.
Writes benchmarks/results/quality.json and docs/quality.md.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.quality.peers.methods import (
    BASKET_PEERS,
    COUNTING,
    MATRIX_PEERS,
    method_names,
    sources_of,
)
from benchmarks.quality.peers.results import CUTOFFS, read_cell, summarise, with_earlier
from benchmarks.quality.peers.table import quality_page
from benchmarks.support.machine import RESULTS, write_result
from benchmarks.support.own_process import PROJECT, Measurement, digest_of
from pipeline.contracts.params import Params, read_params

PAGE = PROJECT / "docs" / "quality.md"
HOW = (
    "At each cut-off T every method learns from all labelled windows before T and is asked about "
    "the 28 days from T on. First basket: each user's first basket, history before T. Rolling: "
    "every basket, history up to its own start; fitted parts stay as of T; once with the hour, the "
    "weekday and the store of the basket known, once with them withheld. Users with at least 3 "
    "earlier baskets; all truth items count, unknown ones too; the whole catalogue is ranked. "
    "Intervals: 95 %, bootstrap over users."
)


def measurement(
    name: str, day: str, scratch: Path, params: Params, epochs: Sequence[str] = ()
) -> Measurement:
    """Return the measurement of a method at a cut-off."""
    return Measurement(
        label=f"{day} {name}",
        module=("benchmarks.quality.peers.run", name, day, ".", *epochs),
        folder=scratch / day / name,
        key=key_of(name, params),
    )


def key_of(name: str, params: Params) -> str:
    """Return a digest of what decides the result of a method: code, parameters and data."""
    return digest_of(sources_of(name), _section(name, params))


def _section(name: str, params: Params) -> str:
    common = params.shop.model_dump_json()
    if name in COUNTING:
        return common + params.training.baselines.model_dump_json()
    if name in (*BASKET_PEERS, *MATRIX_PEERS):
        return common + str(params.families.popular_days)
    return common + params.families.model_dump_json()


def default_of(params: Params, chosen: str | None) -> str:
    """Return the default: as asked, or the family that training chose on validation."""
    if chosen is not None:
        return chosen
    report = PROJECT / "reports" / "training" / "metrics.json"
    if report.exists():
        family = json.loads(report.read_text(encoding="utf-8")).get("family")
        if family in params.training.families:
            return str(family)
    return params.training.families[0]


def collect(scratch: Path, names: Sequence[str], params: Params, default: str) -> dict[str, Any]:
    """Return quality.json from all results in `scratch` that are still true."""
    known = {
        (name, day): measurement(name, day, scratch, params) for name in names for day in CUTOFFS
    }
    cells = {at: read_cell(found.folder) for at, found in known.items() if found.is_done()}
    if not cells:
        raise SystemExit("No result yet: run without --collect first.")
    return {
        "default": default,
        "cutoffs": list(CUTOFFS),
        "how": HOW,
        **summarise(cells, default, params),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is asked, and write all that is known."""
    parser = argparse.ArgumentParser(
        prog="uv run python -m benchmarks.quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--cutoffs", nargs="+", default=CUTOFFS, choices=CUTOFFS)
    parser.add_argument(
        "--epochs",
        nargs="+",
        default=(),
        metavar="PART=N",
        help="how long families train, as `network=2 explore=1`, not chosen at each cut-off",
    )
    parser.add_argument("--default", help="which method is compared with each other one")
    scratch = Path(tempfile.gettempdir()) / "evergreen-quality"
    parser.add_argument("--scratch", type=Path, default=scratch, help="where results are kept")
    parser.add_argument("--collect", action="store_true", help="measure nothing, write results")
    parser.add_argument(
        "--keep", action="store_true", help="keep earlier rows of methods not measured again"
    )
    parser.add_argument("--table", action="store_true", help="write docs/quality.md from results")
    asked = parser.parse_args(argv)
    if asked.table:
        write_page()
        return
    params = read_params(PROJECT / "params.yaml")
    default = default_of(params, asked.default)
    every = method_names((default, *params.training.families))
    names = tuple(asked.methods or every)
    if not asked.collect:
        for day in asked.cutoffs:
            date.fromisoformat(day)
            for name in names:
                measurement(name, day, asked.scratch, params, asked.epochs).run()
    known = tuple(dict.fromkeys([*every, *names]))
    result = collect(asked.scratch, known, params, default)
    if asked.keep:
        earlier = json.loads((RESULTS / "quality.json").read_text(encoding="utf-8"))
        result = with_earlier(result, earlier)
    print(f"wrote {write_result('quality', result)}")
    write_page()


def write_page() -> None:
    """Write docs/quality.md from benchmarks/results/quality.json."""
    result = json.loads((RESULTS / "quality.json").read_text(encoding="utf-8"))
    PAGE.write_text(quality_page(result), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
