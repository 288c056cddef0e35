"""The loader under its name of before November 2026, which older registered models carry in MLflow.

`mlflow.pyfunc.load_model` imports the module that a version names; new versions name
`pipeline.bundles.pyfunc`.
"""

from pipeline.bundles.pyfunc import _load_pyfunc

__all__ = ["_load_pyfunc"]
