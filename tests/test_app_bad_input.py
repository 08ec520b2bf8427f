"""Whatever visitors and programs send to a running server: it answers readably, keeps nothing, and goes on."""

import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from app_clips import colour_clip, colour_demo
from video_files import cut, encode, noisy, picture

gr = pytest.importorskip("gradio", reason="gradio is not installed (extra: demo)")

import app  # noqa: E402
from benchmarks.app_tab import Refused, Tab  # noqa: E402
from modeling_semtrack.app_video import Limits  # noqa: E402
from modeling_semtrack.video import VideoWriter  # noqa: E402

MEGABYTE = 1 << 20
THREE_HOURS = 3 * 3600


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uploads")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    demo = colour_demo(limits=Limits(file_bytes=MEGABYTE), folder=folder)
    page = app.build(demo, "model")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, max_file_size=MEGABYTE)
    yield SimpleNamespace(address=address.rstrip("/"), folder=folder, demo=demo)
    page.close()
    del os.environ["GRADIO_TEMP_DIR"]


@pytest.fixture
def tab(server):
    tab = Tab(server)
    yield tab
    tab.leave()
    server.demo.visitors.close(tab.session)


@pytest.fixture(scope="module")
def client(server):
    from gradio_client import Client

    client = Client(server.address, verbose=False)
    yield client
    client.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return colour_clip(tmp_path_factory.mktemp("good"), 5, "good.mp4")


def files(server):
    return {path for path in server.folder.rglob("*") if path.is_file()}


def sound(path):
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))


def huge_frames(path):
    """8K, nearly empty."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        empty = av.VideoFrame.from_ndarray(np.zeros((4320 * 3 // 2, 7680), np.uint8), "yuv420p")
        container.mux([*stream.encode(empty), *stream.encode()])


def too_large(path):
    """Sparse: it takes no room here."""
    with path.open("wb") as file:
        file.truncate(64 * MEGABYTE)


BAD = {
    "text": (lambda path: path.write_text("not a video " * 50), "cannot be opened as a video"),
    "empty": (lambda path: path.touch(), "0 bytes"),
    "too large": (too_large, "maximum|hung up"),
    "one frame": (lambda path: encode(path, [picture()]), "single frame"),
    "8K": (huge_frames, "7680x4320, the limit is 4096 pixels"),
    "audio": (sound, "no video"),
    "cut to its header": (lambda path: cut(encode(path, noisy(8)), 0.1), "cannot be opened|no frame"),
}


@pytest.fixture(params=list(BAD))
def bad(request, tmp_path):
    make, words = BAD[request.param]
    path = tmp_path / "holiday.mp4"
    make(path)
    return path, words


def test_the_page_refuses_a_bad_video_and_goes_on(server, tab, bad, good):
    """Without a path of the server in its words, and without the file in its folders."""
    path, words = bad
    before = files(server)
    with pytest.raises(Refused, match=words) as caught:
        tab.open(path)
    assert "/" not in str(caught.value) and files(server) == before
    tab.open(good)
    assert "5 frames" in tab.value("status")


def test_programs_are_refused_a_bad_video_and_go_on(server, client, bad, good):
    from gradio_client import handle_file

    path, words = bad
    before = files(server)
    with pytest.raises(Exception, match=f"{words}|Connection|Broken pipe|disconnected") as caught:
        client.predict(handle_file(str(path)), 16, 46, 0, api_name="/track_point")
    assert str(server.folder) not in str(caught.value) and files(server) == before
    assert client.predict(handle_file(str(good)), 16, 46, 0, api_name="/track_point")["trajectories"]


def long_video(path):
    with VideoWriter(path, 1 / 30) as writer:
        for index in range(THREE_HOURS // 30):
            writer.write(picture(index, 32, 32), 30.0 * index)
    return path


@pytest.mark.parametrize(
    "make, words",
    [
        (long_video, r"Only the first 2 frames \(30.0 s\) are used"),
        (lambda path: cut(encode(path, noisy(40), muxer={"movflags": "frag_keyframe"}, g=1), 0.6), "damaged"),
    ],
    ids=["3 hours", "corrupt tail"],
)
def test_of_a_difficult_video_the_beginning_is_used_with_a_note(tab, tmp_path, make, words):
    tab.open(make(tmp_path / "holiday.mp4"))
    assert re.search(words, tab.value("status"))
    tab.click(20, 20)
    tab.press("track")
    assert "tracked" in tab.value("status")


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda tab: tab.click(5000, 20), "outside the 120x90 picture"),
        (lambda tab: tab.click(-1, 20), "outside the 120x90 picture"),
        (lambda tab: tab.press("track"), "pick a target first"),
        (lambda tab: tab.press("backwards"), "select a target first"),
        (lambda tab: tab.press("Make the files"), "no results yet"),
    ],
    ids=["click outside", "click left of it", "no target", "no target backwards", "no results"],
)
def test_the_page_answers_what_cannot_be_done_and_goes_on(tab, good, act, words):
    tab.open(good)
    with pytest.raises(Refused, match=words):
        act(tab)
    tab.click(16, 46)
    tab.press("track")
    assert "5 of 5 tracked" in tab.value("status")


def test_without_a_video_nothing_works_and_everything_is_answered(tab, good):
    for act in (lambda: tab.click(16, 46), lambda: tab.press("track")):
        with pytest.raises(Refused, match="video first|pick a target first"):
            act()
    tab.open(good)


@pytest.mark.parametrize(
    "video",
    [
        {"path": "{clip}", "meta": {"_type": "gradio.FileData"}},
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"path": "http://127.0.0.1:1/clip.mp4", "meta": {"_type": "gradio.FileData"}},
        "{clip}",
        "http://127.0.0.1:1/clip.mp4",
    ],
)
def test_the_page_takes_no_path_and_no_url_for_an_upload(server, tab, tmp_path, good, video):
    """Whatever a visitor puts into the messages of the page: files beside the uploads stay unread."""
    clip = str(colour_clip(tmp_path, 5))
    before = files(server)
    forged = {**video, "path": video["path"].replace("{clip}", clip)} if isinstance(video, dict) else video
    tab.values[tab.component("upload")] = forged.replace("{clip}", clip) if isinstance(forged, str) else forged
    with pytest.raises(Refused) as caught:
        list(tab.act("upload", "input"))
    assert "root:" not in str(caught.value) and files(server) == before
    tab.open(good)


def test_one_visitor_cannot_take_what_another_one_has_uploaded_by_guessing_its_name(server, tab, tmp_path):
    """The path of an upload holds the hash of its content."""
    tab.values[tab.component("upload")] = {
        "path": str(server.folder / "clip.mp4"),
        "meta": {"_type": "gradio.FileData"},
    }
    with pytest.raises(Refused):
        list(tab.act("upload", "input"))


def test_what_a_visitor_has_made_and_uploaded_goes_with_them(server, good):
    """All files: the upload, pictures, results."""
    before = files(server)
    tab = Tab(server)
    tab.open(good)
    tab.click(16, 46)
    tab.press("track")
    tab.press("Make the files")
    made = files(server) - before
    assert {Path(path).suffix for path in made} >= {".mp4", ".json", ".csv", ".srt", ".png", ".jpg"}
    tab.leave()
    server.demo.visitors.close(tab.session)
    assert files(server) == before


def test_closing_the_tab_ends_the_run(server, tmp_path):
    """No work goes on for nobody."""
    tab = Tab(server)
    tab.open(colour_clip(tmp_path, 600))
    tab.click(16, 46)
    answers = tab.act("track", "click")
    next(answer for answer in answers if answer.kind == "process_generating")
    visitor = server.demo.visitors.get(tab.session)
    answers.close()
    tab.leave()
    deadline = time.monotonic() + 20
    while not (visitor.left.is_set() and not visitor.working.locked()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert visitor.left.is_set() and not visitor.working.locked()
    assert len(visitor.run.trajectories()[0].frames) < 600
    server.demo.visitors.close(tab.session)
