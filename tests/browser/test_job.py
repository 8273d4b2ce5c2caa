"""The page of a job: live progress, what came out, and what can be done with it."""

import gzip

import pytest
from playwright.sync_api import expect

from pages import SMALL, state, upload_part

CELLS = """canvas => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const colours = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) colours.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
    return colours.size;
}"""


def test_progress_is_seen_live(start, open_page, plays):
    cluster = start(flags=["--task-bytes", "1MB"])
    job = cluster.submit(plays, "?name=live.csv")
    page = open_page(f"{cluster.url}/#/jobs/{job}")
    expect(page.get_by_text("Waits for")).to_be_visible()
    state(page, "running")
    expect(page.locator(".map-detail")).to_be_visible()
    before = page.evaluate("performance.timeOrigin")
    cluster.slave("anna", wait=False)
    state(page, "succeeded")
    expect(page.get_by_role("table", name="What each slave has counted")).to_contain_text("anna")
    assert page.evaluate("performance.timeOrigin") == before, "the page was not loaded again"
    expect(page.locator(".live")).to_have_text("complete")
    tasks = cluster.job(job)["tasks"]["cut"]
    assert tasks >= 8
    expect(page.get_by_text(f"{tasks} done")).to_be_visible()


def test_the_overview_is_live(start, open_page, plays):
    cluster = start("anna")
    page = open_page(cluster.url)
    expect(page.locator(".live")).to_have_text("live")
    job = cluster.submit(plays, "?name=fresh.csv")
    row = page.locator(f"tr[data-job='{job}']")
    expect(row).to_contain_text("fresh.csv")
    expect(row.locator(".state")).to_have_text("succeeded", timeout=60_000)
    expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")


def test_the_map_of_tasks_tells_each_one(start, open_page, plays):
    cluster = start("anna", "ben", flags=["--task-bytes", "500kB"])
    job = cluster.submit(plays)
    cluster.wait(job, "succeeded")
    page = open_page(f"{cluster.url}/#/jobs/{job}")
    tasks = cluster.get(f"/api/v1/jobs/{job}/tasks")["tasks"]
    task_map = page.get_by_role("application", name=f"Map of {len(tasks)} tasks")
    assert task_map.locator("canvas").evaluate(CELLS) > 1
    task_map.focus()
    page.keyboard.press("End")
    last = tasks[-1]
    expect(page.locator(".map-detail")).to_contain_text(f"Task {last['number']} · done by {last['slaves'][0]}")
    page.keyboard.press("Home")
    expect(page.locator(".map-detail")).to_contain_text("Task 0")
    task_map.locator("canvas").hover(position={"x": 5 + 28, "y": 5})
    expect(page.locator(".map-detail")).to_contain_text("Task 1")
    page.locator(".tasks summary").click()
    expect(page.get_by_role("table", name="Tasks", exact=True).get_by_role("row")).to_have_count(len(tasks) + 1)


def test_the_result_is_searched(start, open_page):
    cluster = start("anna")
    job = cluster.submit(SMALL)
    cluster.wait(job, "succeeded")
    page = open_page(f"{cluster.url}/#/jobs/{job}")
    table = page.get_by_role("table", name="Rows of the result")
    expect(table.get_by_role("row")).to_have_count(51)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Rows 51 to 100")).to_be_visible()
    page.get_by_label("Song begins with").fill("Song 29")
    expect(table.get_by_role("row")).to_have_count(12)
    page.get_by_label("Song is").fill("Song 290")
    expect(table.get_by_role("row")).to_have_count(2)
    expect(table).to_contain_text("2026-01-11")
    page.get_by_label("Date is").fill("2026-01-12")
    expect(page.get_by_text("No row is like that")).to_be_visible()


def test_charts_are_drawn(start, open_page, plays):
    cluster = start("anna")
    job = cluster.submit(plays)
    cluster.wait(job, "succeeded")
    page = open_page(f"{cluster.url}/#/jobs/{job}")
    summary = cluster.get(f"/api/v1/jobs/{job}/result/summary")
    bars = page.locator(".bars tbody tr")
    expect(bars).to_have_count(min(10, len(summary["top"])))
    expect(bars.first).to_contain_text(summary["top"][0]["key"])
    assert bars.first.locator(".bars-bar").bounding_box()["width"] > 50
    by_day = page.get_by_role("figure").filter(has_text="by day")
    assert by_day.locator(".u-wrap canvas").evaluate(CELLS) > 1
    by_day.get_by_text("As a table").click()
    expect(by_day.get_by_role("row").nth(1)).to_contain_text(summary["dates"][0]["date"])


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "arrow", "parquet"])
def test_each_download_is_what_the_api_gives(start, open_page, form):
    cluster = start("anna")
    job = cluster.submit(SMALL)
    cluster.wait(job, "succeeded")
    page = open_page(f"{cluster.url}/#/jobs/{job}")
    with page.expect_download() as download:
        page.locator(f"a[data-format='{form}']").click()
    data = download.value.path().read_bytes()
    assert data == cluster.ask(f"/api/v1/jobs/{job}/result?format={form}")
    if form == "csv.gz":
        assert gzip.decompress(data) == cluster.ask(f"/api/v1/jobs/{job}/result")


def test_rejects_and_receipt_add_up(start, open_page):
    cluster = start("anna")
    bad = b"".join(b"Odd,2026-01-01,many %d\n" % n for n in range(30))
    job = cluster.submit(SMALL + bad, "?max_rejects=100")
    cluster.wait(job, "succeeded")
    page = open_page(f"{cluster.url}/#/jobs/{job}")
    receipt = page.get_by_role("region", name="Receipt")
    for words in ["330", "300", "30", "adds up"]:
        expect(receipt).to_contain_text(words)
    table = page.get_by_role("table", name="Records that could not be counted")
    expect(table.get_by_role("row")).to_have_count(26)
    page.get_by_role("region", name="Rejects").get_by_role("button", name="Next").click()
    expect(table.get_by_role("row")).to_have_count(6)
    expect(table).to_contain_text("many 29")


def test_what_is_counted_so_far_is_shown_with_its_share(start, open_page, plays):
    cluster = start("anna", flags=["--task-bytes", "500kB"])
    # All of the upload but its end: the job can not end before the test wants.
    data = plays.read_bytes()
    upload = upload_part(cluster, data, len(data) - 100_000)
    page = open_page(f"{cluster.url}/#/jobs/{upload}")
    page.allowed.append("409")
    state(page, "receiving")
    page.get_by_role("button", name="Look at what is counted so far").click()
    expect(page.get_by_text("Partial:")).to_be_visible()
    expect(page.get_by_text("of the input,")).to_be_visible()
    expect(page.get_by_role("table", name="Rows of the result").get_by_role("row").nth(1)).to_be_visible()


def test_a_job_is_cancelled_and_deleted(start, open_page):
    cluster = start()
    job = cluster.submit(SMALL, "?name=unwanted.csv")
    page = open_page(f"{cluster.url}/#/jobs/{job}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep it").click()
    assert cluster.job(job)["state"] == "running"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    state(page, "cancelled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_text("unwanted.csv").wait_for()
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    assert cluster.get("/api/v1/jobs")["jobs"] == []


def test_a_job_that_is_deleted_elsewhere_is_gone(start, open_page):
    cluster = start()
    job = cluster.submit(SMALL)
    page = open_page(cluster.url)
    expect(page.locator(f"tr[data-job='{job}']")).to_be_visible()
    cluster.ask(f"/api/v1/jobs/{job}", method="DELETE")
    expect(page.locator(f"tr[data-job='{job}']")).to_have_count(0)
    page.allowed += ["404", "410"]
    page.goto(f"{cluster.url}/#/jobs/{job}")
    expect(page.get_by_role("heading", name="Deleted")).to_be_visible()
    page.reload()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".live")).to_have_text("complete")


# What chooses a value in the select of a label, as a reader's hand does.
CHOOSE = """(label, value) => {
    const select = document.querySelector(`select[aria-label="${label}"]`);
    select.value = value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
}"""


def test_many_jobs_come_in_pages_and_are_narrowed_down(start, open_page):
    cluster = start()
    cluster.slave("anna")
    ids = [cluster.submit(b"Song,Date,Number of Plays\na,2026-01-01,1\n", f"?name=job-{n}") for n in range(120)]
    for job in ids:
        cluster.wait(job, "succeeded")
    page = open_page(cluster.url)
    rows = page.locator(".job-list tbody tr")
    expect(rows).to_have_count(100)
    expect(page.get_by_role("button", name="More")).to_be_enabled()
    # Another order and "More" before anything is drawn: the page after this one was of the other order.
    page.evaluate(f"""() => {{
        const more = [...document.querySelectorAll(".panel-foot button")].find((button) => button.textContent === "More");
        ({CHOOSE})("Order", "name asc");
        more.click();
    }}""")
    expect(rows.first).to_contain_text("job-0")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="More").click()
    expect(rows).to_have_count(120)
    page.get_by_label("Search jobs by name").fill("job-11")
    expect(rows).to_have_count(11)
    page.get_by_role("group", name="State").get_by_role("button", name="Failed").click()
    expect(page.get_by_text("No job is like that")).to_be_visible()
    page.get_by_role("group", name="State").get_by_role("button", name="All").click()
    page.get_by_label("Order").select_option("Oldest first")
    expect(rows.first).to_contain_text("job-11")


def test_choices_made_between_two_frames_all_count(start, open_page):
    cluster = start()
    cluster.slave("anna")
    for name in ("first", "second", "third"):
        cluster.wait(cluster.submit(b"Song,Date,Number of Plays\na,2026-01-01,1\n", f"?name={name}&priority=high"), "succeeded")
    cluster.wait(cluster.submit(b"Song,Date,Number of Plays\na,2026-01-01,1\n", "?name=other"), "succeeded")
    page = open_page(cluster.url)
    rows = page.locator(".job-list tbody tr")
    expect(rows).to_have_count(4)
    page.get_by_role("group", name="State").get_by_role("button", name="Failed").click()
    expect(page.get_by_text("No job is like that")).to_be_visible()
    # One task of the page's own: nothing is drawn between the three.
    page.evaluate(f"""() => {{
        [...document.querySelectorAll(".filter .segment")].find((button) => button.textContent === "All").click();
        ({CHOOSE})("Priority", "high");
        ({CHOOSE})("Order", "opened asc");
    }}""")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("first")
