"""The demo: upload a video, click a target, watch what it does. `python app.py` starts it.

`SEMTRACK_MODEL` names the model, a folder or a name on the Hugging Face Hub; address and port come from
`GRADIO_SERVER_NAME` and `GRADIO_SERVER_PORT`. What visitors can do is in `modeling_semtrack/app_*.py`; here it is
wired.
"""

import gc
import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from gradio.utils import get_upload_folder

from modeling_semtrack import app_actions as actions
from modeling_semtrack import app_api as api
from modeling_semtrack.app_handlers import Handlers, readable
from modeling_semtrack.app_layout import CSS, Layout
from modeling_semtrack.app_run import warm_up
from modeling_semtrack.app_video import EXAMPLES
from modeling_semtrack.app_work import compute, share_heaps
from modeling_semtrack.checkpoint import MODEL_VARIABLE, find_checkpoint, is_on_hub, load_checkpoint

UPLOADS_LIVE = 2 * actions.LIFETIME  # seconds; longer than any visit may be silent
QUEUE, RUNS_AT_ONCE, CLICKS_AT_ONCE = 16, 2, 2
SESSIONS = 200  # of which the page's parts are remembered; each takes a megabyte
LOOKS = {"head": f"<style>{CSS}</style>", "footer_links": ["api", "settings"]}
PRIVATE = {"api_visibility": "private"}
QUICK = {**PRIVATE, "show_progress": "hidden", "concurrency_id": "clicks", "concurrency_limit": CLICKS_AT_ONCE}
LONG = {**PRIVATE, "show_progress": "full", "concurrency_id": "runs", "concurrency_limit": RUNS_AT_ONCE}


def build(demo: actions.Demo, model_name: str) -> gr.Blocks:
    """The page and the endpoints.

    Args:
        demo: What they do.
        model_name: The model's folder, for the code that visitors take away.
    """
    with gr.Blocks(title="SemTrack", delete_cache=(600, round(UPLOADS_LIVE)), analytics_enabled=False) as blocks:
        state = gr.State(None, time_to_live=UPLOADS_LIVE, delete_callback=lambda v: v and demo.visitors.close(v.key))
        page = Layout(demo.limits, list(demo.model.config.id2interaction.values()))
        handlers = Handlers(demo, page, state, model_name)
        wire_picking(page, state, handlers)
        wire_results(page, state, handlers)
        blocks.unload(handlers.leave)
        add_endpoints(demo)
    return blocks.queue(max_size=QUEUE, default_concurrency_limit=RUNS_AT_ONCE)


def wire_picking(page: Layout, state: gr.State, handlers: Handlers) -> None:
    """From the video to its track."""
    results = [state, *page.plan, *page.results, page.status, page.what]
    picked = [state, *page.plan, page.status, page.what, page.region]
    upload = page.video.input(handlers.take_video, page.video, results, show_progress_on=[page.status], **PRIVATE)
    upload.failure(lambda: None, None, page.video, **PRIVATE)  # so that another one can be chosen
    for button, example in zip(page.examples, EXAMPLES):

        def take(request: gr.Request, example=example):
            return handlers.take_example(example, request)

        button.click(take, None, [*results, page.video], show_progress_on=[page.status], **PRIVATE)
    clicks = [state, page.what, page.how, page.region]
    page.pointing.submit(handlers.point, clicks, picked, **QUICK)
    page.point.click(handlers.point_by_numbers, [*clicks, page.across, page.down], picked, **QUICK)
    scrub = {"trigger_mode": "always_last", **QUICK}
    page.position.input(handlers.seek, [state, page.position], [state, page.picture], **scrub)
    page.gallery.select(handlers.select, state, [state, *page.plan, page.what], **QUICK)
    for finished in (page.name.submit, page.name.blur):
        finished(handlers.rename, [state, page.name], results, **QUICK)
    page.remove.click(handlers.remove, state, results, **QUICK)
    page.clear.click(handlers.clear, state, results, **QUICK)
    run = {**LONG, "show_progress_on": [page.status]}
    frames = [state, page.picture, page.position, page.status]
    for button, action in ((page.track, handlers.track), (page.backwards, handlers.track_backwards)):
        followed = button.click(action, state, frames, **run)
        followed.success(handlers.finished, state, results, **QUICK)
    page.stop.click(handlers.stop, None, None, queue=False, **PRIVATE)


def wire_results(page: Layout, state: gr.State, handlers: Handlers) -> None:
    """What is made of the track."""
    frame, plan = [state, page.picture, page.position], [state, *page.plan]
    page.timeline.select(handlers.seek_by_timeline, state, frame, **QUICK)
    page.table.select(handlers.seek_by_row, state, frame, **QUICK)
    page.forget_regions.click(handlers.forget_regions, state, plan, **QUICK)
    page.mark.click(handlers.mark, [state, page.interaction, page.thing], plan, **QUICK)
    page.unmark.click(handlers.unmark, state, plan, **QUICK)
    for button, action in ((page.adapt, handlers.adapt), (page.forget, handlers.forget)):
        button.click(action, state, [*plan, *page.results, page.interaction], show_progress_on=[page.changed], **LONG)
    page.make.click(handlers.make_files, state, [page.files], show_progress_on=[page.make], **LONG)


def add_endpoints(demo: actions.Demo) -> None:
    """What programs may call: `gradio_client`, and MCP where `gradio[mcp]` is installed."""

    @readable
    def track_point(video: gr.FileData, x: float, y: float, frame: int = 0, request: gr.Request | None = None) -> dict:
        """Follows what lies at a point of an uploaded video.

        Args:
            video: The uploaded video.
            x: Pixels from the left.
            y: Pixels from the top.
            frame: 0-based index of the frame in which the point lies.

        Returns:
            The semantic trajectory as JSON.
        """
        source = api.uploaded_path(video, Path(get_upload_folder()))
        return api.as_json(api.track_point(demo, *source, x, y, frame, request and request.session_hash))

    @readable
    def track_box(
        video: gr.FileData,
        x: float,
        y: float,
        width: float,
        height: float,
        frame: int = 0,
        request: gr.Request | None = None,
    ) -> dict:
        """Follows what lies in a box of an uploaded video.

        Args:
            video: The uploaded video.
            x: Left edge in pixels.
            y: Top edge in pixels.
            width: Pixels.
            height: Pixels.
            frame: 0-based index of the frame in which the box lies.

        Returns:
            The semantic trajectory as JSON.
        """
        source = api.uploaded_path(video, Path(get_upload_folder()))
        box = (x, y, width, height)
        return api.as_json(api.track_box(demo, *source, box, frame, request and request.session_hash))

    @readable
    def events(video: gr.FileData, x: float, y: float, frame: int = 0, request: gr.Request | None = None) -> list:
        """Tells what the target at a point of an uploaded video does, and when.

        Args:
            video: The uploaded video.
            x: Pixels from the left.
            y: Pixels from the top.
            frame: 0-based index of the frame in which the point lies.

        Returns:
            Events with target, subject, interaction, object, start_time, end_time and score.
        """
        source = api.uploaded_path(video, Path(get_upload_folder()))
        return api.as_events(api.track_point(demo, *source, x, y, frame, request and request.session_hash))

    for endpoint in (track_point, track_box, events):
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_id="runs", concurrency_limit=RUNS_AT_ONCE)


def main() -> None:
    """Loads the model and serves the page."""
    share_heaps()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # leaves the block below in good order
    with own_uploads() as uploads:
        serve(uploads)


def serve(uploads: Path) -> None:
    """Loads the model and serves the page, until it is interrupted."""
    folder = find_checkpoint()
    demo = actions.Demo(*compute(load_checkpoint, folder), folder=uploads)
    demo.visitors.sweep_forever()
    warm_up(demo.model, demo.processor)
    gc.freeze()  # what is there now stays: later collections need not look at it
    build(demo, public_name(folder)).launch(
        **LOOKS,
        max_file_size=demo.limits.file_bytes,
        ssr_mode=False,
        mcp_server=importlib.util.find_spec("mcp") is not None,
        state_session_capacity=SESSIONS,
    )


def public_name(folder: Path) -> str:
    """How the code that visitors take away names the model; it tells nothing of the server's other folders."""
    named = os.environ.get(MODEL_VARIABLE)
    if not named:
        return f"checkpoints/{folder.name}"
    return named if is_on_hub(named) else folder.name


@contextmanager
def own_uploads() -> Iterator[Path]:
    """A folder for everything that comes from visitors, deleted at the end unless its owner has named it."""
    if os.environ.get("GRADIO_TEMP_DIR"):
        yield Path(get_upload_folder())
        return
    with tempfile.TemporaryDirectory(prefix="semtrack-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        yield Path(folder)


if __name__ == "__main__":
    main()
