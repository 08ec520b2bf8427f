"""The page can be built without a network, and its endpoints keep to uploads."""

import json
import os
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

import pytest
from app_clips import BOX, colour_clip, colour_demo, overlap

gr = pytest.importorskip("gradio", reason="gradio is not installed (extra: demo)")

import app  # noqa: E402
from modeling_semtrack import SemanticTrajectory  # noqa: E402
from modeling_semtrack.app_actions import Progress  # noqa: E402
from modeling_semtrack.app_handlers import progress_bar  # noqa: E402
from modeling_semtrack.app_state import Visit  # noqa: E402
from modeling_semtrack.app_video import Limits  # noqa: E402

ENDPOINTS = {"track_point", "track_box", "events"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The demo on a port of this machine; its address, and the demo."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))
    demo = colour_demo(limits=Limits(file_bytes=1 << 20))
    page = app.build(demo, "model")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, max_file_size=1 << 20)
    yield address.rstrip("/"), demo
    page.close()
    del os.environ["GRADIO_TEMP_DIR"]


@pytest.fixture(scope="module")
def page():
    return app.build(colour_demo(), "model")


@pytest.fixture(scope="module")
def client(server):
    from gradio_client import Client

    return Client(server[0], verbose=False)


def test_the_page_is_built_offline_with_three_public_endpoints(monkeypatch):
    """Nothing is launched and nothing is asked of a network."""
    import socket

    monkeypatch.setattr(socket, "create_connection", lambda *args, **options: pytest.fail("asked a network"))
    page = app.build(colour_demo(), "model")
    functions = list(page.fns.values())
    assert {f.api_name for f in functions if f.api_visibility == "public"} == ENDPOINTS
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
@pytest.mark.parametrize("video", ["/etc/passwd", "clip.mp4", "http://127.0.0.1/", {"path": "/etc/passwd"}, None])
def test_endpoints_refuse_paths_and_urls(page, name, video):
    """Before anything is opened."""
    endpoint = next(f for f in page.fns.values() if f.api_name == name)
    with pytest.raises(gr.Error, match="uploaded file"):
        endpoint.fn(video, *([10.0] * (4 if name == "track_box" else 2)))


def test_a_program_tracks_an_upload(client, tmp_path):
    from gradio_client import handle_file

    clip = colour_clip(tmp_path, 20)
    by_box = client.predict(handle_file(str(clip)), *BOX, 0, api_name="/track_box")
    by_point = client.predict(handle_file(str(clip)), 16, 46, 0, api_name="/track_point")
    tracks = [SemanticTrajectory.from_dict(answer["trajectories"][0]) for answer in (by_box, by_point)]
    assert [len(track.frames) for track in tracks] == [20, 20]
    assert overlap(tracks[0].frames[-1].box, tracks[1].frames[-1].box) > 0.5
    events = client.predict(handle_file(str(clip)), 16, 46, 0, api_name="/events")
    assert events[0]["interaction"] == tracks[1].events[0].interaction


def answers(address, name, data):
    """Everything that the server says to a raw call."""
    body = json.dumps({"data": data}).encode()
    request = urllib.request.Request(
        f"{address}/gradio_api/call/{name}", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            event = json.loads(reply.read())["event_id"]
        with urllib.request.urlopen(f"{address}/gradio_api/call/{name}/{event}", timeout=20) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        return f"event: error {error.code}"


@pytest.mark.parametrize(
    "video",
    [
        "{clip}",
        {"path": "{clip}"},
        {"path": "{clip}", "meta": {"_type": "gradio.FileData"}},
        {"path": "http://127.0.0.1:1/clip.mp4", "meta": {"_type": "gradio.FileData"}},
        {"url": "file://{clip}", "path": "clip.mp4", "meta": {"_type": "gradio.FileData"}},
    ],
)
def test_raw_calls_reach_no_file_of_the_server(server, tmp_path, video):
    """Whatever a client makes up: a video beside the uploads stays unread."""
    clip = colour_clip(tmp_path, 5)
    text = json.dumps(video).replace("{clip}", str(clip))
    said = answers(server[0], "track_point", [json.loads(text), 16, 46, 0])
    assert "event: error" in said and "trajectories" not in said


def test_private_actions_cannot_be_called_by_programs(client):
    names = set(client.view_api(return_format="dict", print_info=False)["named_endpoints"])
    assert names == {f"/{name}" for name in ENDPOINTS}


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: path.write_text("no video " * 20), "cannot be opened"),
        (lambda path: path.touch(), "0 bytes"),
        (lambda path: path.write_bytes(bytes(2 << 20)), "maximum file size"),
    ],
)
def test_bad_uploads_are_refused_readably_and_the_server_goes_on(client, tmp_path, make, words):
    """The message tells no path of the server, and the file does not stay there."""
    from gradio_client import handle_file

    bad = tmp_path / "bad.mp4"
    make(bad)
    with pytest.raises(Exception, match=words) as caught:
        client.predict(handle_file(str(bad)), 16, 46, 0, api_name="/track_point")
    assert os.environ["GRADIO_TEMP_DIR"] not in str(caught.value)
    assert not list(Path(os.environ["GRADIO_TEMP_DIR"]).rglob("bad.mp4"))
    good = colour_clip(tmp_path, 5)
    assert client.predict(handle_file(str(good)), 16, 46, 0, api_name="/track_point")["trajectories"]


def test_progress_is_a_bar_with_words():
    bar = progress_bar(Progress(Visit("one"), None, 5, 20, 12.34))
    assert 'valuenow="5"' in bar and "width: 25.0%" in bar and "frame 5 of 20, 12.3 frames per second" in bar
    assert "20 of 20" in progress_bar(Progress(Visit("one"), None, 20, 20, 0.0, over=True))


def test_the_space_has_what_it_needs():
    """The front matter names app.py and gradio's version; the requirements install both."""
    root = Path(app.__file__).parent
    front = (root / "README.md").read_text(encoding="utf-8").split("---")[1]
    assert "app_file: app.py" in front and "sdk_version: 6.31.0" in front
    requirements = (root / "requirements.txt").read_text(encoding="utf-8")
    assert "gradio" in requirements and "torch" in requirements


def test_the_owner_names_the_model_and_visitors_see_no_path(monkeypatch, tmp_path):
    """The bundled one as it lies in the project, a folder by its own name, a model on the Hub by its full one."""
    monkeypatch.delenv("SEMTRACK_MODEL", raising=False)
    assert app.public_name(Path("/srv/semtrack/checkpoints/semtrack-tiny")) == "checkpoints/semtrack-tiny"
    monkeypatch.setenv("SEMTRACK_MODEL", str(tmp_path / "mine"))
    assert app.public_name(tmp_path / "mine") == "mine"
    monkeypatch.setenv("SEMTRACK_MODEL", "someone/semtrack-small")
    assert app.public_name(tmp_path / "snapshots" / "0123abc") == "someone/semtrack-small"


def test_mcp_offers_the_three_endpoints_and_nothing_else(tmp_path, monkeypatch):
    """Where `gradio[mcp]` is installed."""
    pytest.importorskip("mcp", reason="mcp is not installed (pip install 'gradio[mcp]')")
    if not version("mcp").startswith("1."):
        pytest.skip(f"gradio needs mcp 1, there is {version('mcp')} (pip install 'gradio[mcp]')")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = app.build(colour_demo(), "model")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, mcp_server=True)
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/gradio_api/mcp/schema", timeout=20) as reply:
            tools = json.loads(reply.read())
    finally:
        page.close()
    assert {tool["name"] for tool in tools} == ENDPOINTS
    assert all(tool["description"] for tool in tools)
