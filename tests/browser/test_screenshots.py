"""Pictures of the main pages, for the docs: TALLY_SCREENSHOTS=docs/screenshots names where they go."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect

from cluster import TALLY, eventually
from pages import state
from tables import add, change, loaded, open_row, products

FOLDER = os.environ.get("TALLY_SCREENSHOTS")
# So that a picture does not weigh down the repository, in bytes.
MOST = 300_000

pytestmark = pytest.mark.skipif(not FOLDER, reason="TALLY_SCREENSHOTS names no folder")


def shoot(page, name, **options):
    path = Path(FOLDER, f"{name}.png").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, **options)
    assert path.stat().st_size < MOST, f"{path} is too large"


class Slow(threading.Thread):
    """Lets slaves run for a small part of the time, so that there is something to be seen."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            for number, seconds in [(signal.SIGSTOP, 0.2), (signal.SIGCONT, 0.012)]:
                for name in list(self.cluster.slaves):
                    self.cluster.signal(name, number)
                self.over.wait(seconds)

    def end(self):
        self.over.set()
        self.join()


def test_pictures(start, open_page, plays, tmp_path):
    names = ["anna", "ben", "carla", "dora", "emil"]
    cluster = start(*names, flags=["--task-bytes", "600kB"])
    large = tmp_path / "plays-2026.csv"
    subprocess.run([TALLY, "generate", "--size", "120MB", "--kind", "low", "-o", large], check=True, capture_output=True)
    wrong = b"Song,Date,Number of Plays\nYesterday,2026-01-01,many\n"
    for name, data in [("plays-january.csv", plays), ("plays-february.csv", plays), ("typed-by-hand.csv", wrong)]:
        cluster.wait(cluster.submit(data, f"?name={name}"), "succeeded", "failed")
    done = cluster.submit(large, "?name=plays-2025.csv&priority=high")
    cluster.wait(done, "succeeded")
    slow = Slow(cluster)
    running = cluster.submit(large, "?name=plays-2026.csv")
    for name, priority in [("plays-2024.csv", "low"), ("plays-2023.csv", "low")]:
        cluster.submit(plays, f"?name={name}&priority={priority}")
    page = open_page(f"{cluster.url}/#/jobs/{running}", width=1280, height=1060)
    state(page, "running")
    eventually("some is counted", lambda: cluster.job(running)["tasks"]["done"] > 30)
    cluster.kill_slave("emil")
    eventually("more is counted", lambda: cluster.job(running)["tasks"]["done"] > 110)
    shoot(page, "job-running")
    page.set_viewport_size({"width": 1280, "height": 860})
    page.goto(f"{cluster.url}/#/")
    expect(page.locator(f"tr[data-job='{running}']")).to_be_visible()
    page.wait_for_timeout(1500)
    shoot(page, "overview")
    page.set_input_files("#file", large)
    expect(page.get_by_text("This can be counted")).to_be_visible()
    shoot(page, "preflight")
    page.keyboard.press("Escape")
    for name, options in [("job-done", {}), ("job-done-dark", {"color_scheme": "dark"})]:
        page = open_page(f"{cluster.url}/#/jobs/{done}", width=1280, height=1180, **options)
        expect(page.locator(".bars")).to_be_visible()
        page.wait_for_timeout(800)
        shoot(page, name)
    slow.end()
    phone = open_page(cluster.url, width=360, height=740, device_scale_factor=2)
    expect(phone.locator(f"tr[data-job='{running}']")).to_be_visible()
    phone.wait_for_timeout(800)
    shoot(phone, "phone")


def test_pictures_of_tables(start, open_page):
    cluster = start()
    table = products(cluster, 0)
    kinds = ["Lamp", "Chair", "Desk", "Shelf", "Rug", "Mirror", "Clock", "Vase", "Bench", "Stool", "Sofa", "Bed"]
    # Some of each kind, and of some kinds more.
    table.apply(*(add(n, kinds[min(n * 7 % 19, n * 3 % 12)]) for n in range(12_000)))
    page = open_page(table.page, width=1280, height=1640)
    loaded(page, 50)
    table.apply({"op": "delete", "key": "sku-011990"}, change(4, description="back in stock"), add(12_000, "Lamp"))
    table.apply(change(9, name="Mirror", description="sold out"))
    expect(page.locator("[data-part=stale]")).to_be_visible()
    expect(page.get_by_role("region", name="Changes", exact=True).locator("li").first).to_contain_text("sold out")
    page.wait_for_timeout(800)
    shoot(page, "table")
    page.set_viewport_size({"width": 1280, "height": 760})
    dialog = open_row(page, "sku-000004")
    dialog.get_by_label("description").fill("back in stock, 12 of them")
    table.apply(change(4, description="back in stock from Monday on"))
    expect(dialog.locator("[data-part=news]")).to_be_visible()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Write mine over it")).to_be_visible()
    shoot(page, "table-conflict")
    dark = open_page(table.page, width=1280, height=1640, color_scheme="dark")
    loaded(dark, 50)
    dark.wait_for_timeout(800)
    shoot(dark, "table-dark")
    phone = open_page(table.page, width=360, height=740, device_scale_factor=2)
    loaded(phone, 50)
    phone.get_by_label("Search rows").fill("back")
    expect(phone.locator("tr[data-row]")).to_have_count(1)
    phone.get_by_role("heading", name="Rows").scroll_into_view_if_needed()
    phone.wait_for_timeout(800)
    shoot(phone, "table-phone")
