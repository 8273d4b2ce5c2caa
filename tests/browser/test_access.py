"""The page without a mouse, on a small screen, in the dark, and for a screen reader."""

import pytest
from playwright.sync_api import expect

from pages import SMALL, focus, luminance, state


@pytest.fixture
def done(start):
    cluster = start("anna")
    long = "a-name-that-is-longer-than-any-screen-is-wide-" * 4
    job = cluster.submit(SMALL + b"Odd,2026-01-01,many\n", f"?max_rejects=1&name={long}.csv")
    cluster.wait(job, "succeeded")
    return cluster, job


def test_everything_works_by_keyboard(done, open_page):
    cluster, job = done
    page = open_page(cluster.url)
    expect(page.locator(f"tr[data-job='{job}']")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    focus(page, "Search jobs by name")
    page.keyboard.type("nothing like it")
    expect(page.get_by_text("No job is like that")).to_be_visible()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    expect(page.locator(f"tr[data-job='{job}']")).to_be_visible()
    focus(page, "a-name-that-is-longer")
    page.keyboard.press("Enter")
    state(page, "succeeded")
    focus(page, "Delete")
    # Where the focus is can be seen.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete this job?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No jobs yet")).to_be_visible()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_screen(done, open_page, width):
    cluster, job = done
    page = open_page(cluster.url, width=width, height=740)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    expect(page.locator(f"tr[data-job='{job}']")).to_be_visible()
    assert page.evaluate(wide) == 0
    page.set_input_files("#file", {"name": "a" * 200 + ".csv", "mimeType": "text/csv", "buffer": SMALL})
    expect(page.get_by_text("This can be counted")).to_be_visible()
    assert page.evaluate(wide) == 0
    assert page.get_by_role("dialog").bounding_box()["width"] <= width
    page.keyboard.press("Escape")
    page.goto(f"{cluster.url}/#/jobs/{job}")
    expect(page.get_by_role("table", name="Rows of the result")).to_be_visible()
    expect(page.locator(".bars")).to_be_visible()
    assert page.evaluate(wide) == 0


def test_dark_is_dark_and_can_be_chosen(done, open_page):
    cluster, _job = done
    page = open_page(cluster.url, color_scheme="dark")
    assert luminance(page, "body", "backgroundColor") < 0.1
    assert luminance(page, "body", "color") > 0.8
    light = open_page(cluster.url, color_scheme="light")
    assert luminance(light, "body", "backgroundColor") > 0.9
    light.get_by_role("button", name="Colours: auto").click()
    light.get_by_role("button", name="Colours: light").click()
    expect(light.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert luminance(light, "body", "backgroundColor") < 0.1
    light.reload()
    assert luminance(light, "body", "backgroundColor") < 0.1


def test_a_screen_reader_finds_its_way(done, open_page):
    cluster, job = done
    page = open_page(cluster.url)
    for role in ["banner", "main", "contentinfo"]:
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.get_by_role("table", name="Jobs")).to_be_visible()
    expect(page.get_by_role("table", name="Slaves")).to_be_visible()
    cluster.submit(SMALL, "?name=spoken.csv")
    expect(page.locator("#announcer")).to_contain_text("spoken.csv: succeeded", timeout=60_000)
    page.goto(f"{cluster.url}/#/jobs/{job}")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    # Every control and every picture has a name.
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, a, input, select, [role=img], [role=progressbar]")]
        .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.title))
        .map((e) => e.outerHTML)""")
    assert nameless == []


def test_it_stands_still_for_those_who_want_that(done, open_page):
    cluster, _job = done
    page = open_page(cluster.url, reduced_motion="reduce")
    expect(page.locator(".live")).to_have_text("live")
    assert page.evaluate("document.getAnimations().length") == 0
