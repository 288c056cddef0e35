"""The answers of the storefront's read routes."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from pipeline.serving.payloads import Payload


class Product(Payload):
    """The details of an item."""

    item_id: str
    title: str
    department: str = Field(description="Empty if unknown.")
    category: str = Field(description="Empty if unknown.")
    price: float | None = Field(
        description="The median of the unit prices paid for it, in the shop's currency."
    )


class ProductsAnswer(Payload):
    """Answer to GET /storefront/items."""

    items: list[Product]


class Shopper(Payload):
    """A summary of one shopper."""

    user_id: str
    n_baskets: int
    n_products: int = Field(description="Number of different products ever bought.")
    last_basket: datetime | None
    often: list[str] = Field(description="The categories bought most often, most frequent first.")


class ShoppersAnswer(Payload):
    """Answer to GET /storefront/shoppers."""

    n_shoppers: int = Field(description="Number of shoppers that the model was fitted on.")
    shoppers: list[Shopper]


class BasketLine(Payload):
    """One product of a basket."""

    product: Product
    quantity: float


class Basket(Payload):
    """Products that were paid together."""

    paid_at: datetime
    lines: list[BasketLine]


class ShopperAnswer(Payload):
    """Answer to GET /storefront/shoppers/{user_id}."""

    shopper: Shopper
    now: datetime = Field(
        description="The shop's clock: the current time, or, if the last known purchases are long "
        "ago, the evening after them; never before the shopper's last event."
    )
    baskets: list[Basket] = Field(description="The latest first.")
    cart: list[Product]
    viewed: list[str] = Field(description="Ids of recently viewed items.")


class DriftLight(Payload):
    """Monitoring's last verdict."""

    status: Literal["proceed", "warns", "return", "stop", "unknown"] = Field(
        description="The verdict's status; `warns` is `proceed` with evidence that warns."
    )
    cause: str


class StatusAnswer(Payload):
    """Answer to GET /storefront/status."""

    model_name: str
    model_version: str
    as_of: datetime = Field(description="The model knows the purchases before this moment.")
    drift: DriftLight
