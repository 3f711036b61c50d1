from __future__ import annotations

import pytest

from services.admin.customer_rows import columns, fields
from shared.errors import InvalidError


def test_columns_go_by_their_names_unless_a_mapping_says_otherwise() -> None:
    header = ["customer_id", "E-Mail", "name", "visit_count"]
    assert columns(header, ["email=E-Mail"]) == {"customer_id": "customer_id", "email": "E-Mail", "name": "name"}


def test_a_mapping_wins_over_a_column_of_the_same_name() -> None:
    assert columns(["customer_id", "name", "Full name"], ["name=Full name"])["name"] == "Full name"


@pytest.mark.parametrize("mapping", ["email", "total_spent=x", "email=Nothing", "=x"])
def test_a_mapping_that_names_nothing_is_refused(mapping: str) -> None:
    with pytest.raises(InvalidError) as refused:
        columns(["customer_id", "x"], [mapping])
    assert refused.value.field == "--map"


def test_a_file_without_ids_is_refused() -> None:
    with pytest.raises(InvalidError, match="customer_id=COLUMN"):
        columns(["Id", "name"], [])


def test_cells_become_fields() -> None:
    row = {
        "id": " c-1 ",
        "name": "'=Asha",
        "tags": "VIP; Bakery ;",
        "marketing_consent": "Yes",
        "email_verified": "0",
        "phone": "",
        "email": None,
    }
    chosen = {"customer_id": "id"} | {name: name for name in row if name != "id"}
    assert fields(row, chosen) == {
        "customer_id": "c-1",
        "name": "=Asha",
        "tags": ["VIP", "Bakery"],
        "marketing_consent": True,
        "email_verified": False,
    }


def test_a_row_without_an_id_or_with_an_unclear_flag_names_the_field() -> None:
    for row, field in (
        ({"customer_id": " "}, "customer_id"),
        ({"customer_id": "c", "marketing_consent": "maybe"}, "marketing_consent"),
    ):
        with pytest.raises(InvalidError) as refused:
            fields(row, {name: name for name in row})
        assert refused.value.field == field
