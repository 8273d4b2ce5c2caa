"""The dashboard of a master that asks for keys: one logs in, sees and does what the key lets one, and logs out. Other
sites' pages can not use the session, and no page breaks its policy."""

import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests
from cluster import TALLY
from playwright.sync_api import expect

PLAYS = b"Song,Date,Number of Plays\na,2026-01-01,1\n"
PRESET = b'{"preset": "products"}'


class Guarded:
    """A master that asks for keys, and one key of each scope."""

    def __init__(self, start, folder):
        self.file = folder / "keys.json"
        self.keys = {scope: self.create(scope) for scope in ("read", "submit", "admin")}
        self.cluster = start(flags=["--keys", str(self.file)])
        self.url = self.cluster.url

    def keys_command(self, *arguments):
        command = [TALLY, "keys", *arguments, "--keys", str(self.file)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def create(self, scope):
        return self.keys_command("create", "--name", f"the {scope}er", "--scope", scope).split()[-1]

    def ask(self, path, method="GET", data=None, scope="admin"):
        headers = {"authorization": f"Bearer {self.keys[scope]}"}
        answer = requests.request(method, self.url + path, data=data, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer

    def submit(self):
        return self.ask("/api/v1/jobs", "POST", PLAYS).json()["id"]


@pytest.fixture
def guarded(start, tmp_path):
    return Guarded(start, tmp_path)


def log_in(page, key):
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()


def test_one_logs_in_cancels_a_job_and_logs_out(guarded, open_page):
    page = open_page(guarded.url)
    expect(page.get_by_label("API key")).to_be_focused()
    page.allowed += ["401"]
    log_in(page, guarded.keys["admin"][:-1] + "x")
    expect(page.get_by_role("alert")).to_contain_text("none of this master's")
    log_in(page, guarded.keys["admin"])
    expect(page.locator(".myself")).to_have_text("the adminer")
    expect(page.locator(".live")).to_have_attribute("data-live", "live")
    # What happens now is seen.
    job = guarded.submit()
    row = page.locator(f"tr[data-job='{job}']")
    expect(row).to_be_visible()
    page.goto(f"{guarded.url}/#/jobs/{job}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".state").first).to_have_attribute("data-state", "cancelled")
    assert guarded.ask(f"/api/v1/jobs/{job}").json()["state"] == "cancelled"
    # No script can read what the browser shows the master.
    assert "tally_session" not in page.evaluate("document.cookie")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.request.get(guarded.url + "/api/v1/jobs").status == 401
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_what_a_reader_may_not_do_is_not_offered(guarded, open_page):
    job = guarded.submit()
    guarded.ask("/api/v1/tables", "POST", PRESET)
    page = open_page(guarded.url)
    log_in(page, guarded.keys["read"])
    expect(page.locator(".myself")).to_have_text("the reader")
    expect(page.locator("#file")).to_be_disabled()
    page.goto(f"{guarded.url}/#/jobs/{job}")
    for name in ("Cancel", "Delete"):
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_be_disabled()
        assert "scope" in button.get_attribute("title")
    page.goto(f"{guarded.url}/#/tables")
    expect(page.get_by_role("button", name="Declare a table")).to_be_disabled()
    page.goto(f"{guarded.url}/#/tables/products")
    expect(page.get_by_role("button", name="Add a row")).to_be_disabled()
    expect(page.get_by_role("button", name="Drop products")).to_be_disabled()


def test_one_who_may_submit_uploads_by_the_page(guarded, open_page):
    page = open_page(guarded.url)
    log_in(page, guarded.keys["submit"])
    page.set_input_files("#file", {"name": "plays.csv", "mimeType": "text/csv", "buffer": PLAYS})
    page.get_by_role("dialog").get_by_role("button", name="Count").click()
    expect(page.get_by_role("heading", name="plays.csv")).to_be_visible()


def test_a_key_that_is_revoked_ends_its_sessions(guarded, open_page):
    page = open_page(guarded.url)
    log_in(page, guarded.keys["read"])
    expect(page.locator(".myself")).to_have_text("the reader")
    guarded.keys_command("revoke", "the reader")
    page.allowed += ["401"]
    page.wait_for_timeout(1500)
    page.goto(f"{guarded.url}/#/tables")
    expect(page.get_by_label("API key")).to_be_visible()


def test_other_sites_pages_can_not_use_the_session(guarded, open_page, tmp_path):
    job = guarded.submit()
    page = open_page(guarded.url)
    log_in(page, guarded.keys["admin"])
    expect(page.locator(".myself")).to_be_visible()
    # Of this page itself, without what only it knows.
    page.allowed += ["403", "CORS", "ERR_FAILED", "ERR_BLOCKED", "401", "404", "frame", "Refused"]
    bare = "path => fetch(path, {method: 'POST'}).then(answer => answer.status)"
    assert page.evaluate(bare, f"/api/v1/jobs/{job}/cancel") == 403
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(
        f"<form method=post action='{guarded.url}/api/v1/jobs/{job}/cancel'><button>win</button></form>"
        f"<iframe src='{guarded.url}/'></iframe>"
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        # Another port is another origin, but the same site: the cookie is sent.
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        ask = "url => fetch(url, {method: 'POST', credentials: 'include'}).then(a => a.status, () => 'refused')"
        assert page.evaluate(ask, f"{guarded.url}/api/v1/jobs/{job}/cancel") == "refused"
        read = "url => fetch(url, {credentials: 'include'}).then(a => a.status, () => 'refused')"
        assert page.evaluate(read, f"{guarded.url}/session") == "refused"
        # The dashboard is not shown in a frame of theirs.
        assert not any(frame.url.startswith(guarded.url) for frame in page.frames)
        with page.expect_navigation():
            page.get_by_role("button", name="win").click()
    finally:
        server.shutdown()
    assert guarded.ask(f"/api/v1/jobs/{job}").json()["state"] != "cancelled"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_every_page_keeps_to_its_policy(guarded, open_page):
    """An error or warning in the console, as a violation is, fails a test by itself."""
    job = guarded.submit()
    guarded.ask("/api/v1/tables", "POST", PRESET)
    page = open_page(guarded.url)
    log_in(page, guarded.keys["admin"])
    expect(page.locator(".myself")).to_be_visible()
    for place in ("", "tables", "sources", f"jobs/{job}", "tables/products"):
        page.goto(f"{guarded.url}/#/{place}")
        expect(page.locator("main h1, main h2").first).to_be_visible()
    answer = page.goto(f"{guarded.url}/docs/")
    expect(page.get_by_text("/api/v1/jobs").first).to_be_visible()
    for path in ("/", "/docs/", "/session", "/api/v1/jobs", "/docs/http.md", "/api/v1/nothing"):
        headers = page.request.get(guarded.url + path).headers
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy, (path, policy)
        assert "unsafe" not in policy or path == "/docs/"
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "camera=()" in headers["permissions-policy"]
    assert page.request.get(guarded.url + "/session").headers["cache-control"] == "no-store"
    assert answer.ok
