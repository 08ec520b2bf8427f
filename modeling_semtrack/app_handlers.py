"""What the demo's page does when something is pressed: each handler takes values of its parts and gives new ones."""

import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image

from . import app_actions as actions
from . import app_api as api
from . import app_exports as exports
from . import app_views as views
from .app_layout import NO_RESULTS, Layout
from .app_state import Visit
from .app_video import Example

Updates = dict[Any, Any]  # new values of parts of the page; the others stay as they are


def message(error: ValueError | OSError) -> str:
    """What the page says of an error; those of the system would tell the server's paths."""
    return str(error) if isinstance(error, ValueError) else f"the server cannot do this now: {error.strerror or 'busy'}"


def readable(action):
    """Shows what an action refuses as a message on the page."""
    if inspect.isgeneratorfunction(action):

        @functools.wraps(action)
        def wrapped(*args):
            try:
                yield from action(*args)
            except (ValueError, OSError) as error:
                raise gr.Error(message(error), print_exception=False) from error
    else:

        @functools.wraps(action)
        def wrapped(*args):
            try:
                return action(*args)
            except (ValueError, OSError) as error:
                raise gr.Error(message(error), print_exception=False) from error

    return wrapped


def progress_bar(progress: actions.Progress) -> str:
    """The state of a run as HTML."""
    if progress.over:
        return f"Frame {progress.done} of {progress.total} tracked. Read what happened below."
    share = f"{progress.done / progress.total:.1%}"
    bounds = f'aria-valuemin="0" aria-valuenow="{progress.done}" aria-valuemax="{progress.total}"'
    return (
        f'<div class="bar" role="progressbar" aria-label="tracking" {bounds}><div style="width: {share}"></div></div>'
        f"<p>frame {progress.done} of {progress.total}, {progress.fps:.1f} frames per second</p>"
    )


class Handlers:
    """Handlers of all events of the page.

    Args:
        demo: What they do.
        page: Whose parts they change.
        state: The part that holds the visit.
        model_name: How the model's folder is called in the code that visitors take away.
    """

    def __init__(self, demo: actions.Demo, page: Layout, state: gr.State, model_name: str) -> None:
        self._demo, self._page, self._state, self._model_name = demo, page, state, model_name

    def _shown(self, visit: Visit) -> Updates:
        """The frame alone."""
        return {self._state: visit, self._page.picture: self._kept(visit, views.picture(visit))}

    def _kept(self, visit: Visit, image: np.ndarray | Image.Image | None, kind: str = "picture") -> str | None:
        """A picture as a file in the visitor's folder, so that it is deleted with it."""
        return None if image is None else self._demo.visitors.picture(visit.key, image, kind)

    def _planned(self, visit: Visit) -> Updates:
        """The frame and everything that follows from what the visitor has said."""
        page, last = self._page, visit.clip.last if visit.clip else 1
        some = bool(visit.targets)
        name = visit.first_prompt(visit.selected).category if visit.selected is not None else None
        selected = visit.targets.index(visit.selected) if visit.selected in visit.targets else None
        thumbnails = [(self._kept(visit, image, "thumbnail"), caption) for image, caption in views.thumbnails(visit)]
        dwell, marks = views.dwell_rows(visit.trajectories, visit.regions), views.moment_rows(visit.moments)
        return {
            **self._shown(visit),
            page.position: gr.update(value=visit.position, maximum=last, label=f"Frame (0 to {last})"),
            page.targets: gr.update(visible=some),
            page.gallery: gr.update(value=thumbnails, selected_index=selected, visible=some),
            page.name: gr.update(value=name or "", visible=some),
            page.remove: gr.update(visible=some),
            page.clear: gr.update(visible=some or bool(visit.regions)),
            page.dwell: gr.update(value=dwell, visible=bool(dwell)),
            page.forget_regions: gr.update(visible=bool(visit.regions)),
            page.marks: gr.update(value=marks, visible=bool(marks)),
            page.python: exports.as_python(visit, self._model_name),
            page.command: exports.as_command_line(visit, self._model_name),
        }

    def _told(self, visit: Visit) -> Updates:
        """All of [`_planned`], and the results."""
        page, rows = self._page, views.event_rows(visit.trajectories)
        heat = self._kept(visit, views.heat_map(visit), "heat")
        timeline = self._kept(visit, views.timeline(visit.trajectories), "timeline")
        return {
            **self._planned(visit),
            page.told: views.told(visit.trajectories) or NO_RESULTS,
            page.hint: gr.update(visible=bool(visit.trajectories)),
            page.timeline: gr.update(value=timeline, visible=bool(visit.trajectories)),
            page.table: gr.update(value=rows, visible=bool(rows)),
            page.files: gr.update(value=None, visible=False),
            page.heat: gr.update(value=heat, visible=heat is not None),
        }

    def _opened(self, visit: Visit) -> Updates:
        clip, page = visit.clip, self._page
        note = f"{clip.width}x{clip.height}, {clip.last + 1} frames. {clip.note or ''} Click the target in the picture."
        return {
            **self._told(visit),
            page.status: note,
            page.what: actions.NEW,
            page.files: gr.update(value=None, visible=False),
            page.changed: "",
        }

    @staticmethod
    def _mine(visit: Visit | None, request: gr.Request) -> Visit:
        return visit or Visit(request.session_hash)

    def _changeable(self, visit: Visit | None, request: gr.Request) -> Visit:
        self._demo.check_idle(request.session_hash)
        return self._mine(visit, request)

    @readable
    def take_video(self, uploaded: str | None, request: gr.Request):
        if uploaded is None:  # the video was taken away: what was made of it stays
            return {self._page.status: "Choose a video to begin."}
        path, file_name = api.uploaded_path({"path": uploaded}, Path(get_upload_folder()))
        with api.discarded_if_refused(path):
            visit = self._demo.open(request.session_hash, path, file_name)
        self._demo.visitors.claim(request.session_hash, path)
        return self._opened(visit)

    @readable
    def take_example(self, example: Example, request: gr.Request):
        visit = self._demo.open_example(request.session_hash, example)
        return {**self._opened(visit), self._page.video: str(self._demo.original(visit))}

    @readable
    def point(self, visit: Visit, kind: str, way: str, region: str, event: gr.EventData, request: gr.Request):
        """A click, or a box drawn with the button held down."""
        visit = self._changeable(visit, request)
        start, *end = (views.place_of_click(visit, event.place[at : at + 2]) for at in range(0, len(event.place), 2))
        if not end:
            return self._clicked(visit, start, kind, way, region)
        return self._picked(self._demo.drag(visit, start, end[0], kind, region), kind)

    @readable
    def point_by_numbers(
        self, visit: Visit, kind: str, way: str, region: str, x: float | None, y: float | None, request: gr.Request
    ):
        visit = self._changeable(visit, request)
        if visit.clip and not (0 <= (x or 0) < visit.clip.width and 0 <= (y or 0) < visit.clip.height):
            raise ValueError(f"({x}, {y}) lies outside the {visit.clip.width}x{visit.clip.height} picture")
        return self._clicked(visit, (x or 0, y or 0), kind, way, region)

    def _clicked(self, visit: Visit, place: tuple[float, float], kind: str, way: str, region: str) -> Updates:
        return self._picked(self._demo.click(visit, place, kind, way, region), kind)

    def _picked(self, visit: Visit, kind: str) -> Updates:
        """What follows from a click, for the picture and for the next click."""
        page = self._page
        if visit.corner is not None:
            return {**self._planned(visit), page.status: "Now click the opposite corner."}
        if kind == actions.REGION:
            return {**self._planned(visit), page.status: "The time spent there is under Where.", page.region: ""}
        corrected = visit.trajectories and any(t.target_id == visit.selected for t in visit.trajectories)
        note = "Corrected: press Track to go on." if corrected else "Refine it, pick another one, or press Track."
        return {**self._planned(visit), page.status: note, page.what: actions.REFINE}

    @readable
    def seek(self, visit: Visit, frame: float, request: gr.Request):
        return self._shown(self._mine(visit, request).at(frame))

    def _sought(self, visit: Visit) -> Updates:
        return {**self._shown(visit), self._page.position: visit.position}

    @readable
    def seek_by_timeline(self, visit: Visit, event: gr.SelectData, request: gr.Request):
        visit = self._mine(visit, request)
        seconds = views.time_of_timeline_click(visit.trajectories, event.index)
        return gr.skip() if seconds is None else self._sought(visit.at(visit.clip.frame_near(seconds)))

    @readable
    def seek_by_row(self, visit: Visit, event: gr.SelectData, request: gr.Request):
        visit = self._mine(visit, request)
        return self._sought(visit.at(visit.clip.frame_near(views.time_of_row(event.row_value))))

    @readable
    def select(self, visit: Visit, event: gr.SelectData, request: gr.Request):
        visit = self._changeable(visit, request)
        return {**self._planned(visit.with_selected(visit.targets[event.index])), self._page.what: actions.REFINE}

    @readable
    def rename(self, visit: Visit, name: str, request: gr.Request):
        visit = self._mine(visit, request)
        if visit.selected is None or (visit.first_prompt(visit.selected).category or "") == name.strip():
            return gr.skip()
        return self._told(self._changeable(visit, request).renamed(visit.selected, name))

    @readable
    def remove(self, visit: Visit, request: gr.Request):
        visit = self._changeable(visit, request)
        visit = visit.without_target(visit.first_prompt(visit.selected).target_id)
        return {**self._told(visit), self._page.what: actions.REFINE if visit.targets else actions.NEW}

    @readable
    def clear(self, visit: Visit, request: gr.Request):
        visit = self._changeable(visit, request).cleared()
        page = self._page
        return {
            **self._told(visit),
            page.what: actions.NEW,
            page.files: gr.update(value=None, visible=False),
            page.changed: "",
        }

    @readable
    def track(self, visit: Visit, request: gr.Request):
        yield from self._running(self._demo.track(self._mine(visit, request)))

    @readable
    def track_backwards(self, visit: Visit, request: gr.Request):
        yield from self._running(self._demo.track_backwards(self._mine(visit, request)))

    def _running(self, reports: Iterator[actions.Progress]) -> Iterator[Updates]:
        page = self._page
        for report in reports:
            if report.over:
                yield {self._state: report.visit}
            else:
                image = self._kept(report.visit, report.image)
                yield {page.picture: image, page.position: report.visit.position, page.status: progress_bar(report)}

    def finished(self, visit: Visit) -> Updates:
        """What a run has found: apart from the run, whose every message costs time for each part that it may change."""
        return {**self._told(visit), self._page.status: progress_bar(self._demo.finished(visit))}

    def stop(self, request: gr.Request) -> None:
        self._demo.stop(Visit(request.session_hash))

    @readable
    def forget_regions(self, visit: Visit, request: gr.Request):
        return self._planned(self._changeable(visit, request).without_regions())

    @readable
    def mark(self, visit: Visit, does: str | None, with_what: str, request: gr.Request):
        return self._planned(self._demo.mark(self._changeable(visit, request), does, with_what))

    @readable
    def unmark(self, visit: Visit, request: gr.Request):
        return self._planned(self._changeable(visit, request).without_moments())

    @readable
    def adapt(self, visit: Visit, request: gr.Request):
        return self._taught(*self._demo.adapt(self._mine(visit, request)))

    @readable
    def forget(self, visit: Visit, request: gr.Request):
        return self._taught(*self._demo.forget(self._mine(visit, request)))

    def _taught(self, visit: Visit, changes: str) -> Updates:
        page = self._page
        choices = gr.update(choices=list(self._demo.interactions(visit)))
        return {
            **self._told(visit),
            page.changed: changes,
            page.interaction: choices,
            page.files: gr.update(value=None, visible=False),
        }

    @readable
    def make_files(self, visit: Visit, request: gr.Request):
        paths = self._demo.files(self._mine(visit, request))
        return {self._page.files: gr.update(value=[str(path) for path in paths], visible=True)}

    def leave(self, request: gr.Request) -> None:
        self._demo.visitors.leave(request.session_hash)
