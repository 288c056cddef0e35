"""Protocols of the evaluation, and the context that each gives the candidates."""

ROLLING, WITHOUT_CONTEXT, FIRST_BASKET = "rolling", "rolling_without_context", "first_basket"

TITLES = {
    ROLLING: "every basket, time and store known",
    WITHOUT_CONTEXT: "every basket, time and store unknown",
    FIRST_BASKET: "first basket of the window",
}
KNOWN = {
    ROLLING: (
        "Known at request time: the shopper's history up to the start of the basket, the offers of "
        "its week, and its hour, weekday and store. Popular, personal, decayed and TIFU-KNN make "
        "no use of the last three; contextual does, and so does the ranker."
    ),
    WITHOUT_CONTEXT: (
        "Known at request time: the shopper's history up to the start of the basket and the offers "
        "of its week. Its hour, weekday and store are withheld from every method."
    ),
    FIRST_BASKET: (
        "Known at request time: the shopper's history before the window and the offers planned "
        "then. Not known: when the basket will be, and its hour, weekday and store."
    ),
}
