"""What a person does in the page, done by a headless Chromium."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from app_clips import colour_clip, colour_demo
from PIL import Image

pytest.importorskip("gradio", reason="gradio is not installed (extra: demo)")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")

import app  # noqa: E402
from modeling_semtrack.export import load_trajectories  # noqa: E402
from modeling_semtrack.video import VideoReader  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FRAMES = 200
PATIENCE = 60_000  # milliseconds; for loaded machines
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return colour_clip(tmp_path_factory.mktemp("clip"), FRAMES)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))
    demo = colour_demo()
    page = app.build(demo, "model")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, css=app.CSS)
    yield address.rstrip("/")
    page.close()
    del os.environ["GRADIO_TEMP_DIR"]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the path (apt-get install chromium)")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as engine:
        opened = engine.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


class Visitor:
    """A person with a tab of their own."""

    def __init__(self, browser, address, size="desktop"):
        self.context = browser.new_context(viewport=SIZES[size], accept_downloads=True)
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

    def upload(self, path):
        self.page.set_input_files("#upload input[type=file]", str(path))

    def wait_for_status(self, words):
        self.page.wait_for_function(
            "words => document.querySelector('#status')?.innerText.includes(words)", arg=words, timeout=PATIENCE
        )

    def click_picture(self, x, y, width=120, height=90):
        """A click on a pixel of the video."""
        shown = self.page.locator("#picture img")
        shown.scroll_into_view_if_needed()
        box = shown.bounding_box()
        shown.click(position={"x": (x + 0.5) * box["width"] / width, "y": (y + 0.5) * box["height"] / height})

    def open_and_track(self, clip):
        self.upload(clip)
        self.wait_for_status("Click the target")
        self.click_picture(16, 46)
        self.wait_for_status("press Track")
        self.page.click("#track")
        self.wait_for_status(f"{FRAMES} tracked")

    def wait_for_position(self, condition):
        """Until the shown frame's index meets a condition."""
        value = "Number(document.querySelector('#position input[type=number]').value)"
        self.page.wait_for_function(f"{value} {condition}")

    def tab(self, name):
        self.page.get_by_role("tab", name=name).click()


@pytest.fixture
def visitor(browser, server):
    visitor = Visitor(browser, server)
    yield visitor
    visitor.context.close()


def test_a_person_gets_from_a_video_to_its_files(visitor, clip, tmp_path):
    """Upload, click, track, jump to an event by its row and by the timeline, download everything and read it."""
    visitor.open_and_track(clip)
    assert "visible in" in visitor.page.locator("#summary").inner_text()
    visitor.page.get_by_role("gridcell", name="chase").first.click()
    visitor.wait_for_position("=== 0")  # it was at the end
    figure = visitor.page.locator("#timeline img")
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    figure.click(position={"x": 0.6 * box["width"], "y": box["height"] - 8})
    visitor.wait_for_position("> 50")
    visitor.tab("Take away")
    visitor.page.get_by_role("button", name="Make the files").click()
    visitor.page.wait_for_selector("#files a[download]")
    files = download_all(visitor, tmp_path)
    assert len(load_trajectories(files["trajectory.json"])[0].frames) == FRAMES
    assert json.loads(files["coco.json"].read_text())["annotations"]
    assert json.loads(files["semtrack.json"].read_text())["tracks"]
    with files["events.csv"].open() as table:
        assert next(csv.DictReader(table))["interaction"] == "chase"
    assert re.search(r"00:00:00,000 --> .*\ntarget 1: chase", files["subtitles.srt"].read_text())
    with VideoReader(files["annotated.mp4"]) as video:
        assert sum(1 for _ in video) == FRAMES
    assert Image.open(files["timeline.png"]).width > 500
    assert not visitor.elsewhere and not visitor.errors


def download_all(visitor, folder):
    files = {}
    for link in visitor.page.locator("#files a[download]").all():
        with visitor.page.expect_download() as waiting:
            link.click()
        name = waiting.value.suggested_filename
        path = Path(folder) / name
        waiting.value.save_as(path)
        files[name.removeprefix("clip_")] = path
    return files


def test_stop_and_go_on(visitor, clip):
    """A stopped run keeps what it has and goes on from there."""
    visitor.upload(clip)
    visitor.wait_for_status("Click the target")
    visitor.click_picture(16, 46)
    visitor.wait_for_status("press Track")
    visitor.page.click("#track")
    visitor.wait_for_status("frames per second")
    visitor.page.click("#stop")
    visitor.wait_for_status("tracked")
    done = int(re.search(r"Frame (\d+) of", visitor.page.locator("#status").inner_text()).group(1))
    assert 1 <= done < FRAMES
    visitor.page.click("#track")
    visitor.wait_for_status(f"{FRAMES} of {FRAMES} tracked")


def test_two_visitors_see_their_own_work(browser, server, clip):
    one, other = Visitor(browser, server), Visitor(browser, server)
    one.open_and_track(clip)
    other.upload(clip)
    other.wait_for_status("Click the target")
    assert "Nothing has been tracked" in other.page.locator("#summary").inner_text()
    assert other.page.locator("#targets img").count() == 0 and one.page.locator("#targets img").count() == 1
    for visitor in (one, other):
        visitor.context.close()


@pytest.mark.parametrize("make", [lambda path: path.write_text("no video " * 30), lambda path: path.touch()])
def test_a_bad_video_is_refused_in_the_page_which_goes_on(visitor, clip, tmp_path, make):
    bad = tmp_path / "holiday.mp4"
    make(bad)
    visitor.upload(bad)
    toast = visitor.page.locator(".toast-body").first
    toast.wait_for()
    assert "holiday.mp4" in toast.inner_text() and "/" not in toast.inner_text().replace("and/or", "")
    visitor.page.reload()
    visitor.open_and_track(clip)


def test_tracking_without_a_target_is_answered(visitor, clip):
    visitor.page.click("#track")
    toast = visitor.page.locator(".toast-body").first
    toast.wait_for()
    assert "pick a target first" in toast.inner_text()


def test_a_phone_shows_everything_in_its_width(browser, server, clip):
    """Nothing sticks out to the side, and a touch-sized click still hits."""
    visitor = Visitor(browser, server, "phone")
    visitor.open_and_track(clip)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"]["width"]
    visitor.context.close()
