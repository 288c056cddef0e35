"""What the numbers say: differences with intervals, claims, and how near the reference we are."""

from collections.abc import Mapping, Sequence
from typing import Any

PAIRED = ("recall@10", "ndcg@10", "hit_rate@10", "recall@20", "ndcg@20")
CLAIMED = ("recall@10", "ndcg@10")
TOLERANCE = 0.03
REFERENCE_DAY = "2017-12-04"
REFERENCE_COLUMNS = {
    "first_basket": (
        "recall@10",
        "ndcg@10",
        "hit_rate@10",
        "recall@20",
        "ndcg@20",
        "repeat_recall@10",
        "explore_recall@10",
    ),
    "rolling": ("recall@10", "ndcg@10", "hit_rate@10", "recall@20"),
}
REFERENCE: dict[str, dict[str, tuple[float, ...]]] = {
    "first_basket": {
        "popular": (0.0387, 0.0653, 0.328, 0.0598, 0.0642, 0.081, 0.0113),
        "personal": (0.1349, 0.1935, 0.570, 0.1811, 0.1892, 0.298, 0.0002),
        "decayed": (0.1421, 0.2015, 0.584, 0.1890, 0.1964, 0.313, 0.0002),
        "tifu_knn": (0.1415, 0.2022, 0.583, 0.1903, 0.1971, 0.315, 0.0002),
        "lightgbm": (0.1510, 0.2130, 0.604, 0.2028, 0.2086, 0.336, 0.0004),
        "lightgbm_without_offers": (0.1459, 0.2076, 0.595, 0.2011, 0.2050, 0.326, 0.0005),
    },
    "rolling": {
        "popular": (0.0377, 0.0572, 0.283, 0.0607),
        "personal": (0.1415, 0.1753, 0.526, 0.1893),
        "decayed_60": (0.1521, 0.1853, 0.531, 0.2003),
        "decayed": (0.1517, 0.1874, 0.539, 0.2034),
    },
}
REFERENCE_NOTE = (
    "Measured once with plain code outside this project on The Complete Journey at T = 2017-12-04: "
    "1,978 users (first basket) and 10,688 baskets (rolling); days there are UTC days, here the "
    "shop's own. LightGBM there: 45 features, own items and 150 items of neighbours. Looked into: "
    "the rolling popular list has a recall@20 of .0582 with UTC days too, and of .0594 when it is "
    "renewed every day; neither explains .0607."
)


def verdict(differences: Sequence[Mapping[str, float]]) -> str:
    """Return better or worse when every interval lies on that side of 0, else undecided.

    >>> verdict([{"low": 0.1, "high": 0.2}, {"low": -0.1, "high": 0.2}])
    'undecided'
    """
    if differences and all(each["low"] > 0 for each in differences):
        return "better"
    if differences and all(each["high"] < 0 for each in differences):
        return "worse"
    return "undecided"


def claims(paired: Mapping[str, Any], days: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
    """Return what may be said of the default against each method: by protocol and metric.

    Args:
        paired: By method, protocol, day and metric: the difference and its interval.
        days: All cut-offs that a claim needs; one that is missing leaves it undecided.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for method, protocols in paired.items():
        found[method] = {}
        for protocol, cells in protocols.items():
            whole = all(day in cells for day in days)
            found[method][protocol] = {
                metric: verdict([cells[day][metric] for day in days]) if whole else "undecided"
                for metric in CLAIMED
            }
    return found


def against_reference(methods: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per reference number that was measured again here.

    Args:
        methods: As in quality.json.

    Returns:
        Rows of protocol, method, metric, reference, ours, relative (ours / reference - 1) and
        within (of TOLERANCE); numbers that round to less than two digits are left out.
    """
    rows = []
    for protocol, entries in REFERENCE.items():
        for method, numbers in entries.items():
            cell = methods.get(method, {}).get(protocol, {}).get(REFERENCE_DAY)
            if cell is None:
                continue
            for metric, reference in zip(REFERENCE_COLUMNS[protocol], numbers, strict=True):
                if reference < 0.001:  # noqa: PLR2004  .0002 is one digit: no 3 % in it
                    continue
                relative = cell[metric] / reference - 1
                rows.append(
                    {
                        "protocol": protocol,
                        "method": method,
                        "metric": metric,
                        "reference": reference,
                        "ours": cell[metric],
                        "relative": round(relative, 4),
                        "within": abs(relative) <= TOLERANCE,
                    }
                )
    return rows
