"""Product types instead of products: was some milk recommended when some milk was bought?"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.vocabulary import Vocabulary
from pipeline.testing.measure import EvaluationSet, Predictions

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ItemTypes:
    """The type of each product; a product without one is a type of its own.

    Attributes:
        names: Type code - 1 to its name.
        of_index: [n_items] code of each index of the vocabulary; 0 of index 0.
        of_id: Code by item id, of sold and unsold products.
    """

    names: tuple[str, ...]
    of_index: Codes
    of_id: pd.Series


def item_types(items: pd.DataFrame, vocabulary: Vocabulary) -> ItemTypes:
    """Return the types of schemas.ITEMS.

    >>> items = pd.DataFrame({"item_id": ["a", "b", "c"], "type": ["milk", None, "milk"]})
    >>> item_types(items, Vocabulary(("a", "c", "x"))).of_index.tolist()
    [0, 1, 1, 3]
    """
    missing = pd.Index(list(vocabulary.ids)).difference(pd.Index(items["item_id"]))
    ids = pd.Index([*items["item_id"], *missing])
    kind = pd.Series([*items["type"], *[None] * len(missing)], index=ids, dtype=object)
    alone = pd.Series([f"product {name}" for name in ids], index=ids)
    names = kind.where(kind.notna(), alone)
    ordered = sorted(set(names))
    code = {name: at for at, name in enumerate(ordered, start=1)}
    of_id = names.map(code).astype(np.int32)
    known = of_id.reindex(list(vocabulary.ids)).to_numpy(dtype=np.int32)
    return ItemTypes(tuple(ordered), np.concatenate([[0], known]).astype(np.int32), of_id)


def first_types(items: Codes, types: ItemTypes, k: int) -> Codes:
    """Return [n, k] the first `k` different types in each list; 0 where there are no more.

    Args:
        items: [n, width] item index, 0 = nothing.
        types: Of the items.
        k: Length of the result.
    """
    codes = types.of_index[items]
    n, width = codes.shape
    order = np.argsort(codes, axis=1, kind="stable")
    ordered = np.take_along_axis(codes, order, axis=1)
    new = np.ones(codes.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new, axis=1)
    kept = first & (codes > 0)
    place = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    found = np.where(
        np.take_along_axis(kept, place, axis=1), codes[np.arange(n)[:, None], place], 0
    )
    return np.pad(found, ((0, 0), (0, max(k - width, 0)))).astype(np.int32)


def type_questions(questions: EvaluationSet, types: ItemTypes) -> EvaluationSet:
    """Return the same questions about types: which were bought, and which had been before."""
    n_types = len(types.names) + 1
    lengths = questions.examples["labels"].map(len).to_numpy()
    row = np.repeat(np.arange(len(questions.examples), dtype=np.int64), lengths)
    ids = [name for labels in questions.examples["labels"] for name in labels]
    code = types.of_id.reindex(ids).to_numpy(dtype=float)
    known = ~np.isnan(code)
    wanted = np.unique(row[known] * n_types + code[known].astype(np.int64))
    requests = questions.requests
    line_row = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits))
    bought = np.unique(line_row * n_types + types.of_index[requests.item])
    label_row = (wanted // n_types).astype(np.int32)
    return replace(
        questions,
        label_row=label_row,
        label_item=(wanted % n_types).astype(np.int32),
        n_true=np.bincount(label_row, minlength=len(questions.examples)),
        is_repeat=np.isin(wanted, bought),
    )


def type_answers(answers: Predictions, types: ItemTypes, k: int) -> Predictions:
    """Return the answers as lists of `k` types."""
    items = first_types(answers.plain.items, types, k)
    nothing = np.zeros(items.shape, dtype=np.float32)
    plain = Recommendations(items, nothing, nothing.astype(np.int8))
    return Predictions(plain, plain, first_types(answers.explore_items, types, k))
