"""The pages of tables: what is in them, how rows are changed, and how two people do not overwrite each other."""

from playwright.sync_api import expect

from tables import Table, add, change, declare, loaded, open_row, pager, products, row

MANY = 30_000


def test_a_table_is_declared_listed_and_dropped(start, open_page):
    cluster = start()
    page = open_page(f"{cluster.url}/#/tables")
    expect(page.get_by_text("No tables yet")).to_be_visible()
    page.get_by_role("button", name="Declare a table").click()
    page.get_by_role("dialog").get_by_role("button", name="Declare it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("products")
    expect(page.get_by_text("There is no row yet").first).to_be_visible()
    page.goto(f"{cluster.url}/#/tables")
    page.get_by_role("button", name="Declare a table").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Own columns").check()
    dialog.get_by_label("Name", exact=True).first.fill("tables")
    for number, name, kind in [(1, "code", "integer"), (2, "price", "integer"), (3, "day", "date"), (4, "note", "text")]:
        if number > 2:
            dialog.get_by_role("button", name="Column", exact=True).click()
        line = dialog.get_by_role("group", name=f"Column {number}")
        line.get_by_label("Name").fill(name)
        line.get_by_label("Holds").select_option(kind)
    dialog.get_by_role("group", name="Column 4").get_by_label("may have no value").check()
    dialog.get_by_role("button", name="Aggregate", exact=True).click()
    one = dialog.get_by_role("group", name="Aggregate 1")
    one.get_by_label("By").select_option("day")
    one.get_by_role("button", name="Value").click()
    one.get_by_role("group", name="Value 2").get_by_label("Of", exact=True).select_option("price")
    page.allowed += ["400", "422"]
    dialog.get_by_role("button", name="Declare it").click()
    # The store has this name itself.
    expect(dialog.get_by_role("alert")).to_contain_text("tables")
    dialog.get_by_label("Name", exact=True).first.fill("sales")
    dialog.get_by_role("button", name="Declare it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("sales")
    view = Table(cluster, "sales").view()
    assert view["key"] == ["code"]
    assert [column["kind"] for column in view["columns"]] == ["integer", "integer", "date", "text"]
    assert [(value["op"], value["column"]) for value in view["aggregates"][0]["values"]] == [("count", None), ("sum", "price")]
    page.goto(f"{cluster.url}/#/tables")
    expect(page.locator("tr[data-table]")).to_have_count(2)
    page.get_by_role("button", name="Drop sales").click()
    page.get_by_role("button", name="Drop the table").click()
    expect(page.locator("tr[data-table]")).to_have_count(1)
    # The list is live: what another program declares and fills is there.
    products(cluster, 3)
    declare(cluster, "plays")
    expect(page.locator("tr[data-table=products]")).to_contain_text("3")
    expect(page.locator("tr[data-table=plays]")).to_contain_text("Song, Date")


def test_many_rows_are_leafed_through_sorted_and_found(start, open_page):
    cluster = start()
    table = products(cluster, MANY)
    page = open_page(table.page)
    loaded(page, 50)
    expect(page.locator("[data-fact=Rows]")).to_contain_text("30,000")
    for text in ["51 to 100", "101 to 150"]:
        pager(page).get_by_role("button", name="Next").click()
        expect(pager(page)).to_contain_text(text)
    expect(row(page, "sku-000100")).to_be_visible()
    pager(page).get_by_role("button", name="Before").click()
    expect(row(page, "sku-000050")).to_be_visible()
    pager(page).get_by_role("button", name="First").click()
    expect(row(page, "sku-000000")).to_be_visible()
    head = page.get_by_role("table", name="Rows of products").get_by_role("columnheader", name="sku")
    head.get_by_role("button").click()
    expect(row(page, f"sku-{MANY - 1:06}")).to_be_visible()
    expect(head).to_have_attribute("aria-sort", "descending")
    pager(page).get_by_role("button", name="Next").click()
    expect(row(page, f"sku-{MANY - 51:06}")).to_be_visible()
    page.get_by_label("Search rows").fill("WHAT 777 ")
    expect(row(page, "sku-000777")).to_be_visible()
    expect(page.locator("tr[data-row]")).to_have_count(1)
    page.get_by_label("Search rows").fill("nowhere at all")
    expect(page.get_by_text("No row is like that")).to_be_visible()
    page.get_by_label("Search rows").fill("")
    page.get_by_role("button", name="Filter", exact=True).click()
    one = page.get_by_role("group", name="Filter 1")
    one.get_by_label("Column").select_option("name")
    one.get_by_label("Value").fill("Name 7")
    expect(pager(page)).to_contain_text("of those found")
    expect(row(page, f"sku-{MANY - 300 + 7:06}")).to_be_visible()
    page.get_by_role("button", name="Filter", exact=True).click()
    two = page.get_by_role("group", name="Filter 2")
    two.get_by_label("Column").select_option("sku")
    two.get_by_label("Comparison").select_option("prefix")
    two.get_by_label("Value").fill("sku-0000")
    expect(page.locator("tr[data-row]")).to_have_count(1)
    expect(row(page, "sku-000007")).to_be_visible()


def test_a_row_is_added_changed_and_deleted(start, open_page):
    cluster = start()
    draft = {
        "name": "sales", "key": ["code"],
        "columns": [
            {"name": "code", "kind": "text"}, {"name": "price", "kind": "integer"},
            {"name": "day", "kind": "date", "nullable": True},
        ],
        "aggregates": [{"group_by": "code", "values": [{"op": "sum", "column": "price", "name": "total"}]}],
    }
    table = declare(cluster, draft)
    page = open_page(table.page)
    page.get_by_role("button", name="Add a row").click()
    dialog = page.get_by_role("dialog", name="Add a row to sales")
    dialog.get_by_label("code").fill("a/b ü?")
    dialog.get_by_label("price").fill("twelve")
    dialog.get_by_role("button", name="Add it").click()
    expect(dialog.locator("[data-column=price] .field-problem")).to_contain_text("whole number")
    # A double float would round this.
    dialog.get_by_label("price").fill("9007199254740993")
    dialog.get_by_role("button", name="Add it").click()
    expect(dialog).to_be_hidden()
    expect(row(page, "a/b ü?")).to_contain_text("9,007,199,254,740,993")
    dialog = open_row(page, "a/b ü?")
    expect(dialog.get_by_label("code")).not_to_be_editable()
    expect(dialog.get_by_role("button", name="Save")).to_be_disabled()
    dialog.get_by_label("day has no value").uncheck()
    dialog.get_by_label("day", exact=False).first.fill("2026-02-03")
    dialog.get_by_role("button", name="Save").click()
    expect(row(page, "a/b ü?")).to_contain_text("2026-02-03")
    assert cluster.get(f"{table.path}/rows")["rows"][0]["row"] == {"code": "a/b ü?", "price": 9007199254740993, "day": "2026-02-03"}
    dialog = open_row(page, "a/b ü?")
    dialog.get_by_text("History of this row").click()
    history = dialog.get_by_role("table", name="History of the row")
    expect(history.get_by_role("row")).to_have_count(3)
    expect(history.get_by_role("row").nth(1)).to_contain_text("2026-02-03")
    dialog.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete the row").click()
    expect(page.get_by_text("There is no row yet").first).to_be_visible()
    assert table.view()["rows"] == 0


def test_what_the_master_refuses_stands_at_the_field(start, open_page):
    cluster = start()
    table = products(cluster, 3)
    page = open_page(table.page)
    page.get_by_role("button", name="Add a row").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("sku").fill("long")
    # No page knows how long a field may be.
    dialog.get_by_label("description").fill("x" * 1_100_000)
    dialog.get_by_role("button", name="Add it").click()
    expect(dialog.locator("[data-column=description] .field-problem")).to_contain_text("description")
    dialog.get_by_label("description").fill("short")
    dialog.get_by_label("sku").fill("sku-000001")
    dialog.get_by_role("button", name="Add it").click()
    # There is such a row already: both are shown.
    dialog = page.get_by_role("dialog", name="There is such a row already")
    expect(dialog.locator(".differs [data-whose=Theirs]").last).to_have_text("what 1 is")
    dialog.get_by_role("button", name="Write mine over it").click()
    expect(row(page, "sku-000001")).to_contain_text("short")


def test_a_change_of_one_page_shows_in_the_other(start, open_page):
    cluster = start()
    table = products(cluster, 200)
    mine, theirs = open_page(table.page), open_page(table.page)
    for page in (mine, theirs):
        loaded(page, 50)
    dialog = open_row(mine, "sku-000003")
    dialog.get_by_label("description").fill("seen by both")
    dialog.get_by_role("button", name="Save").click()
    # It changes where it stands.
    expect(row(theirs, "sku-000003").locator(".flash")).to_have_text("seen by both")
    expect(theirs.locator("[data-part=stale]")).to_have_count(0)
    mine.get_by_role("button", name="Add a row").click()
    dialog = mine.get_by_role("dialog")
    dialog.get_by_label("sku").fill("sku-000003-a")
    dialog.get_by_role("button", name="Add it").click()
    expect(row(mine, "sku-000003-a")).to_be_visible()
    # Rows would move: that waits for a word.
    expect(theirs.locator("[data-part=stale]")).to_contain_text("1 change since this page was read")
    expect(row(theirs, "sku-000003-a")).to_have_count(0)
    theirs.get_by_role("button", name="Read it again").click()
    expect(row(theirs, "sku-000003-a")).to_be_visible()
    dialog = open_row(mine, "sku-000005")
    dialog.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete the row").click()
    expect(row(theirs, "sku-000005")).to_contain_text("deleted")
    expect(theirs.locator("[data-fact=Rows]")).to_contain_text("200")


def test_two_change_the_same_row(start, open_page):
    cluster = start()
    table = products(cluster, 60)
    mine, theirs = open_page(table.page), open_page(table.page)
    for page in (mine, theirs):
        loaded(page, 50)
    for key, choice, stays in [
        ("sku-000001", "Take theirs", "theirs"),
        ("sku-000002", "Write mine over it", "mine"),
    ]:
        forms = {page: open_row(page, key) for page in (mine, theirs)}
        for page, text in [(theirs, "theirs"), (mine, "mine")]:
            forms[page].get_by_label("description").fill(text)
        forms[theirs].get_by_role("button", name="Save").click()
        expect(forms[theirs]).to_be_hidden()
        expect(forms[mine].locator("[data-part=news]")).to_contain_text("changed this row meanwhile")
        forms[mine].get_by_role("button", name="Save").click()
        conflict = mine.get_by_role("dialog", name="Somebody else has changed this row")
        differs = conflict.locator(".differs")
        expect(differs).to_have_count(1)
        expect(differs.locator("[data-whose=Mine]")).to_have_text("mine")
        expect(differs.locator("[data-whose=Theirs]")).to_have_text("theirs")
        assert table.row(key)["description"] == "theirs"
        conflict.get_by_role("button", name=choice).click()
        expect(conflict).to_be_hidden()
        for page in (mine, theirs):
            expect(row(page, key).locator("td[data-label=description]")).to_have_text(stays)
        assert table.row(key)["description"] == stays


def test_what_was_deleted_meanwhile_is_said(start, open_page):
    cluster = start()
    table = products(cluster, 60)
    page = open_page(table.page)
    loaded(page, 50)
    dialog = open_row(page, "sku-000004")
    dialog.get_by_label("description").fill("mine")
    assert table.apply({"op": "delete", "key": "sku-000004"}) == ["deleted"]
    page.allowed.append("404")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").get_by_role("button", name="Add mine again").click()
    expect(row(page, "sku-000004")).to_contain_text("mine")
    # A delete does not remove what has become another row, either, without a word.
    dialog = open_row(page, "sku-000006")
    assert table.apply(change(6, description="theirs")) == ["updated"]
    dialog.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete the row").click()
    conflict = page.get_by_role("dialog", name="Somebody else has changed this row")
    expect(conflict).to_contain_text("theirs")
    conflict.get_by_role("button", name="Delete it nonetheless").click()
    expect(conflict).to_be_hidden()
    assert table.apply(change(6, description="x")) == ["missing"]


def test_the_aggregate_and_its_chart_follow(start, open_page):
    cluster = start()
    table = products(cluster, 600)
    page = open_page(table.page)
    loaded(page, 50)
    bars = page.get_by_role("table", name="no_of_products by name")
    groups = page.get_by_role("table", name="products_by_name")
    expect(bars.get_by_role("row")).to_have_count(11)
    assert table.apply(*(add(1000 + n, "Name 123") for n in range(5))) == ["added"] * 5
    expect(bars.get_by_role("row").nth(1)).to_contain_text("Name 123")
    expect(bars.get_by_role("row").nth(1)).to_contain_text("7")
    page.get_by_label("name begins with").fill("Name 12")
    expect(groups.get_by_role("row", name="Name 123")).to_contain_text("7")
    expect(groups.get_by_role("row")).to_have_count(12)
    groups.get_by_role("button", name="no_of_products").click()
    groups.get_by_role("button", name="no_of_products").click()
    expect(groups.get_by_role("row").nth(1)).to_contain_text("Name 123")
    page.get_by_label("name begins with").fill("")
    pages = page.get_by_role("group", name="Pages of groups")
    pages.get_by_role("button", name="Next").click()
    expect(pages).to_contain_text("26 to 50; 300 groups")
    pages.get_by_role("button", name="Before").click()
    expect(pages).to_contain_text("1 to 25")


def test_the_feed_goes_on_after_a_restart(start, open_page):
    cluster = start()
    table = products(cluster, 60)
    page = open_page(table.page)
    page.allowed += ["net::ERR_", "Failed to load resource"]
    loaded(page, 50)
    feed = page.get_by_role("region", name="Changes", exact=True)
    assert table.apply(change(1, description="before")) == ["updated"]
    expect(feed.locator("li").first).to_contain_text("before")
    cluster.kill_master()
    expect(page.locator(".live")).to_contain_text("reconnecting")
    cluster.start_master()
    # Nothing that happens before the page listens again is left out.
    assert table.apply(change(2, description="between"), change(1, description="after")) == ["updated"] * 2
    expect(page.locator(".live")).to_have_text("live", timeout=30_000)
    expect(feed.locator("li").nth(0)).to_contain_text("after")
    expect(feed.locator("li").nth(1)).to_contain_text("between")
    expect(row(page, "sku-000002")).to_contain_text("between")
    feed.get_by_role("button", name="Hold still").click()
    assert table.apply(change(3, description="not yet")) == ["updated"]
    expect(feed.get_by_role("button", name="Go on (1 new)")).to_be_visible()
    expect(feed.locator("li").first).to_contain_text("after")
    feed.get_by_role("button", name="Go on").click()
    expect(feed.locator("li").first).to_contain_text("not yet")
    assert set(table.apply(*(change(n % 60, description=f"turn {n}") for n in range(1000)))) == {"updated"}
    expect(feed.locator("li").first).to_contain_text("turn 999")
    expect(feed.locator("li")).to_have_count(100)
    # From the feed one comes to the row.
    feed.locator("li").first.get_by_role("button").click()
    expect(page.get_by_role("dialog").get_by_label("description")).to_have_value("turn 999")


def test_a_dropped_table_is_said(start, open_page):
    cluster = start()
    table = products(cluster, 1)
    page = open_page(table.page)
    page.allowed += ["404", "Failed to load resource"]
    loaded(page, 1)
    cluster.ask(table.path, method="DELETE")
    expect(page.get_by_role("heading", name="Dropped")).to_be_visible()


def test_hostile_rows_stay_text(start, open_page):
    cluster = start()
    table = products(cluster, 0)
    bad = '<img src=x onerror="alert(1)">'
    table.apply({"op": "add", "row": {"sku": bad, "name": "<script>alert(2)</script>", "description": "=cmd|' /C calc'!A0"}})
    page = open_page(table.page)
    expect(page.locator("tr[data-row]")).to_have_count(1)
    expect(page.locator("tr[data-row] .row-open")).to_have_text(bad)
    expect(page.locator(".bars th").get_by_text("<script>alert(2)</script>", exact=True)).to_have_count(1)
    page.locator("tr[data-row] .row-open").click()
    expect(page.get_by_role("dialog").get_by_label("name")).to_have_value("<script>alert(2)</script>")
    assert page.locator("main img, main script").count() == 0
