"""What several tests look for on a page, and what they send."""

import urllib.request

from playwright.sync_api import expect

# Three hundred songs, each of them on one day.
SMALL = b"Song,Date,Number of Plays\n" + b"".join(b"Song %d,2026-01-%02d,%d\n" % (n, n % 28 + 1, n) for n in range(300))


def preflight(page):
    """The dialog, once the master has said what it thinks of the file."""
    dialog = page.get_by_role("dialog", name="Count a file")
    expect(dialog.get_by_text("can be counted").or_(dialog.get_by_text("can not be counted")).first).to_be_visible()
    return dialog


def state(page, text):
    """Waits until a job's page shows this state."""
    expect(page.locator(".job-head .state")).to_have_text(text, timeout=60_000)


def upload_part(cluster, data, most):
    """Opens an upload over tus and sends its first `most` bytes; gives the job's id."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)), "Content-Type": "application/offset+octet-stream"}
    request = urllib.request.Request(f"{cluster.url}/api/v1/uploads", data[:most], headers, method="POST")
    with urllib.request.urlopen(request) as answer:
        return answer.headers["Location"].rsplit("/", 1)[1]


def focus(page, name, keys=60):
    """Presses Tab until what has the focus is called `name`."""
    for _ in range(keys):
        page.keyboard.press("Tab")
        said = page.evaluate("""() => { const e = document.activeElement;
            if (e.matches("body, main")) return null;
            return e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent ?? e.textContent; }""")
        if name in (said or ""):
            return
    raise AssertionError(f"no Tab leads to {name}")


def luminance(page, selector, what):
    """How bright a colour is, from 0 to 1."""
    colour = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{what}")
    red, green, blue = [int(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
