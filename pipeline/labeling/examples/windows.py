"""Label windows: disjoint periods of global time; each example belongs to exactly one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.params import LabelingParams, ShopParams


@dataclass(frozen=True)
class Window:
    """A period whose baskets are labels: cutoff <= basket < ends, all UTC.

    `horizon_ends` bounds the first-basket protocol: cutoff + horizon_days, inside the window.
    """

    split: str
    cutoff: datetime
    ends: datetime
    horizon_ends: datetime


def build_windows(
    shop: ShopParams, params: LabelingParams, *, first: datetime, last: datetime
) -> tuple[Window, ...]:
    """Return the windows in chronological order.

    Training windows close at or before the start of validation. Training windows that open before
    the first event are skipped, and so is production if the data end before it.

    Args:
        shop: Position of the test window.
        params: Length of the windows.
        first: Time of the first event.
        last: Time of the last event.

    Raises:
        DataQualityError: There is no training window, or the data end inside the test window.
    """
    as_of = shop.as_of
    test = as_of - timedelta(days=shop.test_days)
    validation = test - timedelta(days=shop.validation_days)
    step = timedelta(days=params.train_window_days)
    opens = [validation - step * k for k in range(params.train_windows, 0, -1)]
    bounds = [("train", day, day + step) for day in opens if shop.midnight(day) > first]
    if not bounds or shop.midnight(as_of - timedelta(days=1)) > last:
        raise _outside(shop, params, first=first, last=last)
    bounds += [("validation", validation, test), ("test", test, as_of)]
    if last >= shop.midnight(as_of):
        bounds.append(("production", as_of, as_of + timedelta(days=params.horizon_days)))
    return tuple(_window(shop, params, *bound) for bound in bounds)


def _window(
    shop: ShopParams, params: LabelingParams, split: str, opens: date, closes: date
) -> Window:
    horizon = min(opens + timedelta(days=params.horizon_days), closes)
    return Window(split, shop.midnight(opens), shop.midnight(closes), shop.midnight(horizon))


def check_windows(windows: Sequence[Window], counts: Sequence[int], shop: ShopParams) -> None:
    """Check that every window holds baskets.

    Raises:
        DataQualityError: A window is empty.
    """
    for window, count in zip(windows, counts, strict=True):
        if count == 0:
            raise DataQualityError(
                f"baskets in the {window.split} window {_day(window.cutoff)} "
                f"to {_day(window.ends)}",
                received=f"none (shop.as_of is {shop.as_of})",
                action="Set shop.as_of to a day by which this window is filled, or collect the "
                "missing data.",
            )


def check_examples(windows: Sequence[Window], counts: Sequence[int], minimum: int) -> None:
    """Check that every split holds examples; single training windows may be empty.

    Raises:
        DataQualityError: A split has no example.
    """
    for split in dict.fromkeys(window.split for window in windows):
        inside = [n for window, n in zip(windows, counts, strict=True) if window.split == split]
        if sum(inside) == 0:
            raise DataQualityError(
                f"examples of the {split} split, of shoppers with at least {minimum} "
                "earlier baskets",
                received="none",
                action="Lower labeling.minimum_earlier_baskets, move shop.as_of to a later day, "
                "or review what data/reviewed/labels.csv drops.",
            )


def _outside(
    shop: ShopParams, params: LabelingParams, *, first: datetime, last: datetime
) -> DataQualityError:
    earliest = timedelta(days=shop.validation_days + shop.test_days + params.train_window_days + 1)
    return DataQualityError(
        f"an as_of that leaves a training, a validation and a test window inside the data, "
        f"which run from {_day(first)} to {_day(last)}",
        received=f"as_of {shop.as_of}",
        action=f"Set shop.as_of between {_day(first + earliest)} and "
        f"{_day(last + timedelta(days=1))}, or collect more data.",
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
