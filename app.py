"""The demo: upload a video, click a target, watch what it does. `python app.py` starts it.

`SEMTRACK_MODEL` names the folder of the model; address and port come from `GRADIO_SERVER_NAME` and
`GRADIO_SERVER_PORT`. What visitors can do is in `modeling_semtrack/app_*.py`; here it is laid out and wired.
"""

import functools
import importlib.util
import inspect
import os
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from gradio.utils import get_upload_folder

from modeling_semtrack import app_actions as actions
from modeling_semtrack import app_api as api
from modeling_semtrack import app_exports as exports
from modeling_semtrack import app_views as views
from modeling_semtrack.app_state import Visit
from modeling_semtrack.app_video import EXAMPLES
from modeling_semtrack.checkpoint import MODEL_VARIABLE, find_checkpoint, load_checkpoint
from modeling_semtrack.rendering import draw_timeline
from modeling_semtrack.summary import summary

UPLOADS_LIVE = 2 * actions.LIFETIME  # seconds; longer than any visit may be silent
QUEUE, RUNS_AT_ONCE, CLICKS_AT_ONCE = 16, 2, 2
CSS = """
.gradio-container { max-width: 1280px !important; margin: 0 auto !important; }
#picture img { cursor: crosshair; width: 100%; max-height: 75vh; object-fit: contain; }
#picture, #timeline, #heat { min-height: 120px; }
#status progress { width: 100%; height: 0.9rem; accent-color: var(--color-accent); }
#targets .grid-container { grid-template-columns: repeat(4, 1fr); height: auto; }
#targets .thumbnail-lg { aspect-ratio: 1; }
#upload [aria-label="Trim video to selection"], #upload button[aria-label*="trim" i] { display: none; }
@media (max-width: 640px) {
  .gradio-container { padding: 0.4rem !important; }
  #events, #dwell, #marks { max-width: calc(100vw - 2.5rem); overflow-x: auto; }
}
"""
INTRO = """# SemTrack
Choose a video, click what you want to follow, press **Track**, and read what it does, when, and with what."""
PRIVACY = "Your video stays on this server only while you work on it, and nobody else sees it."


def readable(action):
    """Shows what an action refuses as a message on the page."""
    if inspect.isgeneratorfunction(action):

        @functools.wraps(action)
        def wrapped(*args):
            try:
                yield from action(*args)
            except (ValueError, OSError) as error:
                raise gr.Error(str(error), print_exception=False) from error
    else:

        @functools.wraps(action)
        def wrapped(*args):
            try:
                return action(*args)
            except (ValueError, OSError) as error:
                raise gr.Error(str(error), print_exception=False) from error

    return wrapped


def progress_bar(progress: actions.Progress) -> str:
    """The state of a run as HTML."""
    if progress.over:
        return f"Frame {progress.done} of {progress.total} tracked. Read what happened below."
    text = f"frame {progress.done} of {progress.total}, {progress.fps:.1f} frames per second"
    return (
        f'<progress value="{progress.done}" max="{progress.total}" aria-label="tracking"></progress><div>{text}</div>'
    )


def build(demo: actions.Demo, model_name: str) -> gr.Blocks:
    """The page and the endpoints.

    Args:
        demo: What they do.
        model_name: The model's folder, for the code that visitors take away.
    """
    with gr.Blocks(title="SemTrack", delete_cache=(600, round(UPLOADS_LIVE)), analytics_enabled=False) as page:
        state = gr.State(None, time_to_live=UPLOADS_LIVE, delete_callback=lambda v: v and demo.visitors.close(v.key))
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                video = gr.Video(
                    label="1. Your video",
                    sources=["upload", "webcam"],
                    webcam_options=gr.WebcamOptions(mirror=False),
                    height=250,
                    buttons=[],
                    elem_id="upload",
                )
                gr.Markdown(f"<small>{demo.limits.describe()} {PRIVACY}</small>")
                with gr.Row():
                    examples = [gr.Button(example.title, size="sm", min_width=90) for example in EXAMPLES]
                gallery = gr.Gallery(
                    label="Targets",
                    columns=4,
                    height=150,
                    object_fit="contain",
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    elem_id="targets",
                )
                name = gr.Textbox(label="Name of the selected target", placeholder="person", max_length=40)
                with gr.Row():
                    remove = gr.Button("Remove selected", size="sm")
                    clear = gr.Button("Clear all", size="sm")
            with gr.Column(scale=5, min_width=300):
                picture = gr.Image(
                    label="2. Click the target",
                    interactive=False,
                    type="numpy",
                    format="jpeg",
                    buttons=[],
                    elem_id="picture",
                )
                position = gr.Slider(0, 1, value=0, step=1, label="Frame", elem_id="position")
                with gr.Row():
                    what = gr.Radio(
                        [actions.NEW, actions.REFINE, actions.REGION], value=actions.NEW, label="A click means"
                    )
                    how = gr.Radio([actions.PLUS, actions.MINUS, actions.CORNERS], value=actions.PLUS, label="How")
                with gr.Row():
                    track = gr.Button("3. Track", variant="primary", elem_id="track")
                    stop = gr.Button("Stop", variant="stop", elem_id="stop")
                    backwards = gr.Button("Track backwards", elem_id="backwards")
                status = gr.HTML("Choose a video to begin.", elem_id="status")
                with gr.Accordion("Pick by numbers, without a mouse", open=False):
                    with gr.Row():
                        across, down = gr.Number(label="x, pixels", value=0), gr.Number(label="y, pixels", value=0)
                        point = gr.Button("Click there", size="sm")
        with gr.Tab("What happened"):
            told = gr.Markdown("Nothing has been tracked yet.", elem_id="summary")
            timeline = gr.Image(
                label="Timeline: click to go there",
                interactive=False,
                type="pil",
                format="png",
                visible=False,
                buttons=["fullscreen", "download"],
                elem_id="timeline",
            )
            table = gr.Dataframe(
                headers=list(views.EVENT_COLUMNS),
                datatype=["number", "str", "str", "str", "number", "number", "number"],
                label="Events: click a row to go there",
                interactive=False,
                elem_id="events",
            )
        with gr.Tab("Where"):
            gr.Markdown(
                "Where the targets stood, and for how long. For dwell times, choose *Region* under *A click means* "
                "and click two corners in the picture."
            )
            heat = gr.Image(label="Time spent", interactive=False, format="jpeg", buttons=["download"], elem_id="heat")
            dwell = gr.Dataframe(
                headers=list(views.DWELL_COLUMNS), label="Time per region", interactive=False, elem_id="dwell"
            )
            forget_regions = gr.Button("Remove regions", size="sm")
        with gr.Tab("Teach"):
            gr.Markdown(
                "Show it a few moments: go to a frame, select the target, say what it does there (or leave the "
                "interaction empty for *nothing*), and mark the moment. Then press *Adapt*. Only "
                "your own session learns."
            )
            with gr.Row():
                interaction = gr.Dropdown(
                    list(demo.model.config.id2interaction.values()),
                    label="It does",
                    value=None,
                    allow_custom_value=True,
                    elem_id="interaction",
                )
                thing = gr.Textbox(label="with (optional)", max_length=40)
            with gr.Row():
                mark, unmark = gr.Button("Mark this moment"), gr.Button("Remove all marks")
                adapt, forget = gr.Button("Adapt", variant="primary"), gr.Button("Forget")
            marks = gr.Dataframe(
                headers=list(views.MOMENT_COLUMNS), label="Marked moments", interactive=False, elem_id="marks"
            )
            changed = gr.Markdown(elem_id="changed")
        with gr.Tab("Take away"):
            make = gr.Button("Make the files", variant="primary")
            files = gr.File(
                label="Annotated video, JSON, CSV, subtitles, COCO, SemTrack layout, timeline",
                file_count="multiple",
                interactive=False,
                elem_id="files",
            )
            python = gr.Code(label="This run as Python", language="python", interactive=False, elem_id="python")
            command = gr.Code(label="This run as command line", language="shell", interactive=False, elem_id="command")

        shown = [state, picture, position, gallery, name, dwell, heat, marks, python, command]
        results = [told, timeline, table]

        def show(visit: Visit) -> list:
            last = visit.clip.last if visit.clip else 1
            label = f"Frame (of {last + 1})" if visit.clip else "Frame"
            selected = visit.selected is not None and visit.first_prompt(visit.selected).category or ""
            return [
                visit,
                views.picture(visit),
                gr.update(value=visit.position, maximum=last, label=label),
                views.thumbnails(visit),
                selected,
                views.dwell_rows(visit.trajectories, visit.regions),
                views.heat_map(visit),
                views.moment_rows(visit.moments),
                exports.as_python(visit, model_name),
                exports.as_command_line(visit, model_name),
            ]

        def show_results(visit: Visit) -> list:
            if not visit.trajectories:
                return ["Nothing has been tracked yet.", gr.update(value=None, visible=False), []]
            figure = draw_timeline(visit.trajectories, width=views.TIMELINE_WIDTH)
            timeline_update = gr.update(value=figure, visible=True)
            return [summary(visit.trajectories), timeline_update, views.event_rows(visit.trajectories)]

        def mine(visit: Visit | None, request: gr.Request) -> Visit:
            return visit or Visit(request.session_hash)

        def opened(visit: Visit) -> list:
            size = f"{visit.clip.width}x{visit.clip.height}, {visit.clip.last + 1} frames. "
            note = f"{size}{visit.clip.note or ''} Click the target in the picture."
            return [*show(visit), *show_results(visit), note, gr.update(value=actions.NEW), None]

        @readable
        def on_upload(uploaded: str, request: gr.Request):
            path, file_name = api.uploaded_path({"path": uploaded}, Path(get_upload_folder()))
            with api.discarded_if_refused(path):
                return opened(demo.open(request.session_hash, path, file_name))

        @readable
        def on_picture(visit: Visit, kind: str, way: str, event: gr.SelectData, request: gr.Request):
            visit = mine(visit, request)
            return clicked(visit, views.place_of_click(visit, event.index), kind, way)

        @readable
        def on_point(visit: Visit, kind: str, way: str, x: float, y: float, request: gr.Request):
            visit = mine(visit, request)
            if visit.clip and not (0 <= (x or 0) < visit.clip.width and 0 <= (y or 0) < visit.clip.height):
                raise ValueError(f"({x}, {y}) lies outside the {visit.clip.width}x{visit.clip.height} picture")
            return clicked(visit, (x or 0, y or 0), kind, way)

        def clicked(visit: Visit, place: tuple[float, float], kind: str, way: str) -> list:
            after = demo.click(visit, place, kind, way)
            note = "Now click the opposite corner." if after.corner else "Refine it, pick another one, or press Track."
            return [*show(after), note, actions.REFINE if after.corner is None and kind == actions.NEW else kind]

        @readable
        def on_position(visit: Visit, frame: float, request: gr.Request):
            return show(mine(visit, request).at(frame))

        @readable
        def on_select(visit: Visit, event: gr.SelectData, request: gr.Request):
            visit = mine(visit, request)
            return [*show(visit.with_selected(visit.targets[event.index])), actions.REFINE]

        @readable
        def on_name(visit: Visit, text: str, request: gr.Request):
            visit = mine(visit, request)
            return show(visit if visit.selected is None else visit.renamed(visit.selected, text))

        @readable
        def on_remove(visit: Visit, request: gr.Request):
            visit = mine(visit, request)
            visit = visit.without_target(visit.first_prompt(visit.selected).target_id)
            return [*show(visit), *show_results(visit), actions.REFINE if visit.targets else actions.NEW]

        @readable
        def on_clear(visit: Visit, request: gr.Request):
            visit = mine(visit, request).cleared()
            return [*show(visit), *show_results(visit), actions.NEW]

        def running(reports):
            for report in reports:
                if report.over:
                    yield [*show(report.visit), *show_results(report.visit), progress_bar(report)]
                else:
                    frame = gr.update(value=report.visit.position)
                    kept = [gr.skip()] * (len(shown) - 3 + len(results))
                    yield [gr.skip(), report.image, frame, *kept, progress_bar(report)]

        @readable
        def on_track(visit: Visit, request: gr.Request):
            yield from running(demo.track(mine(visit, request)))

        @readable
        def on_backwards(visit: Visit, request: gr.Request):
            yield from running(demo.track_backwards(mine(visit, request)))

        def on_stop(request: gr.Request):
            demo.stop(Visit(request.session_hash))

        @readable
        def on_timeline(visit: Visit, event: gr.SelectData, request: gr.Request):
            visit = mine(visit, request)
            seconds = views.time_of_timeline_click(visit.trajectories, event.index)
            return show(visit if seconds is None else visit.at(visit.clip.frame_near(seconds)))

        @readable
        def on_row(visit: Visit, event: gr.SelectData, request: gr.Request):
            visit = mine(visit, request)
            return show(visit.at(visit.clip.frame_near(views.time_of_row(event.row_value))))

        @readable
        def on_forget_regions(visit: Visit, request: gr.Request):
            return show(mine(visit, request).without_regions())

        @readable
        def on_mark(visit: Visit, does: str, with_what: str, request: gr.Request):
            return show(demo.mark(mine(visit, request), does, with_what))

        @readable
        def on_unmark(visit: Visit, request: gr.Request):
            return show(mine(visit, request).without_moments())

        @readable
        def on_adapt(visit: Visit, request: gr.Request):
            visit, text = demo.adapt(mine(visit, request))
            return [*show(visit), *show_results(visit), text, gr.update(choices=list(demo.interactions(visit)))]

        @readable
        def on_forget(visit: Visit, request: gr.Request):
            visit, text = demo.forget(mine(visit, request))
            return [*show(visit), *show_results(visit), text, gr.update(choices=list(demo.interactions(visit)))]

        @readable
        def on_make(visit: Visit, request: gr.Request):
            return [str(path) for path in demo.files(mine(visit, request))]

        def on_leave(request: gr.Request):
            demo.visitors.close(request.session_hash)

        hidden = {"api_visibility": "private"}
        quick = {**hidden, "show_progress": "hidden", "concurrency_id": "clicks", "concurrency_limit": CLICKS_AT_ONCE}
        long = {
            **hidden,
            "concurrency_id": "runs",
            "concurrency_limit": RUNS_AT_ONCE,
            "show_progress": "full",
            "show_progress_on": [status],
        }
        new_video = [*shown, *results, status, what, files]
        video.input(on_upload, video, new_video, **hidden)
        for button, example in zip(examples, EXAMPLES):

            @readable
            def on_example(request: gr.Request, example=example):
                return opened(demo.open_example(request.session_hash, example))

            button.click(on_example, None, new_video, **hidden)
        picture.select(on_picture, [state, what, how], [*shown, status, what], **quick)
        point.click(on_point, [state, what, how, across, down], [*shown, status, what], **quick)
        position.release(on_position, [state, position], shown, **quick)
        gallery.select(on_select, state, [*shown, what], **quick)
        name.submit(on_name, [state, name], shown, **quick)
        name.blur(on_name, [state, name], shown, **quick)
        remove.click(on_remove, state, [*shown, *results, what], **quick)
        clear.click(on_clear, state, [*shown, *results, what], **quick)
        track.click(on_track, state, [*shown, *results, status], **long)
        backwards.click(on_backwards, state, [*shown, *results, status], **long)
        stop.click(on_stop, None, None, queue=False, **hidden)
        timeline.select(on_timeline, state, shown, **quick)
        table.select(on_row, state, shown, **quick)
        forget_regions.click(on_forget_regions, state, shown, **quick)
        mark.click(on_mark, [state, interaction, thing], shown, **quick)
        unmark.click(on_unmark, state, shown, **quick)
        taught = [*shown, *results, changed, interaction]
        adapt.click(on_adapt, state, taught, **(long | {"show_progress_on": [changed]}))
        forget.click(on_forget, state, taught, **(long | {"show_progress_on": [changed]}))
        make.click(on_make, state, files, **(long | {"show_progress_on": [files]}))
        page.unload(on_leave)
        add_endpoints(demo)
    return page.queue(max_size=QUEUE, default_concurrency_limit=RUNS_AT_ONCE)


def add_endpoints(demo: actions.Demo) -> None:
    """What programs may call: `gradio_client`, and MCP where `gradio[mcp]` is installed."""

    @readable
    def track_point(video: gr.FileData, x: float, y: float, frame: int = 0) -> dict:
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
        return api.as_json(api.track_point(demo, *source, x, y, frame))

    @readable
    def track_box(video: gr.FileData, x: float, y: float, width: float, height: float, frame: int = 0) -> dict:
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
        return api.as_json(api.track_box(demo, *source, (x, y, width, height), frame))

    @readable
    def events(video: gr.FileData, x: float, y: float, frame: int = 0) -> list:
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
        return api.as_events(api.track_point(demo, *source, x, y, frame))

    for endpoint in (track_point, track_box, events):
        gr.api(endpoint, api_name=endpoint.__name__, concurrency_id="runs", concurrency_limit=RUNS_AT_ONCE)


def main() -> None:
    """Loads the model and serves the page."""
    folder = find_checkpoint()
    demo = actions.Demo(*load_checkpoint(folder))
    name = folder.name if os.environ.get(MODEL_VARIABLE) else f"checkpoints/{folder.name}"
    build(demo, name).launch(
        css=CSS,
        max_file_size=demo.limits.file_bytes,
        ssr_mode=False,
        mcp_server=importlib.util.find_spec("mcp") is not None,
        footer_links=["api", "settings"],
    )


if __name__ == "__main__":
    main()
