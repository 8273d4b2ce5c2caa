"""Slaves and the master come and go while the page is open."""

from playwright.sync_api import expect

from cluster import eventually
from pages import state, upload_part


def test_a_slave_that_dies_is_shown_gone_and_the_job_ends(start, open_page, plays):
    cluster = start("anna", "ben", flags=["--task-bytes", "500kB"])
    data = plays.read_bytes()
    sent = len(data) - 2_000_000
    job = upload_part(cluster, data, sent)
    page = open_page(cluster.url)
    expect(page.locator("tr[data-slave=anna]")).to_be_visible()
    expect(page.locator("tr[data-slave=ben]")).to_be_visible()
    cluster.kill_slave("ben")
    expect(page.locator("tr[data-slave=ben].gone")).to_contain_text("gone", timeout=60_000)
    expect(page.get_by_role("region", name="Slaves")).to_contain_text("1 slave, 1 worker")
    rest = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(sent), "Content-Type": "application/offset+octet-stream"}
    cluster.ask(f"/api/v1/uploads/{job}", data[sent:], "PATCH", rest)
    expect(page.locator(f"tr[data-job='{job}'] .state")).to_have_text("succeeded", timeout=60_000)


def test_a_slave_that_has_lied_is_shown_with_its_reason_until_it_is_trusted(start, open_page):
    cluster = start("anna")
    cluster.processes.leave_liar("ben <b>", "its answer to task 1 of job x was false", 1_700_000_000_000)
    page = open_page(cluster.url)
    kept_out = page.get_by_role("list", name="Slaves that are not let in")
    expect(kept_out).to_contain_text("ben <b> not let in")
    expect(kept_out).to_contain_text("since 2023-11-14 22:13: its answer to task 1 of job x was false")
    cluster.ask("/api/v1/slaves/set-aside/ben%20%3Cb%3E", method="DELETE")
    expect(kept_out).to_have_count(0)


def test_the_page_connects_again_after_a_restart(start, open_page, plays):
    cluster = start("anna")
    first = cluster.submit(plays, "?name=before.csv")
    cluster.wait(first, "succeeded")
    page = open_page(cluster.url)
    # The browser itself says so when nobody listens.
    page.allowed += ["net::ERR_", "Failed to load resource"]
    expect(page.locator(".live")).to_have_text("live")
    cluster.kill_master()
    expect(page.locator(".live")).to_contain_text("reconnecting")
    expect(page.locator(f"tr[data-job='{first}']")).to_be_visible()
    cluster.start_master()
    expect(page.locator(".live")).to_have_text("live", timeout=30_000)
    eventually("anna joins again", lambda: "anna" in cluster.names())
    second = cluster.submit(plays, "?name=after.csv")
    expect(page.locator(f"tr[data-job='{second}'] .state")).to_have_text("succeeded", timeout=60_000)
    expect(page.locator(f"tr[data-job='{first}']")).to_be_visible()


def test_a_jobs_page_connects_again_after_a_restart(start, open_page, plays):
    cluster = start(flags=["--task-bytes", "500kB"])
    job = cluster.submit(plays)
    page = open_page(f"{cluster.url}/#/jobs/{job}")
    page.allowed += ["net::ERR_", "Failed to load resource"]
    state(page, "running")
    cluster.kill_master()
    expect(page.locator(".live")).to_contain_text("reconnecting")
    cluster.start_master()
    expect(page.locator(".live")).to_have_text("live", timeout=30_000)
    cluster.slave("anna")
    state(page, "succeeded")
