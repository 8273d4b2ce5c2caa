"""Names of songs, files and slaves are data from strangers: they stay text, everywhere."""

from urllib.parse import quote

from playwright.sync_api import expect

SONGS = [
    '<img src=x onerror="document.title=\'owned\';alert(1)">',
    "</script><script>document.title='owned';alert(2)</script>",
    "javascript:alert(3)",
    "{{7*7}} ${7*7} <b>bold</b> &amp; &lt;",
    "\u202egnirts desrever",
    "=cmd|' /C calc'!A0",
]


def test_hostile_names_stay_text(start, open_page):
    name = "<img src=x onerror=alert(4)>.csv"
    slave = "<svg onload=alert(5)>"
    cluster = start(slave)
    rows = "".join('"{}",2026-01-0{},{}\n'.format(song.replace('"', '""'), i + 1, 10 - i) for i, song in enumerate(SONGS))
    bad = '"<iframe src=javascript:alert(6)>",never,1\n'
    data = ("Song,Date,Number of Plays\n" + rows + bad).encode()
    job = cluster.submit(data, f"?max_rejects=1&name={quote(name)}")
    cluster.wait(job, "succeeded")
    page = open_page(cluster.url)
    expect(page.locator(f"tr[data-job='{job}'] .name")).to_have_text(name)
    expect(page.locator(".slave-list .name").first).to_have_text(slave)
    page.goto(f"{cluster.url}/#/jobs/{job}")
    result = page.get_by_role("table", name="Rows of the result")
    for song in SONGS:
        expect(result.get_by_role("cell", name=song, exact=True)).to_have_count(1)
        # The chart has it, too.
        expect(page.locator(".bars th").get_by_text(song, exact=True)).to_have_count(1)
    expect(page.get_by_text("<iframe src=javascript:alert(6)>").first).to_be_visible()
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": data})
    expect(page.get_by_role("dialog").get_by_text(SONGS[0]).first).to_be_visible()
    assert "owned" not in page.title()
    # What is drawn as markup would be one of these.
    assert page.locator("main img, main iframe, main script, main b:not(.equation b)").count() == 0


def test_the_policy_holds(start, open_page):
    """The browser itself refuses what is not the dashboard's own."""
    cluster = start()
    page = open_page(cluster.url)
    page.allowed += ["Content Security Policy", "404"]
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'owned'";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\\"document.title='owned'\\">");
    }""")
    page.wait_for_timeout(300)
    assert page.title() == "Tally"
