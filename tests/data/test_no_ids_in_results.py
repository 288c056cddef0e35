"""Results of validations are shown and committed: they count the people, and name none."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline.collection.quality import check_failures
from pipeline.contracts.errors import DataQualityError
from pipeline.contracts.schemas import EVENTS, EXAMPLES, PERSONAL, USERS
from pipeline.validation import Validator
from tests.support import tiny_shop

SECRET = "shopper-4711"
WRONG = f"{SECRET} "  # breaks the rule for ids


@pytest.mark.parametrize("user_ids", [[SECRET, SECRET], [WRONG, "ann"]])
def test_what_fails_is_counted_and_not_named(tmp_path: Path, user_ids: list[str]) -> None:
    validator = Validator(tmp_path / "context")
    frame = pd.DataFrame({"user_id": user_ids, "age": "19-24"})
    validations = validator.validate(frame, USERS, name="users")
    assert validations.failing_rows
    assert SECRET not in str(validations)
    assert SECRET not in json.dumps(validator.document("users"))
    validator.write_docs(tmp_path / "docs")
    pages = [page.read_text(encoding="utf-8") for page in (tmp_path / "docs").rglob("*.html")]
    assert pages
    assert not any(SECRET in page for page in pages)
    with pytest.raises(DataQualityError) as error:
        check_failures(validations, frame, 0.0, where="the table 'users'")
    assert SECRET not in str(error.value)
    assert "age" in str(error.value)


def test_other_values_are_still_shown(tmp_path: Path) -> None:
    frame = tiny_shop.events()[:2].assign(user_id=SECRET, price=[-7.0, 1.0], session_id=None)
    validations = Validator(tmp_path).validate(frame, EVENTS, name="events")
    assert "-7.0" in str(validations)
    assert SECRET not in str(validations)


def test_every_column_that_names_a_person_is_known() -> None:
    tables = (EVENTS, USERS, EXAMPLES)
    columns = {column.name for table in tables for column in table.columns}
    assert {name for name in columns if "user" in name or "example" in name} == set(PERSONAL)
