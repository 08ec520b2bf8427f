"""The demo's page: its parts, their places and their looks. What they do is in `app_handlers.py`."""

from __future__ import annotations

import gradio as gr

from . import app_actions as actions
from . import app_views as views
from .app_video import EXAMPLES, Limits

INTRO = """# SemTrack
Choose a video, click what you want to follow, press **Track**, and read what it does, when, and with what."""
PRIVACY = "Your video stays on this server only while you work on it, and nobody else sees it."
TIMELINE = "Click the timeline or a row of the table to go to its moment. The ⋮ of a column sorts and filters."
WHERE = (
    "Where the targets stood, and for how long. For the time spent in a part of the picture, choose *Region* under "
    "*A click means* and draw it."
)
TEACH = (
    "Show it a few moments: go to a frame, select the target, say what it does there (or leave the interaction empty "
    "for *nothing*), and mark the moment. Then press *Adapt*. Only your own session learns."
)
HOW = "Click, or drag a box"
NO_MOUSE = "Pick by numbers, without a mouse"
NO_RESULTS = "Nothing has been tracked yet."
CSS = """
.gradio-container { max-width: min(1280px, 100vw) !important; margin: 0 auto !important; }
#work { display: grid; grid-template: "source stage" auto "cast stage" 1fr / minmax(250px, 1fr) minmax(0, 3fr); }
#source { grid-area: source; } #stage { grid-area: stage; } #cast { grid-area: cast; }
#source, #stage, #cast { min-width: 0 !important; }
#source h3, #stage h3, #cast h3 { margin: 0; }
#limits p { font-size: var(--text-sm); line-height: 1.4; }
#upload video { max-height: 240px; }
#picture { min-height: 160px; }
#picture .image-frame, #heat .image-frame, #timeline .image-frame,
#picture .image-container button, #heat .image-container button, #timeline .image-container button { width: 100%; }
#picture img, #heat img { width: 100%; height: auto; max-height: 62vh; object-fit: contain; }
#picture img { cursor: crosshair; }
#stage:has(#how input[value^="Box"]:checked) #picture img { touch-action: none; }
#timeline img { cursor: pointer; width: 100%; }
#events td { cursor: pointer; }
#targets, #targets .grid-wrap { height: auto; min-height: 0; }
#targets .grid-wrap { max-height: 230px; }
#targets .grid-container { grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); height: auto; padding: 0; }
#targets .thumbnail-lg { aspect-ratio: 1; }
#status .bar { height: 0.75rem; border-radius: 1rem; background: var(--border-color-primary); overflow: hidden; }
#status .bar div { height: 100%; background: var(--color-accent); transition: width 0.2s; }
#status p { margin: 0.35rem 0 0; }
#upload [aria-label="Trim video to selection"], #upload button[aria-label*="trim" i] { display: none; }
@media (max-width: 760px) {
  .gradio-container .main.app { padding: 0.75rem !important; }
  #what, #how { min-width: min(100%, 280px) !important; }
  #work { grid-template: "source" "stage" "cast" / minmax(0, 1fr); }
  #picture img { max-height: 50vh; }
  #track, #stop, #backwards { padding-inline: 0.3rem; font-size: var(--text-md); }
  #files .filename, #files .stem { white-space: normal; word-break: break-all; overflow: visible; max-width: none; }
  #timeline .image-container { display: block; width: 100%; overflow-x: auto; }
  #timeline .image-container > button, #timeline .image-frame { display: block; width: 720px; height: auto; }
  #timeline img { width: 720px; max-width: none; height: auto; }
  #events, #dwell, #marks { overflow-x: auto; }
}
"""
# Sends clicks and drags on the picture. (Gradio's own clicks miss in pictures that are shown enlarged.)
POINTING = """
const shown = '#picture img';
let start = null, outline = null, dragged = false;
const place = (event, image) => {  // pixels of the picture as it was sent, inside it
  const box = image.getBoundingClientRect();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const scale = Math.min(box.width / width, box.height / height);
  const x = (event.clientX - box.left - (box.width - width * scale) / 2) / scale;
  const y = (event.clientY - box.top - (box.height - height * scale) / 2) / scale;
  return [Math.min(Math.max(x, 0), width - 0.01), Math.min(Math.max(y, 0), height - 0.01)];
};
const drop = () => { outline?.remove(); start = outline = null; };
document.addEventListener('dragstart', event => { if (event.target.matches(shown)) event.preventDefault(); });
document.addEventListener('pointerdown', event => {
  dragged = false;
  const drags = event.pointerType === 'mouse' || getComputedStyle(event.target).touchAction === 'none';
  if (event.target.matches?.(shown) && event.button === 0 && drags)
    start = {x: event.clientX, y: event.clientY, image: event.target, at: place(event, event.target)};
});
document.addEventListener('pointermove', event => {
  if (!start) return;
  const [width, height] = [Math.abs(event.clientX - start.x), Math.abs(event.clientY - start.y)];
  if (!outline && Math.max(width, height) < 6) return;
  if (!outline) {
    outline = document.createElement('div');
    outline.style.cssText = 'position: fixed; z-index: 99; pointer-events: none';
    outline.style.cssText += '; border: 2px dashed white; outline: 1px solid black';
    document.body.append(outline);
  }
  const [left, top] = [Math.min(event.clientX, start.x), Math.min(event.clientY, start.y)];
  Object.assign(outline.style, {left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px`});
});
document.addEventListener('pointerup', event => {
  if (outline) {
    dragged = true;
    trigger('submit', {place: [...start.at, ...place(event, start.image)]});
  }
  drop();
});
document.addEventListener('pointercancel', drop);
document.addEventListener('click', event => {
  if (event.target.matches?.(shown) && !dragged) trigger('submit', {place: place(event, event.target)});
  dragged = false;
});
"""


class Layout:
    """The parts of the page, made inside a `gr.Blocks`, as attributes.

    Args:
        limits: On videos, to be printed.
        interactions: Names to choose from when something is taught.
    """

    def __init__(self, limits: Limits, interactions: list[str]) -> None:
        gr.Markdown(INTRO)
        with gr.Row(elem_id="work"):
            with gr.Column(elem_id="source"):
                self._lay_out_source(limits)
            with gr.Column(elem_id="stage"):
                self._lay_out_stage()
            with gr.Column(elem_id="cast"):
                self._lay_out_cast()
        with gr.Tab("What happened"):
            self._lay_out_events()
        with gr.Tab("Where"):
            self._lay_out_places()
        with gr.Tab("Teach"):
            self._lay_out_teaching(interactions)
        with gr.Tab("Take away"):
            self._lay_out_files()
        self.pointing = gr.HTML(js_on_load=POINTING, visible="hidden")

    @property
    def plan(self) -> list[gr.blocks.Block]:
        """The parts that show what the visitor has said so far."""
        picking = [self.picture, self.position, self.targets, self.gallery, self.name, self.remove, self.clear]
        return [*picking, self.dwell, self.forget_regions, self.marks, self.python, self.command]

    @property
    def results(self) -> list[gr.blocks.Block]:
        """The parts that show what has been found."""
        return [self.told, self.hint, self.timeline, self.table, self.heat, self.files, self.changed]

    def _lay_out_source(self, limits: Limits) -> None:
        gr.Markdown("### 1. Your video")
        self.video = gr.Video(
            label="Your video",
            show_label=False,
            sources=["upload", "webcam"],
            webcam_options=gr.WebcamOptions(mirror=False),
            buttons=["download"],
            elem_id="upload",
        )
        gr.Markdown(f"{limits.describe()} {PRIVACY} No video at hand? Try one of these:", elem_id="limits")
        with gr.Row():
            self.examples = [gr.Button(example.title, size="sm", min_width=80) for example in EXAMPLES]

    def _lay_out_stage(self) -> None:
        gr.Markdown("### 2. Click the target")
        self.picture = gr.Image(
            label="Click the target",
            show_label=False,
            interactive=False,
            type="numpy",
            format="jpeg",
            buttons=[],
            alt_text="The shown frame, with the targets",
            elem_id="picture",
        )
        self.position = gr.Slider(0, 1, value=0, step=1, label="Frame", buttons=[], elem_id="position")
        with gr.Row():
            self.what = gr.Radio(
                [actions.NEW, actions.REFINE, actions.REGION], value=actions.NEW, label="A click means", elem_id="what"
            )
            self.how = gr.Radio(
                [actions.PLUS, actions.MINUS, actions.CORNERS], value=actions.PLUS, label=HOW, elem_id="how"
            )
        with gr.Row():
            self.track = gr.Button("3. Track", variant="primary", min_width=90, elem_id="track")
            self.stop = gr.Button("Stop", variant="stop", min_width=90, elem_id="stop")
            self.backwards = gr.Button("Track back", min_width=90, elem_id="backwards")
        self.status = gr.HTML(
            "Choose a video to begin.",
            html_template='<div role="status">${value}</div>',
            js_on_load=None,
            elem_id="status",
        )
        with gr.Accordion(NO_MOUSE, open=False):
            with gr.Row():
                self.across = gr.Number(label="x, pixels", value=0, min_width=80)
                self.down = gr.Number(label="y, pixels", value=0, min_width=80)
                self.point = gr.Button("Click there", size="sm", min_width=80)

    def _lay_out_cast(self) -> None:
        self.targets = gr.Markdown("### Targets", visible=False)
        self.gallery = gr.Gallery(
            label="Targets",
            show_label=False,
            columns=4,
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            buttons=[],
            visible=False,
            elem_id="targets",
        )
        self.name = gr.Textbox(
            label="Name of the selected target", placeholder="person", max_length=40, visible=False, elem_id="name"
        )
        with gr.Row():
            self.remove = gr.Button("Remove selected", size="sm", min_width=80, visible=False)
            self.clear = gr.Button("Clear all", size="sm", min_width=80, visible=False)

    def _lay_out_events(self) -> None:
        self.told = gr.Markdown(NO_RESULTS, elem_id="summary")
        self.hint = gr.Markdown(TIMELINE, visible=False)
        self.timeline = gr.Image(
            label="Timeline: click to go there",
            show_label=False,
            interactive=False,
            type="pil",
            format="png",
            visible=False,
            buttons=["fullscreen", "download"],
            alt_text="Timeline of what the targets do; the table below says the same",
            elem_id="timeline",
        )
        self.table = gr.Dataframe(
            headers=list(views.EVENT_COLUMNS),
            datatype=["number", "str", "str", "str", "number", "number", "number"],
            label="Events",
            interactive=False,
            visible=False,
            buttons=["copy"],
            elem_id="events",
        )

    def _lay_out_places(self) -> None:
        gr.Markdown(WHERE)
        self.heat = gr.Image(
            label="Time spent",
            show_label=False,
            interactive=False,
            format="jpeg",
            buttons=["download"],
            visible=False,
            alt_text="Heat map of the time that the targets spent at each place",
            elem_id="heat",
        )
        self.region = gr.Textbox(
            label="Name of the next region (optional)", placeholder="till", max_length=40, elem_id="region"
        )
        self.dwell = gr.Dataframe(
            headers=list(views.DWELL_COLUMNS),
            label="Time per region",
            interactive=False,
            visible=False,
            buttons=["copy"],
            elem_id="dwell",
        )
        self.forget_regions = gr.Button("Remove regions", size="sm", visible=False)

    def _lay_out_teaching(self, interactions: list[str]) -> None:
        gr.Markdown(TEACH)
        with gr.Row():
            self.interaction = gr.Dropdown(
                interactions, label="It does", value=None, allow_custom_value=True, elem_id="interaction"
            )
            self.thing = gr.Textbox(label="with (optional)", max_length=40)
        with gr.Row():
            self.mark = gr.Button("Mark this moment", min_width=120)
            self.unmark = gr.Button("Remove all marks", min_width=120)
            self.adapt = gr.Button("Adapt", variant="primary", min_width=120)
            self.forget = gr.Button("Forget", min_width=120)
        self.marks = gr.Dataframe(
            headers=list(views.MOMENT_COLUMNS),
            label="Marked moments",
            interactive=False,
            visible=False,
            buttons=[],
            elem_id="marks",
        )
        self.changed = gr.Markdown(elem_id="changed")

    def _lay_out_files(self) -> None:
        self.make = gr.Button("Make the files", variant="primary")
        self.files = gr.File(
            label="Annotated video, JSON, CSV, subtitles, COCO, SemTrack layout, timeline",
            file_count="multiple",
            interactive=False,
            visible=False,
            elem_id="files",
        )
        code = {"interactive": False, "lines": 2, "wrap_lines": True, "show_line_numbers": False}
        self.python = gr.Code(label="This run as Python", language="python", elem_id="python", **code)
        self.command = gr.Code(label="This run as command line", language="shell", elem_id="command", **code)
