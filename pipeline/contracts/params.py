"""params.yaml as one frozen object, read once, with a section per stage.

Unknown keys are errors. A stage's functions receive only their own section and `ShopParams`. The
sections live in data_params.py, model_params.py and service_params.py; import them from here.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML, YAMLError

from pipeline.contracts.correction_params import (
    Correction,
    Deduplicate,
    DropUsers,
    HeldOut,
    LineSelection,
    Rename,
    Scale,
    Shift,
)
from pipeline.contracts.data_params import (
    BudgetParams,
    CollectionParams,
    GuardrailParams,
    LabelingParams,
    PlanningParams,
    ShopParams,
    SourceParams,
    TableSource,
    Windows,
)
from pipeline.contracts.errors import ParamsError
from pipeline.contracts.model_params import (
    BagParams,
    BaselineParams,
    DiagnosisParams,
    FamiliesParams,
    FamilySection,
    IrganParams,
    Item2VecParams,
    LightGcnParams,
    MultVaeParams,
    RankerParams,
    SasrecParams,
    TestingParams,
    TrainingParams,
)
from pipeline.contracts.params_section import Section
from pipeline.contracts.records import describe_invalid
from pipeline.contracts.service_params import (
    CanaryParams,
    DeploymentParams,
    MonitoringParams,
    ServingParams,
    TrackingParams,
)

__all__ = [
    "PARAMS_PATH",
    "BagParams",
    "BaselineParams",
    "BudgetParams",
    "CanaryParams",
    "CollectionParams",
    "Correction",
    "Deduplicate",
    "DeploymentParams",
    "DiagnosisParams",
    "DropUsers",
    "FamiliesParams",
    "FamilySection",
    "GuardrailParams",
    "HeldOut",
    "IrganParams",
    "Item2VecParams",
    "LabelingParams",
    "LightGcnParams",
    "LineSelection",
    "MonitoringParams",
    "MultVaeParams",
    "Params",
    "PlanningParams",
    "RankerParams",
    "Rename",
    "SasrecParams",
    "Scale",
    "Section",
    "ServingParams",
    "Shift",
    "ShopParams",
    "SourceParams",
    "TableSource",
    "TestingParams",
    "TrackingParams",
    "TrainingParams",
    "Windows",
    "parse_params",
    "read_params",
]

PARAMS_PATH = Path("params.yaml")


class Params(Section):
    """All of params.yaml."""

    shop: ShopParams
    planning: PlanningParams
    collection: CollectionParams
    labeling: LabelingParams
    families: FamiliesParams
    training: TrainingParams
    testing: TestingParams
    deployment: DeploymentParams
    serving: ServingParams
    monitoring: MonitoringParams
    tracking: TrackingParams


def read_params(path: Path = PARAMS_PATH) -> Params:
    """Return the checked contents of params.yaml.

    Raises:
        ParamsError: If the file is missing, is not YAML, or holds an unknown key or a wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ParamsError(
            f"'{path}' in the working directory",
            received="no such file",
            action="Run the command from the project's root.",
        ) from error
    except UnicodeDecodeError as error:
        raise _not_yaml(error, path) from error
    return parse_params(text, path)


def parse_params(text: str, path: Path = PARAMS_PATH) -> Params:
    """Return the checked contents of a text.

    Args:
        text: YAML.
        path: The file that the errors name.

    Raises:
        ParamsError: If the text is not YAML, or holds an unknown key or a wrong type.
    """
    try:
        raw: Any = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise _not_yaml(error, path) from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(
            f"the keys and types of pipeline/contracts/*params.py in '{path}'",
            received=describe_invalid(error),
            action="Correct these values.",
        ) from error


def _not_yaml(error: YAMLError | UnicodeDecodeError, path: Path) -> ParamsError:
    return ParamsError(
        f"YAML in '{path}'",
        received=str(error).replace("\n", " "),
        action="Correct the line that the error names.",
    )
