"""Files that are given to the page: chosen or dropped, looked at beforehand, sent, and taken up again."""

import subprocess

from playwright.sync_api import expect

from cluster import TALLY
from pages import SMALL, preflight, state


def test_a_chosen_file_is_looked_at_sent_and_counted(start, open_page, plays, tmp_path):
    cluster = start("anna", "ben")
    page = open_page(cluster.url)
    page.set_input_files("#file", plays)
    dialog = preflight(page)
    columns = dialog.get_by_role("table", name="Columns of the file")
    for name, holds, role in [("Song", "text", "group by"), ("Date", "date", "group by"), ("Number of Plays", "integer", "sum")]:
        row = columns.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))
        expect(row).to_contain_text(holds)
        expect(row).to_contain_text(role)
    expect(dialog.locator("[data-part=dialect]")).to_contain_text("commas between fields")
    expect(dialog.locator("[data-part=prediction]")).to_contain_text("Records")
    dialog.get_by_role("button", name="Count it").click()
    state(page, "succeeded")
    expect(page.get_by_role("heading", level=1)).to_have_text("plays.csv")
    with page.expect_download() as download:
        page.locator("a[data-format=csv]").click()
    shown = download.value.path().read_bytes()
    job = page.url.rsplit("/", 1)[1]
    assert shown == cluster.ask(f"/api/v1/jobs/{job}/result")
    alone = tmp_path / "alone.csv"
    subprocess.run([TALLY, "count", plays, "-o", alone], check=True, capture_output=True)
    assert shown == alone.read_bytes()


def test_a_dropped_file_is_counted(start, open_page):
    cluster = start("anna")
    page = open_page(cluster.url)
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    transfer = page.evaluate_handle(
        """text => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], "dropped.csv", { type: "text/csv" }));
            return transfer;
        }""",
        SMALL.decode(),
    )
    page.dispatch_event("main", "dragenter", {"dataTransfer": transfer})
    expect(page.get_by_text("Drop the file to count it")).to_be_visible()
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    expect(page.get_by_text("Drop the file to count it")).to_be_hidden()
    dialog = preflight(page)
    expect(dialog).to_contain_text("dropped.csv")
    dialog.get_by_role("button", name="Count it").click()
    state(page, "succeeded")
    expect(page.locator(".facts")).to_contain_text("300")


def test_another_files_columns_are_chosen(start, open_page):
    cluster = start("anna")
    page = open_page(cluster.url)
    data = b"Shop;Sold on;Price\nA;2026-01-01;5\nA;2026-01-01;7\nB;2026-01-02;1\n"
    page.set_input_files("#file", {"name": "sales.csv", "mimeType": "text/csv", "buffer": data})
    dialog = preflight(page)
    expect(dialog.get_by_text("can not be counted like that")).to_be_visible()
    dialog.get_by_label("Other columns").check()
    dialog.get_by_role("group", name="What to do with each column").get_by_label("Shop").select_option("group by")
    dialog.get_by_role("group", name="What to do with each column").get_by_label("Sold on").select_option("")
    dialog.get_by_role("group", name="What to do with each column").get_by_label("Price").select_option("sum")
    expect(dialog.get_by_text("This can be counted")).to_be_visible()
    dialog.get_by_label("Priority").select_option("high")
    dialog.get_by_role("button", name="Count it").click()
    state(page, "succeeded")
    job = page.url.rsplit("/", 1)[1]
    assert cluster.ask(f"/api/v1/jobs/{job}/result").splitlines()[1:] == [b"A,12", b"B,1"]
    assert cluster.job(job)["priority"] == "high"


def test_what_the_master_refuses_is_said(start, open_page):
    cluster = start("anna")
    page = open_page(cluster.url)
    page.allowed.append("422")
    page.set_input_files("#file", {"name": "what.csv", "mimeType": "text/csv", "buffer": b"A,B\n1,2\n"})
    dialog = preflight(page)
    dialog.get_by_role("button", name="Count it anyway").click()
    state(page, "failed")
    expect(page.get_by_role("alert").first).to_contain_text("Song")


def test_an_upload_that_breaks_off_is_taken_up_again(start, open_page, plays):
    cluster = start("anna")
    page = open_page(cluster.url)
    page.allowed.append("Failed to load resource")
    broken = []

    def break_off(route):
        if route.request.method == "PATCH" and not broken:
            broken.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/uploads/*", break_off)
    page.set_input_files("#file", plays)
    preflight(page).get_by_role("button", name="Count it").click()
    state(page, "succeeded")
    assert broken


def test_an_upload_can_be_cancelled(start, open_page, plays):
    cluster = start("anna")
    page = open_page(cluster.url)
    page.allowed += ["404", "410", "Failed to load resource"]
    # The bytes never arrive: the upload stays under way for as long as the test wants.
    page.route("**/api/v1/uploads/*", lambda route: None if route.request.method == "PATCH" else route.continue_())
    page.set_input_files("#file", plays)
    preflight(page).get_by_role("button", name="Count it").click()
    tray = page.get_by_role("region", name="Uploads")
    expect(tray).to_contain_text("plays.csv")
    tray.get_by_role("button", name="Cancel upload").click()
    expect(tray).to_be_hidden()
    page.goto(f"{cluster.url}/#/")
    expect(page.get_by_text("No jobs yet")).to_be_visible()
