"""The page of watched sources. What the master says of them is made up here: other tests watch real ones."""

import json

from playwright.sync_api import expect

SOURCE = {
    "name": "shop", "kind": "http", "target": "http://127.0.0.1:9/stock.csv", "into": "table products, merge", "table": "products",
    "state": "waiting", "last_polled_at": "2026-01-01T10:00:00Z", "last_changed_at": None,
    "next_poll_at": "2126-01-01T10:00:00Z", "last_job": "some-job", "last_error": None, "polls": 12, "changes": 2, "errors": 0, "interval_seconds": 30.0, "items": 1,
}


def test_there_is_a_word_where_nothing_is_watched(start, open_page):
    cluster = start()
    page = open_page(cluster.url)
    page.allowed += ["404"]
    page.get_by_role("link", name="Sources").click()
    expect(page.get_by_text("No source is watched")).to_be_visible()


def test_sources_are_live_and_can_be_looked_at_now(start, open_page):
    cluster = start()
    page = open_page(cluster.url)
    source, looked = dict(SOURCE), []

    def answer(route):
        if route.request.method == "POST":
            looked.append(route.request.url)
            source.update(state="backing off", polls=13, last_error="it does not answer")
            return route.fulfill(status=202, body="")
        return route.fulfill(content_type="application/json", body=json.dumps({"sources": [source]}))

    page.route("**/api/v1/sources**", answer)
    page.route("**/api/v1/sources/**", answer)
    page.get_by_role("link", name="Sources").click()
    shop = page.get_by_role("article", name="shop")
    expect(shop).to_contain_text("waiting")
    expect(shop.get_by_role("link", name="table products, merge")).to_have_attribute("href", "#/tables/products")
    expect(shop.get_by_role("link", name="some-job")).to_have_attribute("href", "#/jobs/some-job")
    shop.get_by_role("button", name="Look at shop now").click()
    expect(shop).to_contain_text("it does not answer")
    expect(shop.get_by_role("status")).to_have_text("backing off")
    assert [url.rsplit("/api", 1)[1] for url in looked] == ["/v1/sources/shop/poll"]
    source.update(state="ingesting", last_error=None)
    expect(shop.get_by_role("status")).to_have_text("ingesting")
    expect(shop).not_to_contain_text("it does not answer")
