"""What a person does in the page, done by a headless Chromium: `make test-browser`."""

import csv
import json
import math
import re
import threading
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from app_clips import colour_clip, overlap
from colour_model import ColourModel
from PIL import Image
from tiny_models import tiny_processor

gr = pytest.importorskip("gradio", reason="gradio is not installed (extra: demo)")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")

from app_visitor import PATIENCE, SIZES, Visitor, opened_chromium  # noqa: E402

import app  # noqa: E402
from modeling_semtrack.app_actions import CORNERS, NEW, REGION, Demo  # noqa: E402
from modeling_semtrack.app_video import Limits  # noqa: E402
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint  # noqa: E402
from modeling_semtrack.export import from_coco, load_trajectories  # noqa: E402
from modeling_semtrack.video import VideoReader  # noqa: E402

pytestmark = pytest.mark.browser

FRAMES = 60
RED, GREEN = (16, 46), (66, 76)  # pixels of the colour clip
REAL_FRAMES, DOG = 12, (440, 330)
# Buttons, links and fields that a screen reader would announce without a name.
NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, textarea, [role=tab]')].filter(part =>
    part.checkVisibility() && !part.innerText?.trim() && !part.ariaLabel && !part.title && !part.labels?.length &&
    !part.placeholder && !part.querySelector('img[alt]:not([alt=""]), [aria-label]') && part.type !== 'file'
).map(part => part.outerHTML.slice(0, 200))"""
FOCUSED = """() => { const part = document.activeElement;
    return [part.id, part.name, part.innerText, part.ariaLabel, part.closest('[id]')?.id].join(' '); }"""


class HeldModel(ColourModel):
    """A model that can be made to wait after some frames, so that a run is caught on its way."""

    def __init__(self):
        super().__init__()
        self.left, self.free = math.inf, threading.Event()

    def hold_after(self, calls):
        self.free.clear()
        self.left = calls

    def release(self):
        self.left = math.inf
        self.free.set()

    def track(self, *arguments, **options):
        self.left -= 1
        if self.left < 0:
            self.free.wait(PATIENCE / 1000)
        return super().track(*arguments, **options)


class Server(NamedTuple):
    """The demo on a port of this machine."""

    address: str
    demo: Demo
    page: gr.Blocks


@contextmanager
def served(demo):
    page = app.build(demo, "model")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, **app.LOOKS)
    yield Server(address.rstrip("/"), demo, page)
    page.close()


@pytest.fixture(scope="module", autouse=True)
def uploads(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        yield


@pytest.fixture(scope="module")
def server(uploads):
    with served(Demo(HeldModel(), tiny_processor())) as server:
        yield server


@pytest.fixture(scope="module")
def real_server(uploads):
    """The demo with the provided weights and a short window."""
    with served(Demo(*load_checkpoint(BUNDLED), limits=Limits(frames=REAL_FRAMES))) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as engine:
        opened = opened_chromium(engine)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return colour_clip(tmp_path_factory.mktemp("clip"), FRAMES)


@pytest.fixture
def arrive(browser, server):
    """Opens the page for one more person; nobody's page may ask another server, or fail."""
    visitors = []

    def arrive(address=server.address, **options):
        visitors.append(Visitor(browser, address, **options))
        return visitors[-1]

    yield arrive
    for visitor in visitors:
        visitor.close()
        assert not visitor.elsewhere and not visitor.errors


@pytest.fixture
def held(server):
    yield server.demo.model
    server.demo.model.release()


def test_a_person_gets_from_a_video_to_its_files(arrive, clip, tmp_path):
    """Upload, click, track, jump to an event by its row and by the timeline, download everything and read it."""
    visitor = arrive()
    visitor.upload(clip)
    visitor.pick(*RED)
    visitor.wait_for_targets(1)
    visitor.track()
    assert f"visible in {FRAMES} of {FRAMES} frames" in visitor.page.locator("#summary").inner_text()
    visitor.page.get_by_role("gridcell", name="chase").first.click()
    visitor.wait_for_position("=== 0")  # it was at the end
    figure = visitor.page.locator("#timeline img")
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    figure.click(position={"x": 0.6 * box["width"], "y": box["height"] - 8})
    visitor.wait_for_position("> 10")
    visitor.tab("Take away")
    visitor.press("Make the files")
    visitor.page.wait_for_selector("#files a[download]")
    check_files(visitor.download_all(tmp_path))


def check_files(files):
    """Each can be read, and tells of the same target."""
    files = {name.removeprefix("clip_"): path for name, path in files.items()}
    (trajectory,) = load_trajectories(files["trajectory.json"])
    assert len(trajectory.frames) == FRAMES and trajectory.events[0].interaction == "chase"
    (boxes,) = from_coco(json.loads(files["coco.json"].read_text()))
    assert overlap(boxes.frames[-1].box, trajectory.frames[-1].box) > 0.99
    assert 1 in {track["id"] for track in json.loads(files["semtrack.json"].read_text())["tracks"]}
    with files["events.csv"].open() as table:
        assert next(csv.DictReader(table))["interaction"] == "chase"
    with files["events_track.csv"].open() as table:
        assert len(list(csv.DictReader(table))) == FRAMES
    assert re.search(r"00:00:00,000 --> .*\ntarget 1: chase", files["subtitles.srt"].read_text())
    with VideoReader(files["annotated.mp4"]) as video:
        assert sum(1 for _ in video) == FRAMES
    assert Image.open(files["timeline.png"]).width > 500


def test_a_real_clip_is_tracked_taught_and_told(arrive, real_server, shared_data):
    """With the provided weights: the dog is boxed, followed, and what it does is learned and forgotten."""
    visitor = arrive(real_server.address)
    visitor.upload(shared_data / "clips" / "sam2_dog.mp4")
    assert f"Only the first {REAL_FRAMES} frames" in visitor.status()
    visitor.pick(*DOG)
    visitor.track()
    visitor.wait_for_text("#summary", f"of {REAL_FRAMES} frames")
    visitor.tab("Teach")
    does = visitor.page.get_by_label("It does")
    does.fill("watering plants")
    does.press("Enter")
    visitor.press("Mark this moment")
    visitor.wait_for_text("#marks", "watering plants")
    visitor.press("Adapt")
    told = visitor.page.locator("#changed").get_by_text(re.compile("new:|gone:|Nothing changed")).first
    told.wait_for()
    opposite = {"new:": "gone:", "gone:": "new:"}.get(told.inner_text().split()[0], "Nothing changed")
    visitor.press("Forget")
    visitor.wait_for_text("#changed", opposite)


def test_stop_then_correct_and_go_on(arrive, server, clip, held):
    """A stopped run keeps what it has; a box corrected in a later frame changes the track from there on."""
    visitor = arrive()
    visitor.upload(clip)
    visitor.pick(*RED)
    held.hold_after(20)
    visitor.page.click("#track")
    visitor.wait_for_status("frames per second")
    visitor.click_picture(*GREEN)
    visitor.toast("still working")
    with visitor.page.expect_response("**/gradio_api/run/**"):
        visitor.page.click("#stop")
    held.release()
    visitor.wait_for_status("tracked")
    done = int(re.search(r"Frame (\d+) of", visitor.status()).group(1))
    assert 1 <= done < FRAMES
    visitor.track()
    visitor.wait_for_status(f"{FRAMES} of {FRAMES} tracked")
    visitor.seek(30)
    visitor.pick(*GREEN)
    visitor.track()
    visitor.tab("Take away")
    assert "corrections" in visitor.page.locator("#command").inner_text()
    assert "Prompt(1, 30" in visitor.page.locator("#python").inner_text()


def test_a_dragged_box_is_followed_backwards_and_a_dragged_region_counts(arrive, clip):
    visitor = arrive()
    visitor.upload(clip)
    visitor.seek(20)
    visitor.drag_picture((19, 39), (33, 53))
    visitor.wait_for_status("press Track")
    visitor.press("Track back")
    visitor.wait_for_status("21 of")
    visitor.choose(REGION)
    visitor.tab("Where")
    visitor.page.get_by_label("Name of the next region").fill("till")
    visitor.drag_picture((5, 45), (60, 65))
    visitor.wait_for_text("#dwell", "till")
    visitor.wait_for_text("#dwell", "100%")
    assert visitor.page.locator("#heat img").is_visible()


def test_a_sorted_table_still_leads_to_its_events(arrive, clip):
    """A row means its own event, wherever it stands."""
    visitor = arrive()
    visitor.upload(clip)
    visitor.pick(*RED)
    visitor.seek(30)
    visitor.choose(NEW)
    visitor.pick(*GREEN)
    visitor.wait_for_targets(2)
    visitor.track()
    head = visitor.page.get_by_role("columnheader", name="from (s)").last
    head.hover()
    head.get_by_label("Open cell menu").click()
    visitor.page.get_by_role("menuitem", name="Sort descending").click()
    visitor.page.get_by_role("gridcell", name="chase").first.click()
    visitor.wait_for_position("=== 30")


def test_two_visitors_see_their_own_work(arrive, clip):
    one, other = arrive(), arrive()
    one.upload(clip)
    one.pick(*RED)
    one.track()
    other.upload(clip)
    assert "Nothing has been tracked" in other.page.locator("#summary").inner_text()
    other.pick(*GREEN)
    other.choose(NEW)
    other.pick(*RED)
    other.wait_for_targets(2)
    one.wait_for_targets(1)


def test_those_who_wait_see_their_place(arrive, server, clip, held):
    """Two runs at once; the next one is told where it stands."""
    from gradio_client import Client, handle_file

    visitor = arrive()
    visitor.upload(clip)
    visitor.pick(*RED)
    held.hold_after(0)
    client = Client(server.address, verbose=False)
    jobs = [client.submit(handle_file(str(clip)), *RED, 0, api_name="/track_point") for _ in range(app.RUNS_AT_ONCE)]
    visitor.page.wait_for_function("() => true")
    while server.page._queue.event_queue_per_concurrency_id["runs"].current_concurrency < app.RUNS_AT_ONCE:
        visitor.page.wait_for_timeout(20)
    visitor.page.click("#track")
    visitor.page.get_by_text(re.compile(r"queue: 1/1")).first.wait_for()
    held.release()
    visitor.wait_for_status("tracked")
    assert all(job.result(PATIENCE / 1000)["trajectories"] for job in jobs)


@pytest.mark.parametrize("make", [lambda path: path.write_text("no video " * 30), lambda path: path.touch()])
def test_a_bad_video_is_refused_in_the_page_which_goes_on(arrive, clip, tmp_path, make):
    visitor = arrive()
    bad = tmp_path / "holiday.mp4"
    make(bad)
    visitor.page.set_input_files("#upload input[type=file]", str(bad))
    assert "/" not in visitor.toast("holiday.mp4")
    visitor.upload(clip)


def test_tracking_without_a_target_is_answered(arrive):
    visitor = arrive()
    visitor.page.click("#track")
    visitor.toast("pick a target first")


def test_the_keyboard_does_it_all(arrive, clip):
    """From the slider on, no mouse: Tab reaches the controls in their order, and arrow keys seek."""
    visitor = arrive()
    visitor.upload(clip)
    assert visitor.page.evaluate(NAMELESS) == []
    visitor.page.locator("#position input[type=range]").focus()
    for _ in range(3):
        visitor.page.keyboard.press("ArrowRight")
    visitor.wait_for_position("=== 3")
    reached = []
    while "What happened" not in "".join(reached) and len(reached) < 40:
        visitor.page.keyboard.press("Tab")
        reached.append(visitor.page.evaluate(FOCUSED))
        if "Pick by numbers" in reached[-1]:
            visitor.page.keyboard.press("Enter")
            visitor.page.get_by_role("button", name="Click there").wait_for()
    wanted = ("what", "track", "stop", "Click there")
    order = [next(i for i, part in enumerate(reached) if name in part) for name in wanted]
    assert order == sorted(order)
    visitor.page.get_by_label("x, pixels").fill(str(RED[0]))
    visitor.page.get_by_label("y, pixels").fill(str(RED[1]))
    visitor.page.get_by_role("button", name="Click there").press("Enter")
    visitor.wait_for_status("press Track")
    visitor.page.locator("#track").press("Enter")
    visitor.wait_for_status("tracked")
    visitor.page.get_by_role("gridcell", name="chase").first.focus()
    assert visitor.page.evaluate(NAMELESS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_in_its_width(arrive, clip, scheme):
    """Nothing sticks out to the side, and a touch-sized click still hits; two taps draw a box."""
    visitor = arrive(size="phone", scheme=scheme)
    visitor.upload(clip)
    visitor.choose(CORNERS)
    visitor.click_picture(10, 40)
    visitor.wait_for_status("opposite corner")
    visitor.click_picture(21, 51)
    visitor.wait_for_status("press Track")
    visitor.track()
    for tab in ("What happened", "Where", "Teach", "Take away"):
        visitor.tab(tab)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"]["width"], tab
