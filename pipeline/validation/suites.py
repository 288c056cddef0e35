"""Great Expectations suites from schemas."""

from typing import TYPE_CHECKING

import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa

from pipeline.contracts.schemas import ID_RULE, NOT_AN_ID, Column, Table

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation


def build_expectations(schema: Table, frame: pd.DataFrame) -> "list[Expectation]":
    """Return the expectations that `schema` implies for `frame`.

    Absent optional columns are skipped.
    """
    present = [c for c in schema.columns if c.name in frame.columns or not c.optional]
    names = [column.name for column in present]
    exact = not schema.extra_columns
    expectations: list[Expectation] = [
        gxe.ExpectTableColumnsToMatchSet(column_set=names, exact_match=exact)
    ]
    for column in present:
        expectations.extend(_expectations_of_column(column))
    if len(schema.key) > 1:
        expectations.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(schema.key)))
    return expectations


def _expectations_of_column(column: Column) -> "list[Expectation]":
    name = column.name
    expectations: list[Expectation] = []
    type_ = type_name(column.dtype)
    if type_ is not None:
        expectations.append(gxe.ExpectColumnValuesToBeOfType(column=name, type_=type_))
    if not column.nullable:
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=name))
    if column.is_id:
        expectations.append(
            gxe.ExpectColumnValuesToNotMatchRegex(column=name, regex=NOT_AN_ID, description=ID_RULE)
        )
    if column.unique:
        expectations.append(gxe.ExpectColumnValuesToBeUnique(column=name))
    if column.values is not None:
        expectations.append(
            gxe.ExpectColumnValuesToBeInSet(column=name, value_set=list(column.values))
        )
    if column.minimum is not None or column.maximum is not None:
        bounds = {"min_value": column.minimum, "max_value": column.maximum}
        expectations.append(gxe.ExpectColumnValuesToBeBetween(column=name, **bounds))
    return expectations


def type_name(dtype: pa.DataType) -> str | None:
    """Return the name in Great Expectations of the pandas type of an Arrow type.

    None stands for lists, and for the null type, which means any type.

    >>> type_name(pa.timestamp("us", tz="UTC")), type_name(pa.float64())
    ('Timestamp', 'float64')
    """
    if pa.types.is_string(dtype):
        return "str"
    if pa.types.is_timestamp(dtype):
        return "Timestamp" if dtype.tz else "datetime64"
    if pa.types.is_list(dtype) or pa.types.is_null(dtype):
        return None
    return str(pd.api.types.pandas_dtype(dtype.to_pandas_dtype()).name)
