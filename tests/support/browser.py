"""Debian's Chromium, headless, for tests of pages: found elements, keys, sizes, what the console said."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from running_server import eventually
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
)
WITHIN_S = 40.0


class Browser:
    """One browser. Every wait is on a condition of the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Go to a page that nothing of the last one is left of."""
        self.driver.get("about:blank")
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(url)

    def resize(self, width: int, height: int = 900) -> None:
        """Change the viewport."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def all(self, selector: str) -> list[WebElement]:
        """Find elements by CSS, now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Wait for an element."""
        return eventually(lambda: self.all(selector), within_s=WITHIN_S)[0]

    def texts(self, selector: str) -> list[str]:
        """The text of each, as it is in the document, hidden or not."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def wait(self, condition: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the condition gives
        """Wait for a condition."""
        return eventually(condition, within_s=WITHIN_S)

    def wait_for_text(self, text: str) -> None:
        """Wait until the page says it."""
        self.wait(lambda: text in self.run("return document.body.textContent"))

    def run(self, script: str, *values: object) -> Any:  # noqa: ANN401 - whatever the script gives
        """Run a script in the page."""
        return self.driver.execute_script(script, *values)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        actions = ActionChains(self.driver)
        for key in keys:
            actions.send_keys(key)
        actions.perform()

    def press_with_control(self, key: str) -> None:
        """Press Ctrl and a key."""
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()

    def focused(self, what: str = "textContent") -> str:
        """Say what has the focus."""
        return str(self.run(f"return document.activeElement.{what}"))

    def complaints(self) -> list[str]:
        """Errors and warnings of the console since the last call: scripts that failed, what the policy blocked."""
        lines: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [line["message"] for line in lines if line["level"] in ("SEVERE", "WARNING")]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def full_page(self) -> bytes:
        """Take a picture of the whole page, PNG."""
        height = self.run("return document.documentElement.scrollHeight")
        self.resize(int(self.run("return innerWidth")), int(height))
        return self.driver.get_screenshot_as_png()


@contextmanager
def browser() -> Iterator[Browser]:
    """Start one; `make tools` installs what is missing."""
    for path in (CHROMIUM, DRIVER):
        assert path.exists(), f"{path} is not there: run `make tools`"
    options = Options()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        try:
            driver.set_script_timeout(WITHIN_S)
            yield Browser(driver)
        finally:
            driver.quit()
