"""Pictures of the demo's page for people to look at: `make screenshots` writes them to screenshots/."""

import pytest

pytest.importorskip("gradio", reason="gradio is not installed (extra: demo)")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")

from app_visitor import SIZES, Visitor, opened_chromium  # noqa: E402

import app  # noqa: E402
from modeling_semtrack.app_actions import NEW, REGION, Demo  # noqa: E402
from modeling_semtrack.app_video import EXAMPLES, Limits  # noqa: E402
from modeling_semtrack.checkpoint import BUNDLED, load_checkpoint  # noqa: E402

pytestmark = pytest.mark.browser

FRAMES = 40
PERSON, OTHER = (147, 180), (60, 160)  # pixels of the first example


@pytest.fixture(scope="module")
def folder(request):
    folder = request.config.getoption("screenshots")
    if folder is None:
        pytest.skip("no folder for screenshots is named (--screenshots FOLDER)")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def address(folder):
    demo = Demo(*load_checkpoint(BUNDLED), limits=Limits(frames=FRAMES))
    page = app.build(demo, "checkpoints/semtrack-tiny")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, **app.LOOKS)
    yield address.rstrip("/")
    page.close()


@pytest.fixture(scope="module")
def browser(folder):
    with playwright.sync_playwright() as engine:
        opened = opened_chromium(engine)
        yield opened
        opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_in_pictures(browser, address, folder, size, scheme):
    """Empty, picked, on its way, and each tab of what has been found."""
    visitor = Visitor(browser, address, size, scheme)

    def shoot(name):
        visitor.page.screenshot(path=folder / f"{size}_{scheme}_{name}.png", full_page=True)

    shoot("0_empty")
    visitor.press(EXAMPLES[0].title)
    visitor.wait_for_status("Click the target")
    visitor.pick(*PERSON)
    visitor.choose(NEW)
    visitor.pick(*OTHER)
    visitor.wait_for_targets(2)
    shoot("1_picked")
    visitor.page.click("#track")
    visitor.wait_for_status("frames per second")
    shoot("2_running")
    visitor.wait_for_status("tracked")
    visitor.tab("Where")
    visitor.choose(REGION)
    visitor.drag_picture((20, 120), (150, 220))
    visitor.page.locator("#dwell").wait_for()
    visitor.tab("Teach")
    visitor.press("Mark this moment")
    visitor.page.locator("#marks").wait_for()
    for number, tab in enumerate(("What happened", "Where", "Teach", "Take away"), start=3):
        visitor.tab(tab)
        if tab == "Take away":
            visitor.press("Make the files")
            visitor.page.locator("#files a[download]").first.wait_for()
        visitor.page.mouse.move(0, 0)
        shoot(f"{number}_{tab.lower().replace(' ', '_')}")
    visitor.close()
