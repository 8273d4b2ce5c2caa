"""Files that go into tables: what is asked before, what is shown meanwhile, and what came of them."""

import pytest
from playwright.sync_api import expect

from pages import state
from tables import loaded, products, row

HEAD = "name,sku,description\n"


def stock(numbers, text="from the file"):
    return (HEAD + "".join(f"Name {n % 300},sku-{n:06},{text} {n}\n" for n in numbers)).encode()


def choose(page, name, data):
    """Chooses a file and gives the dialog, once the master has read its header."""
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": data})
    dialog = page.get_by_role("dialog", name="Import a file")
    expect(dialog.get_by_text("Looking at the beginning")).to_be_hidden()
    return dialog


def counts(page, file, **figures):
    """Waits until an import has come to these figures."""
    one = page.get_by_role("article", name=f"Import of {file}")
    expect(one.locator(".state")).to_have_text("succeeded", timeout=60_000)
    for name, value in figures.items():
        expect(one.locator(f"[data-count={name}] dd")).to_contain_text(value)
    return one


def test_a_file_is_merged_and_another_one_replaces(start, open_page):
    cluster = start("anna", "ben")
    table = products(cluster, 100)
    page = open_page(table.page)
    loaded(page, 50)
    # As it is; then changed; then new; one key comes twice.
    data = stock(range(50, 30_000)) + b"Name 1,sku-000001,what 1 is\nName 60,sku-000060,again\n"
    dialog = choose(page, "stock.csv", data)
    expect(dialog.locator("[data-part=fit]")).to_contain_text("has all columns of products")
    dialog.get_by_role("button", name="Import it").click()
    one = counts(page, "stock.csv", added="29,900", updated="50", unchanged="1", deleted="0", repeated_keys="1")
    expect(page.locator("[data-fact=Rows]")).to_contain_text("30,000")
    expect(page.locator("[data-part=stale]").or_(row(page, "sku-000049"))).not_to_have_count(0)
    with page.expect_download() as download:
        one.get_by_role("link", name="Keys that the file had more than once").click()
    assert download.value.path().read_text().splitlines()[1:] == ["sku-000060,2"]
    assert table.row("sku-000060")["description"] == "again"
    dialog = choose(page, "less.csv", stock(range(40)))
    dialog.get_by_label("Replace").check()
    expect(dialog.get_by_role("alert")).to_contain_text("it has 30,000 rows now")
    dialog.get_by_role("button", name="Replace the rows").click()
    counts(page, "less.csv", added="0", deleted="29,960")
    expect(page.locator("[data-fact=Rows]")).to_contain_text("40")
    expect(page.locator("tr[data-row]")).to_have_count(40)
    page.get_by_role("article", name="Import of less.csv").get_by_role("link", name="less.csv").click()
    state(page, "succeeded")
    panel = page.get_by_role("region", name="Into the table products")
    expect(panel.locator("[data-count=deleted]")).to_contain_text("29,960")
    panel.get_by_role("link", name="products").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("products")


@pytest.mark.parametrize("name, choice", [("products", "products"), ("shops", "(new)")])
def test_a_file_makes_its_table(start, open_page, name, choice):
    cluster = start("anna")
    page = open_page(f"{cluster.url}/#/tables")
    # Until the beginning of the file is there, so is no table.
    page.allowed += ["404", "Failed to load resource"]
    data = stock(range(300)) if name == "products" else b"town,number,opened\nBonn,7,2026-01-02\nUlm,8,2026-02-03\n"
    dialog = choose(page, f"{name}.csv", data)
    expect(dialog.get_by_label("Into the table")).to_have_value(choice)
    if choice == "(new)":
        expect(dialog.get_by_role("button", name="Import it")).to_be_disabled()
        dialog.get_by_role("group", name="Key").get_by_label("town").check()
    dialog.get_by_role("button", name="Import it").click()
    counts(page, f"{name}.csv", added="300" if name == "products" else "2", repeated_keys="0")
    expect(page.locator("tr[data-row]")).to_have_count(50 if name == "products" else 2)


def test_a_file_on_the_overview_can_go_into_a_table_too(start, open_page):
    cluster = start("anna")
    products(cluster, 3)
    page = open_page(cluster.url)
    page.set_input_files("#file", {"name": "stock.csv", "mimeType": "text/csv", "buffer": stock(range(5))})
    page.get_by_role("dialog", name="Count a file").get_by_role("button", name="Into a table instead").click()
    dialog = page.get_by_role("dialog", name="Import a file")
    expect(dialog.get_by_label("Into the table")).to_have_value("products")
    dialog.get_by_role("button", name="Import it").click()
    counts(page, "stock.csv", added="2", updated="3")
    expect(row(page, "sku-000004")).to_contain_text("from the file 4")


def test_a_file_that_does_not_fit_says_why(start, open_page):
    cluster = start("anna")
    table = products(cluster, 2)
    page = open_page(table.page)
    loaded(page, 2)
    dialog = choose(page, "odd.csv", b"name,what\na,b\n")
    expect(dialog.locator("[data-part=fit]")).to_contain_text("no sku, description")
    page.allowed += ["422", "400"]
    dialog.get_by_role("button", name="Import it").click()
    wrong = page.get_by_role("article", name="Import of odd.csv").locator(".notice").or_(dialog.get_by_role("alert"))
    expect(wrong.first).to_contain_text("sku", timeout=60_000)
