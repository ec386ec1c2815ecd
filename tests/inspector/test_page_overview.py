"""The overview and the frame around every view, in Chromium."""

import pytest
from asking_inspector import Inspector
from browser import Browser
from selenium.webdriver.common.keys import Keys

VIEWS = ("overview?country=FR", "live", "bench?country=FR&user=FR-sample&k=12")


def _rows(page: Browser) -> list[str]:
    return page.texts("#countries tbody th b")


def test_countries_are_filtered_sorted_and_chosen(page: Browser, inspector: Inspector) -> None:
    """By code or name; by any column; the chosen one's indices and curves stand beside the table."""
    page.open(f"{inspector.url}#/overview")
    page.one("#countries tbody tr")
    assert _rows(page) == ["FR", "US", "DE"]
    page.one("#countries th:first-child button").click()
    assert _rows(page) == ["DE", "FR", "US"]
    assert page.one("#countries th:first-child").get_attribute("aria-sort") == "ascending"
    page.one("input[type=search]").send_keys("united")
    assert _rows(page) == ["US"]
    page.one("#countries tbody button").click()
    page.wait_for_text("United States (US)")
    assert "country=US" in page.run("return location.hash")
    page.one("input[type=search]").send_keys("zzz")
    page.wait_for_text("No country matches “unitedzzz”")


def test_each_index_has_its_curve(page: Browser, inspector: Inspector) -> None:
    """One panel per index, a line per engine and space, every setting a point, the served one marked, numbers below."""
    page.open(f"{inspector.url}#/overview?country=FR")
    page.one(".index-panel")
    details = inspector.get("country", country="FR").json["indices"]
    assert len(page.all(".index-panel")) == len(details)
    points = [point for index in details for curve in index["curves"] for point in curve["points"]]
    assert len(page.all(".curve > svg circle")) == len(points)
    assert len(page.all(".curve > svg circle.served")) == sum(point["chosen"] for point in points)
    assert len(page.all(".numbers tbody tr")) == len(points)
    assert "Paths are followed exactly" in page.run("return document.body.textContent")


def test_a_country_that_is_not_there_is_said_so(page: Browser, inspector: Inspector) -> None:
    """An old link leads to a notice, and the largest country is shown."""
    page.open(f"{inspector.url}#/overview?country=ZZ")
    page.wait_for_text("There is no country ZZ in this bundle")
    page.wait_for_text("France (FR)")
    page.open(f"{inspector.url}#/bench?country=ZZ")
    page.wait_for_text("There is no country ZZ in this bundle")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_wider_than_the_window(page: Browser, inspector: Inspector, view: str, width: int) -> None:
    """No view scrolls sideways on a phone or on a desk."""
    page.open(f"{inspector.url}#/{view}", width)
    page.one({"o": "#country-details .index-panel", "l": ".chart", "b": ".columns"}[view[0]])
    assert page.overflow() == 0
    assert page.run("return innerWidth") == width


def test_light_and_dark(page: Browser, inspector: Inspector) -> None:
    """The system's scheme, unless the button says otherwise; the choice outlives a reload."""

    def lightness() -> int:
        colour: str = page.run("return getComputedStyle(document.body).backgroundColor")
        return int(colour.removeprefix("rgb(").partition(",")[0])

    page.open(inspector.url, dark=True)
    page.one("#countries")
    assert lightness() < 60
    page.one("#theme").click()
    assert page.one("#theme-name").text == "light"
    assert lightness() > 200
    page.driver.refresh()
    page.one("#countries")
    assert lightness() > 200
    page.one("#theme").click()
    assert lightness() < 60
    page.one("#theme").click()
    assert page.one("#theme-name").text == "auto"


def test_the_keyboard_reaches_everything(page: Browser, inspector: Inspector) -> None:
    """First the link past the navigation, then the navigation; focus is visible; Enter opens a view."""
    page.open(inspector.url)
    page.one("#countries")
    page.press(Keys.TAB)
    assert page.focused() == "Skip to content"
    assert page.run("return document.activeElement.getBoundingClientRect().top") >= 0
    page.press(Keys.ENTER)
    assert page.focused("id") == "main"
    page.open(inspector.url)
    page.one("#countries")
    reached = []
    for _ in range(8):
        page.press(Keys.TAB)
        reached.append(page.focused("textContent.trim()"))
        outline = page.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline not in ("none", "")
    assert reached[2:5] == ["Overview", "Live", "Query bench"]
    page.run("document.querySelector('[data-view=live]').focus()")
    page.press(Keys.ENTER)
    page.wait(lambda: page.driver.title.startswith("Live"))
    assert page.one("nav [aria-current]").text == "Live"


def test_controls_have_names(page: Browser, inspector: Inspector) -> None:
    """Every button, field and link has an accessible name, every picture a description."""
    for view in VIEWS:
        page.open(f"{inspector.url}#/{view}")
        page.one({"o": ".index-panel", "l": ".chart", "b": ".columns"}[view[0]])
        nameless = page.run(
            """return [...document.querySelectorAll("a, button, input, select, [role=listbox], svg:not([aria-hidden])")]
               .filter((one) => !one.getAttribute("aria-label") && !one.getAttribute("aria-labelledby"))
               .filter((one) => !one.labels?.length && !(one.matches("a, button") && one.textContent.trim()))
               .map((one) => one.outerHTML.slice(0, 120))"""
        )
        assert nameless == []
