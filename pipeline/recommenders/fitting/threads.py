"""Threads of TensorFlow for the family that a process fits."""

from pipeline.recommenders.names import LARGE_PRODUCTS
from pipeline.runtime.stage import use_all_cores_per_operation


def configure_threads(name: str) -> None:
    """Set the threads for fitting the method `name`; call it before TensorFlow's first step.

    Families of large matrix products use all cores per operation; others keep the setting of
    `pipeline.runtime.stage.quiet_tools`.
    """
    if name in LARGE_PRODUCTS:
        use_all_cores_per_operation()
