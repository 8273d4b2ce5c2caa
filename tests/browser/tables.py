"""What the tests of tables send and look for."""

import json
import uuid

from playwright.sync_api import expect


class Table:
    """A table of a cluster, as another program sees it."""

    def __init__(self, cluster, name):
        self.cluster, self.name, self.path = cluster, name, f"/api/v1/tables/{name}"

    @property
    def page(self):
        return f"{self.cluster.url}/#/tables/{self.name}"

    def apply(self, *operations):
        """Applies operations, each under a message id of its own, and gives what came of them."""
        lines = "".join(json.dumps({"message_id": uuid.uuid4().hex, **one}) + "\n" for one in operations)
        headers = {"Content-Type": "application/x-ndjson"}
        answer = self.cluster.ask(f"{self.path}/operations", lines.encode(), "POST", headers)
        return [json.loads(line)["outcome"] for line in answer.splitlines()]

    def row(self, key):
        return self.cluster.get(f"{self.path}/rows/{key}")["row"]

    def view(self):
        return self.cluster.get(self.path)


def declare(cluster, draft):
    """Declares a table from its draft, or from the preset of a name."""
    draft = {"preset": draft} if isinstance(draft, str) else draft
    headers = {"Content-Type": "application/json"}
    view = json.loads(cluster.ask("/api/v1/tables", json.dumps(draft).encode(), "POST", headers))
    return Table(cluster, view["name"])


def add(number, name=None):
    """The operation that adds one of many products."""
    row = {"sku": f"sku-{number:06}", "name": name or f"Name {number % 300}", "description": f"what {number} is"}
    return {"op": "add", "row": row}


def change(number, **row):
    return {"op": "update", "key": f"sku-{number:06}", "row": row}


def products(cluster, rows):
    """The table `products` with so many rows."""
    table = declare(cluster, "products")
    if rows:
        assert set(table.apply(*(add(number) for number in range(rows)))) == {"added"}
    return table


def row(page, key):
    """A row that is shown, by its key."""
    return page.locator(f"tr[data-row='{json.dumps([str(key)], ensure_ascii=False)}']")


def open_row(page, key):
    """Opens a row and gives its dialog."""
    row(page, key).get_by_role("button", name=f"Open {key}", exact=True).click()
    return page.get_by_role("dialog", name=key)


def loaded(page, rows):
    """Waits until the page shows so many rows and is live."""
    expect(page.locator("tr[data-row]")).to_have_count(rows)
    expect(page.locator(".live")).to_have_text("live")


def pager(page):
    return page.get_by_role("group", name="Pages of rows")
