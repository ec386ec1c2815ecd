"""The query bench in Chromium: a history built by hand and by keyboard, the answer, its reasons, hostile titles."""

import json
import re

import pytest
from asking_inspector import Inspector
from browser import Browser
from inspected_bundle import HOSTILE_MERCHANT, HOSTILE_TITLE
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from index_store.content import BundleContent

USER = "#/bench?country=FR&user=FR-sample&k=12"


def _open(page: Browser, inspector: Inspector, place: str = "#/bench?country=FR") -> None:
    page.open(inspector.url + place)
    page.one("form.question")
    if "user=" in place or "k=" in place:
        page.one(".columns")


def _field(page: Browser, label: str) -> str:
    """Selector of a labelled field."""
    script = "return [...document.querySelectorAll('label')].find((one) => one.textContent === arguments[0]).htmlFor"
    return "#" + str(page.run(script, label))


def _choose(page: Browser, label: str, text: str) -> None:
    """Type into a search field and take the first suggestion by keyboard."""
    selector = _field(page, label)
    page.one(selector).send_keys(text)
    shown = f"{selector}-list[data-query={json.dumps(text, ensure_ascii=False)}]"
    page.one(f"{shown} [role=option]")
    page.press(Keys.ARROW_DOWN)
    active = page.one(selector).get_attribute("aria-activedescendant")
    assert page.one(f"#{active}").get_attribute("aria-selected") == "true"
    page.press(Keys.ENTER)


def _history(page: Browser) -> list[str]:
    return page.texts(".events .event-name")


def _fused(page: Browser) -> list[str]:
    script = "return [...document.querySelectorAll('.column.fused [role=option]')].map((one) => one.dataset.id)"
    found: list[str] = page.run(script)
    return found


def _ask(page: Browser) -> None:
    page.run(
        "document.querySelector('.answer').dataset.old = 'yes'; document.querySelector('.answer').replaceChildren()"
    )
    page.press_with_control(Keys.ENTER)
    page.one(".columns")


def test_a_sample_user_is_asked_for_by_keyboard(page: Browser, inspector: Inspector) -> None:
    """Search, choose, Ctrl+Enter: the fused list is the API's, every source has a column, the link asks it again."""
    _open(page, inspector)
    _choose(page, "Sample user", "FR-sam")
    page.wait(lambda: len(_history(page)) == 3)
    _ask(page)
    history = inspector.get("user", country="FR", user="FR-sample").json["history"]
    events = [{"item_id": event["item"]["id"], "type": event["type"]} for event in history]
    found = inspector.post("query", {"country": "FR", "k": 10, "history": events}).json
    assert _fused(page) == [one["id"] for one in found["answer"]["candidates"]]
    assert page.texts(".column:not(.fused) h3") == ["led", "two tower", "pdn", "item interaction", "popular"]
    page.wait(lambda: "user=FR-sample" in page.run("return location.hash"))
    assert "--user FR-sample" in page.one(".code").text


def test_a_history_is_built_ordered_and_typed(page: Browser, inspector: Inspector, content: BundleContent) -> None:
    """Items by title, moved, given types, removed: the question has them so, and the command to copy, too."""
    _open(page, inspector)
    for title in ("Title 50 é", "Title 61 é", "Title 70 é"):
        _choose(page, "Add an item", title)
    page.wait(lambda: len(_history(page)) == 3)
    page.one(".events li:nth-child(3) [data-act=up]").click()
    assert _history(page) == ["Title 50 é", "Title 70 é", "Title 61 é"]
    assert page.focused("dataset.act") == "up"
    Select(page.one(".events li:nth-child(1) select")).select_by_value("CART")
    Select(page.one(".events li:nth-child(2) select")).select_by_value("PURCHASE")
    page.one(".events li:nth-child(3) [data-act=remove]").click()
    assert _history(page) == ["Title 50 é", "Title 70 é"]
    page.one(_field(page, "k")).click()
    _ask(page)
    assert "--history cart:fr-0050,purchase:fr-0070 -k 10" in page.one(".code").text
    assert str(content.countries["FR"].item_ids[70]) in page.run("return location.hash")


def test_filters_are_set_and_kept(page: Browser, inspector: Inspector) -> None:
    """Merchants as chips, a price, an item left out; only what the country has is offered."""
    _open(page, inspector)
    page.one(".filters summary").click()
    _choose(page, "Merchants", "merchant-3")
    _choose(page, "Merchants", "merchant-4")
    page.one(".chips li:nth-child(1) button").click()
    page.one(_field(page, "Lowest price")).send_keys("2.5")
    _choose(page, "Leave out", "Title 4 é")
    page.wait_for_text("3 set")
    _ask(page)
    command = page.one(".code").text
    assert "--merchant merchant-4 --price=2.5: --exclude fr-0004" in command
    Select(page.one(_field(page, "Country"))).select_by_value("US")
    page.wait_for_text("This country's catalogue has no merchants and no categories and no prices.")
    assert not page.one(_field(page, "Lowest price")).is_displayed()


def test_candidates_are_walked_through_by_arrow_keys(page: Browser, inspector: Inspector) -> None:
    """One stop of Tab per list; up, down, left and right move; the reasons are those of the one in focus."""
    _open(page, inspector, USER)
    page.run("document.querySelector('.column.fused [tabindex=\"0\"]').focus()")
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    third = page.focused("title")
    assert page.focused("dataset.place") == "2"
    assert f"Why “{third}”" in page.texts(".why h2")
    page.press(Keys.ARROW_RIGHT)
    assert page.run("return document.activeElement.closest('.column').querySelector('h3').textContent") == "led"
    assert "as led found it alone" in page.one(".why").text
    assert len(page.all(".columns [tabindex='0']")) == len(page.all(".columns [role=listbox]"))
    assert page.run("return document.activeElement.classList.contains('same')")


def test_paths_are_drawn_as_thick_as_they_weigh(page: Browser, inspector: Inspector) -> None:
    """Two lines a path, the larger t and s the thicker, and the numbers add up to the score."""
    _open(page, inspector, USER)
    page.run("document.querySelector('.column h3 .s-pdn').closest('.column').querySelector('[role=option]').click()")
    page.one(".graph svg .path")
    drawn = []
    for title in page.texts(".graph .path title"):
        match = re.fullmatch(r"(.*): t (-?[\d.]+), s (-?[\d.]+), adds ([\d.]+)", title)
        assert match
        drawn.append(tuple(float(match[place]) for place in (2, 3, 4)))
    widths = page.run(
        "return [...document.querySelectorAll('.graph .path .edge')].map((one) => +one.getAttribute('stroke-width'))"
    )
    for which in (0, 1):
        by_value = sorted(zip([path[which] for path in drawn], widths[which::2], strict=True))
        assert [width for _, width in by_value] == sorted(widths[which::2])
    direct = float(re.search(r"[\d.]+", page.texts(".graph .direct text")[0])[0])  # type: ignore[index]
    score = float(page.texts(".paths figcaption")[0].rpartition(" ")[2])
    assert sum(adds for *_, adds in drawn) + direct == pytest.approx(score, abs=0.01)
    assert len(page.all(".paths .numbers tbody tr")) == len(drawn)


def test_each_stage_has_its_time(page: Browser, inspector: Inspector) -> None:
    """A row per source of the profile, fusion and the sum, with bars."""
    _open(page, inspector, USER)
    rows = page.texts(".stages tbody th")
    assert rows == ["led", "two_tower", "pdn", "item_interaction", "fuse", "together"]
    assert len(page.all(".stages .meter rect")) == 2 * 4 + 1


def test_calls_to_copy_are_in_tabs(page: Browser, inspector: Inspector) -> None:
    """Arrow keys change the tab; Copy says what it did."""
    _open(page, inspector, USER)
    page.run("document.querySelector('[role=tab]').focus()")
    for begin in ("grpcurl -plaintext", "import numpy as np", "shortlist query"):
        page.press(Keys.ARROW_RIGHT)
        assert page.texts(".code code")[0].startswith(begin)
        assert page.focused("getAttribute('aria-selected')") == "true"
    page.one(".copies .button").click()
    page.wait(lambda: page.texts(".copies [role=status]")[0] in ("Copied", "Selected: press Ctrl C"))


def test_a_hostile_title_stays_text(page: Browser, inspector: Inspector) -> None:
    """In the search, the history, the lists, the reasons and the graph: shown as written, never run."""
    _open(page, inspector, USER)
    assert HOSTILE_TITLE in _history(page)[0]
    _choose(page, "Add an item", "<img src=x")
    page.wait(lambda: HOSTILE_TITLE in _history(page)[-1])
    page.one(".filters summary").click()
    _choose(page, "Merchants", "O'Brien")
    assert page.texts(".chips li span")[0] == HOSTILE_MERCHANT
    _ask(page)
    assert all(HOSTILE_TITLE in name for name in page.texts(".column.fused .candidate"))
    assert HOSTILE_TITLE in page.texts(".why h2")[0]
    assert page.all("main img, main script, svg script") == []
    assert page.driver.title == "Query bench · Shortlist inspector"


def test_an_empty_history_and_a_refusal_are_said_plainly(page: Browser, inspector: Inspector) -> None:
    """Not personal: a notice. A question that the server refuses: its words and the field."""
    _open(page, inspector)
    page.one(_field(page, "k")).click()
    _ask(page)
    page.wait_for_text("The history is empty: the answer is not personal.")
    page.wait_for_text("needs a history")
    page.one(".filters summary").click()
    page.one(_field(page, "Lowest price")).send_keys("9")
    page.one(_field(page, "Highest price")).send_keys("3")
    page.press_with_control(Keys.ENTER)
    page.wait_for_text("filters.price")
    page.wait_for_text("The server refused the request")
    assert page.complaints()  # the status itself
