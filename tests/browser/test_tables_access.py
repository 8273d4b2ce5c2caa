"""The pages of tables without a mouse, on a small screen, in the dark, and for a screen reader."""

import pytest
from playwright.sync_api import expect

from pages import focus, luminance
from tables import declare, loaded, open_row, products, row

WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_a_row_is_added_by_keyboard_alone(start, open_page):
    cluster = start()
    page = open_page(products(cluster, 3).page)
    loaded(page, 3)
    focus(page, "Add a row")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Add a row to products")
    expect(dialog.get_by_label("name")).to_be_focused()
    for text in ["By hand", "sku-000001-k", "typed"]:
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    # After the last field: the way out, then the way on.
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Add it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row(page, "sku-000001-k")).to_contain_text("By hand")
    focus(page, "Open sku-000001-k")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="sku-000001-k")
    expect(dialog.get_by_label("name")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("Changed")
    page.keyboard.press("Control+Enter")
    expect(dialog).to_be_hidden()
    expect(row(page, "sku-000001-k")).to_contain_text("Changed")
    # Where it was, it goes on.
    expect(page.get_by_role("button", name="Open sku-000001-k").first).to_be_focused()


@pytest.mark.parametrize("width", [360, 768])
def test_no_page_of_tables_is_wider_than_the_screen(start, open_page, width):
    cluster = start()
    table = products(cluster, 60)
    long = "a-text-that-is-longer-than-any-screen-is-wide-" * 5
    table.apply({"op": "add", "row": {"sku": "a" * 120, "name": long, "description": long}})
    page = open_page(table.page, width=width, height=740)
    # A master that watches no sources may say so by this.
    page.allowed.append("404")
    loaded(page, 50)
    expect(page.locator(".bars")).to_be_visible()
    assert page.evaluate(WIDE) == 0
    page.get_by_role("button", name="Filter", exact=True).click()
    assert page.evaluate(WIDE) == 0
    dialog = open_row(page, "a" * 120)
    dialog.get_by_text("History of this row").click()
    assert dialog.bounding_box()["width"] <= width
    assert page.evaluate(WIDE) == 0
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Sources").click()
    expect(page.get_by_role("heading", name="Watched sources")).to_be_visible()
    assert page.evaluate(WIDE) == 0
    page.get_by_role("link", name="Tables", exact=True).click()
    page.get_by_role("button", name="Declare a table").click()
    page.get_by_label("Own columns").check()
    page.get_by_role("dialog").get_by_role("button", name="Aggregate", exact=True).click()
    assert page.evaluate(WIDE) == 0


def test_tables_are_dark_in_the_dark_and_stand_still(start, open_page):
    cluster = start()
    table = products(cluster, 5)
    page = open_page(table.page, color_scheme="dark", reduced_motion="reduce")
    loaded(page, 5)
    for selector in [".rows td", ".row-open", ".panel-head .button"]:
        assert luminance(page, selector, "color") > 0.5
    assert luminance(page, ".panel", "backgroundColor") < 0.15
    table.apply({"op": "update", "key": "sku-000002", "row": {"description": "seen"}})
    # It does not move, and can be seen all the same.
    expect(row(page, "sku-000002").locator(".flash")).to_have_text("seen")
    assert page.evaluate("document.getAnimations().length") == 0
    shadow = page.locator(".flash").evaluate("e => getComputedStyle(e).boxShadow")
    assert shadow != "none"


def test_a_screen_reader_finds_its_way_in_tables(start, open_page):
    cluster = start()
    table = products(cluster, 5)
    declare(cluster, "plays")
    page = open_page(table.page)
    page.allowed.append("404")
    loaded(page, 5)
    for path in ["#/tables/products", "#/tables", "#/sources"]:
        page.goto(f"{cluster.url}/{path}")
        expect(page.locator("h2").first).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        nameless = page.evaluate("""() => [...document.querySelectorAll("button, a, input, select, textarea, [role=img], [role=region], table")]
            .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.title))
            .map((e) => e.outerHTML)""")
        assert nameless == []
    page.goto(table.page)
    loaded(page, 5)
    page.get_by_role("button", name="Add a row").click()
    page.get_by_role("dialog").get_by_label("sku").fill("spoken")
    page.get_by_role("button", name="Add it").click()
    expect(page.locator("#announcer")).to_contain_text("Added: spoken")
