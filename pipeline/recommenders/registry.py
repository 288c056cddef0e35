"""Look up a family by its name; `training.families` of params.yaml names those to fit.

The import is deferred because TensorFlow takes seconds to load.
"""

from pipeline.contracts.errors import TrainingError
from pipeline.recommenders.fitting.family import Family
from pipeline.recommenders.names import BAGS, FAMILIES, HISTORY_ENCODERS


def get_family(name: str) -> Family:
    """Return the family called `name`.

    Raises:
        TrainingError: No family has this name.
    """
    if name in HISTORY_ENCODERS:
        from pipeline.recommenders.ranker.fitting import RankerFamily

        return RankerFamily(name)
    if name == "sasrec":
        from pipeline.recommenders.sequence.sasrec import SasrecFamily

        return SasrecFamily()
    if name in BAGS:
        from pipeline.recommenders.vectors import irgan, item2vec, lightgcn, multvae

        by_name: dict[str, Family] = {
            module.NAME: module.FAMILY for module in (multvae, lightgcn, item2vec, irgan)
        }
        return by_name[name]
    raise TrainingError(
        f"a family among {', '.join(FAMILIES)}",
        received=f"'{name}'",
        action="Correct training.families in params.yaml, or the command line.",
    )
