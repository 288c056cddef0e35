"""The schemas of The Complete Journey's raw tables."""

import pyarrow as pa

from pipeline.contracts.schemas import Column, Table

PLAIN = pa.timestamp("us")
TYPES = ("Type A", "Type B", "Type C")


def _table(name: str, *columns: Column) -> Table:
    return Table(name, columns, extra_columns=True)


def _id(name: str, description: str, *, unique: bool = False) -> Column:
    return Column(name, pa.int64(), description, minimum=1, unique=unique)


def _money(name: str, description: str) -> Column:
    return Column(name, pa.float64(), description, minimum=0)


def _text(name: str, description: str, *, nullable: bool = True) -> Column:
    return Column(name, pa.string(), description, nullable=nullable)


HOUSEHOLD = _id("household_id", "household")
PRODUCT = _id("product_id", "product")
STORE = _id("store_id", "store")
CAMPAIGN = Column("campaign_id", pa.int64(), "campaign", minimum=1, maximum=27)
WEEK = Column("week", pa.int64(), "week of the year, 1 is partial", minimum=1, maximum=53)

TABLES = (
    _table(
        "transactions",
        HOUSEHOLD,
        STORE,
        _id("basket_id", "one visit to the till"),
        PRODUCT,
        Column("quantity", pa.int64(), "units; grams for some fuels", minimum=0),
        _money("sales_value", "paid for the line"),
        _money("retail_disc", "loyalty discount"),
        _money("coupon_disc", "manufacturer's coupon"),
        _money("coupon_match_disc", "retailer's match of a coupon"),
        WEEK,
        Column("transaction_timestamp", PLAIN, "UTC without a zone"),
    ),
    _table(
        "products",
        _id("product_id", "product", unique=True),
        _id("manufacturer_id", "maker"),
        _text("department", "coarsest class", nullable=False),
        Column("brand", pa.string(), "brand", values=("National", "Private")),
        _text("product_category", "middle class"),
        _text("product_type", "finest class"),
        _text("package_size", "size"),
    ),
    _table(
        "demographics",
        _id("household_id", "household", unique=True),
        _text("age", "age group", nullable=False),
        _text("income", "income group", nullable=False),
        _text("home_ownership", "owner or renter"),
        _text("marital_status", "married or not"),
        _text("household_size", "people", nullable=False),
        _text("household_comp", "who lives there", nullable=False),
        _text("kids_count", "children", nullable=False),
    ),
    _table(
        "promotions",
        PRODUCT,
        STORE,
        _text("display_location", "0 = not on display", nullable=False),
        _text("mailer_location", "0 = not in the mailer", nullable=False),
        WEEK,
    ),
    _table("coupons", _id("coupon_upc", "coupon"), PRODUCT, CAMPAIGN),
    _table("campaigns", CAMPAIGN, HOUSEHOLD),
    _table(
        "campaign_descriptions",
        Column("campaign_id", pa.int64(), "campaign", unique=True, minimum=1, maximum=27),
        Column("campaign_type", pa.string(), "A reaches all, B and C some", values=TYPES),
        Column("start_date", PLAIN, "first day"),
        Column("end_date", PLAIN, "last day"),
    ),
    _table(
        "coupon_redemptions",
        HOUSEHOLD,
        _id("coupon_upc", "coupon"),
        CAMPAIGN,
        Column("redemption_date", PLAIN, "day"),
    ),
)
RAW = {table.name: table for table in TABLES}
NOT_MAPPED = ("coupon_redemptions",)
