"""A person with a browser tab of their own, and the Chromium that shows it."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError

PATIENCE = 120_000  # milliseconds; for loaded machines
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SANDBOX = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def opened_chromium(engine):
    """A headless Chromium of the system, or the one that playwright has installed; skips where there is none."""
    own = engine.chromium.executable_path
    path = next(filter(None, map(shutil.which, NAMES)), own if Path(own).is_file() else None)
    if path is None:
        pytest.skip("there is no Chromium (apt-get install chromium)")
    return engine.chromium.launch(executable_path=path, args=SANDBOX)


class Visitor:
    """A person with a tab of their own.

    Attributes:
        page: The tab.
        elsewhere: Addresses that the page has asked for outside of its server.
        errors: Of the page's scripts.
    """

    def __init__(self, browser, address, size="desktop", scheme="light"):
        self.context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.elsewhere, self.errors = [], []
        self.page.on("request", lambda request: self._asked(request.url, address))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("#track")

    def _asked(self, url, address):
        if not url.startswith((address, "data:", "blob:")):
            self.elsewhere.append(url)

    def close(self):
        self.context.close()

    def upload(self, path):
        self.page.set_input_files("#upload input[type=file]", str(path))
        self.wait_for_status("Click the target")
        self.picture().wait_for()

    def picture(self):
        return self.page.locator("#picture img")

    def status(self):
        return self.page.locator("#status").inner_text()

    def seek(self, frame):
        """Types the index of a frame."""
        number = self.page.locator("#position input[type=number]")
        number.fill(str(frame))
        number.press("Enter")
        self.wait_for_position(f"=== {frame}")

    def wait_for_status(self, words):
        self._wait("words => document.querySelector('#status')?.innerText.includes(words)", words)

    def wait_for_position(self, condition):
        """Until the shown frame's index meets a condition."""
        self._wait(f"() => Number(document.querySelector('#position input[type=number]').value) {condition}")

    def wait_for_text(self, selector, words):
        self._wait("([at, words]) => document.querySelector(at)?.innerText.includes(words)", [selector, words])

    def wait_for_targets(self, count):
        self._wait(f"() => document.querySelectorAll('#targets img').length === {count}")

    def _wait(self, condition, value=None):
        try:
            self.page.wait_for_function(condition, arg=value)
        except TimeoutError as error:
            said = self.page.locator("body").inner_text()
            raise AssertionError(f"waited in vain for {condition} {value}; the page says:\n{said}") from error

    def place(self, x, y):
        """Where a pixel of the video is on the picture, from its upper left corner."""
        return self.picture().evaluate(
            """(image, [x, y]) => {
                const box = image.getBoundingClientRect();
                const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
                return {
                    x: (box.width - image.naturalWidth * scale) / 2 + (x + 0.5) * scale,
                    y: (box.height - image.naturalHeight * scale) / 2 + (y + 0.5) * scale,
                };
            }""",
            [x, y],
        )

    def click_picture(self, x, y):
        """A click on a pixel of the picture as it was sent (of the video, unless that is very large)."""
        self.picture().scroll_into_view_if_needed()
        self.picture().click(position=self.place(x, y))

    def drag_picture(self, start, end):
        """A box drawn with the mouse button held down, between two pixels of the video."""
        self.picture().scroll_into_view_if_needed()
        box = self.picture().bounding_box()
        mouse = self.page.mouse
        for step, pixel in enumerate((start, end)):
            at = self.place(*pixel)
            mouse.move(box["x"] + at["x"], box["y"] + at["y"], steps=1 + 3 * step)
            (mouse.up if step else mouse.down)()

    def pick(self, x, y):
        self.click_picture(x, y)
        self.wait_for_status("press Track")

    def track(self):
        self.page.click("#track")
        self.wait_for_status("tracked")

    def choose(self, what):
        self.page.get_by_label(what, exact=True).check()

    def tab(self, name):
        self.page.get_by_role("tab", name=name).click()

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def toast(self, words):
        """The message with these words, which comes up."""
        toast = self.page.locator(".toast-body").filter(has_text=words).first
        toast.wait_for()
        return toast.inner_text()

    def download_all(self, folder):
        """The files of Take away, by their names."""
        files = {}
        for link in self.page.locator("#files a[download]").all():
            with self.page.expect_download() as waiting:
                link.click()
            name = waiting.value.suggested_filename
            waiting.value.save_as(folder / name)
            files[name] = folder / name
        return files
