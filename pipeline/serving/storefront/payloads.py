"""What the storefront's read routes answer."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from pipeline.serving.payloads import Payload


class Product(Payload):
    """What a tile shows of an item."""

    item_id: str
    title: str
    department: str = Field(description="Empty where it is not known.")
    category: str = Field(description="Empty where it is not known.")
    price: float | None = Field(
        description="The middle of the unit prices paid for it, in the shop's currency."
    )


class ProductsAnswer(Payload):
    """Answer to GET /storefront/items."""

    items: list[Product]


class Shopper(Payload):
    """A few facts of one shopper."""

    user_id: str
    n_baskets: int
    n_products: int = Field(description="Different ones ever bought.")
    last_basket: datetime | None
    often: list[str] = Field(description="The categories bought most, the first most often.")


class ShoppersAnswer(Payload):
    """Answer to GET /storefront/shoppers."""

    n_shoppers: int = Field(description="All that the model was fitted on.")
    shoppers: list[Shopper]


class BasketLine(Payload):
    """One product of a basket."""

    product: Product
    quantity: float


class Basket(Payload):
    """What was paid together."""

    paid_at: datetime
    lines: list[BasketLine]


class ShopperAnswer(Payload):
    """Answer to GET /storefront/shoppers/{user_id}."""

    shopper: Shopper
    now: datetime = Field(
        description="The shop's clock: this moment, or the evening after the last known purchases "
        "where these are long ago; never before the shopper's last event."
    )
    baskets: list[Basket] = Field(description="The latest first.")
    cart: list[Product]
    viewed: list[str] = Field(description="Item ids that were looked at just now.")


class DriftLight(Payload):
    """What monitoring concluded last."""

    status: Literal["proceed", "warns", "return", "stop", "unknown"] = Field(
        description="What its verdict says; `warns` is a `proceed` with evidence that warns."
    )
    cause: str


class StatusAnswer(Payload):
    """Answer to GET /storefront/status."""

    model_name: str
    model_version: str
    as_of: datetime = Field(description="The first moment that the model does not know.")
    drift: DriftLight
