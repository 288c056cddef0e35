"""How the threads of TensorFlow suit the family that a process fits."""

from pipeline.recommenders.names import LARGE_PRODUCTS
from pipeline.runtime.stage import use_all_cores_per_operation


def configure_threads(name: str) -> None:
    """Prepare this process for fitting the method `name`; call it before TensorFlow's first step.

    Families of large matrix products get all cores for each operation; others keep what
    `pipeline.runtime.stage.quiet_tools` has set.
    """
    if name in LARGE_PRODUCTS:
        use_all_cores_per_operation()
