"""The families by name: `training.families` of params.yaml names those that are fitted.

A family is imported when it is asked for: TensorFlow takes seconds.
"""

from pipeline.contracts.errors import TrainingError
from pipeline.recommenders.fitting.family import Family
from pipeline.recommenders.names import BAGS, FAMILIES, HISTORY_ENCODERS


def family_of(name: str) -> Family:
    """Return the family of that name.

    Raises:
        TrainingError: There is none.
    """
    if name in HISTORY_ENCODERS:
        from pipeline.recommenders.ranker.fitting import RankerFamily

        return RankerFamily(name)
    if name == "sasrec":
        from pipeline.recommenders.sequence.sasrec import SasrecFamily

        return SasrecFamily()
    if name in BAGS:
        from pipeline.recommenders.vectors import irgan, item2vec, lightgcn, multvae

        of_name: dict[str, Family] = {
            module.NAME: module.FAMILY for module in (multvae, lightgcn, item2vec, irgan)
        }
        return of_name[name]
    raise TrainingError(
        f"a family among {', '.join(FAMILIES)}",
        received=f"'{name}'",
        action="Correct training.families in params.yaml, or the command line.",
    )
