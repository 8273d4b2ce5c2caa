"""Tables of a real cluster: what is applied, read and followed."""

import itertools
import json

import pytest

from tally import Client, TallyError


@pytest.fixture
def products(cluster):
    table = Client(cluster.http).tables.create(preset="products")
    yield table
    table.drop()


def add(number, name):
    row = {"sku": f"k{number:04}", "name": name, "description": ""}
    return {"message_id": f"m{number}", "op": "add", "row": row}


def test_operations_apply_once(products):
    operations = [add(number, "shoe") for number in range(25)]
    first = list(products.apply(operations, batch=10))
    assert [one.message_id for one in first] == [one["message_id"] for one in operations]
    assert {one.outcome for one in first} == {"added"} and all(one.done for one in first)
    again = list(products.apply(operations))
    assert all(one.repeated for one in again)
    assert [one.version for one in again] == [one.version for one in first]
    # Without a message id an operation gets one.
    assert [one.outcome for one in products.apply([{"op": "delete", "key": "none"}])] == ["missing"]
    (wrong,) = products.apply([{"op": "put", "message_id": "x"}])
    assert wrong.outcome == "invalid" and not wrong.done and wrong.problem


def test_rows_and_aggregates_are_read_page_by_page(products, tmp_path):
    list(products.apply(add(number, f"n{number % 3}") for number in range(2500)))
    assert [row.row["sku"] for row in products.rows()] == [f"k{number:04}" for number in range(2500)]
    assert sum(1 for _ in products.rows({"name": "n1"}, page=100)) == 833
    last = next(products.rows(sort="_version", order="desc"))
    assert products.row(last.key) == last
    assert list(products.aggregate("products_by_name", page=2)) == [("n0", 834), ("n1", 833), ("n2", 833)]
    assert [one.change for one in products.history("k0001")] == ["added"]
    with pytest.raises(TallyError) as refused:
        products.row("none")
    assert refused.value.kind == "row-not-found"
    out = tmp_path / "products.jsonl"
    assert products.export(out, format="jsonl") == out.stat().st_size
    assert [json.loads(line)["sku"] for line in out.read_text().splitlines()] == [
        row.row["sku"] for row in products.rows()
    ]
    assert products.recount()["right"] is True
    assert products.view().rows == 2500


def test_changes_are_followed_over_a_restart(start_cluster):
    cluster = start_cluster(slaves=0)
    table = Client(cluster.http).tables.create(
        "stock", columns={"id": "text", "pieces": "integer?"}, key="id",
        aggregates=[{"group_by": "id", "values": [{"op": "count", "column": None, "name": "n"}]}],
    )
    list(table.apply({"op": "add", "row": {"id": str(number)}} for number in range(3)))
    followed = table.changes(0)
    assert [one.version for one in itertools.islice(followed, 3)] == [1, 2, 3]
    cluster.restart_master(kill=True)
    list(table.apply([{"op": "update", "key": "1", "row": {"pieces": 7}}]))
    change = next(followed)
    assert (change.version, change.key, change.row) == (4, "1", {"id": "1", "pieces": 7})
    assert [one.version for one in table.changes(1, follow=False)] == [2, 3, 4]
    table.drop()
    assert list(followed) == []
    assert [one.name for one in Client(cluster.http).tables.list()] == []
