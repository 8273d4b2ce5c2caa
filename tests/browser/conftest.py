"""What the tests are given: clusters, inputs, and pages that tolerate no error.

Chromium is the machine's own (TALLY_CHROMIUM names another one); nothing is downloaded.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parent))

from cluster import TALLY, Cluster  # noqa: E402

# A page has as long as any other condition: the machine may have much else to do.
expect.set_options(timeout=30_000)

CHROMIUM = os.environ.get("TALLY_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        pytest.skip("there is no Chromium; apt-get install chromium, or set TALLY_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def start():
    """Starts clusters: `start("anna", "ben", flags=[…])`."""
    clusters = []

    def begin(*slaves, flags=()):
        cluster = Cluster(*flags)
        clusters.append(cluster)
        for name in slaves:
            cluster.slave(name)
        return cluster

    yield begin
    for cluster in clusters:
        cluster.close()


@pytest.fixture
def open_page(browser):
    """Opens pages: `open_page(url, width=360)`. An error in one that is not in `page.allowed` fails the test."""
    contexts, wrong = [], []

    def begin(url, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.allowed = []

        def note(kind, text):
            if not any(word in text for word in page.allowed):
                wrong.append(f"{kind}: {text}")

        page.on("console", lambda message: message.type in ("error", "warning") and note("console", message.text))
        page.on("pageerror", lambda error: note("error", str(error)))
        page.on("dialog", lambda dialog: (note("dialog", dialog.message), dialog.dismiss()))
        page.set_default_timeout(30_000)
        page.goto(url)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert not wrong, wrong


@pytest.fixture(scope="session")
def plays(tmp_path_factory):
    """A generated CSV of 8 MB."""
    path = tmp_path_factory.mktemp("inputs") / "plays.csv"
    subprocess.run([TALLY, "generate", "--size", "8MB", "--kind", "low", "-o", path], check=True, capture_output=True)
    return path
