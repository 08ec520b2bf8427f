"""Endpoints take uploads and nothing else, and say what a session would say."""

import json

import pytest
from app_clips import BOX, colour_clip, colour_demo, overlap

from modeling_semtrack import SemanticTrajectory
from modeling_semtrack.app_api import as_events, as_json, track_box, track_point, uploaded_path


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uploads")
    colour_clip(folder, 20)
    return folder


def test_an_upload_is_taken_with_the_name_its_owner_gave(uploads):
    path, name = uploaded_path({"path": str(uploads / "clip.mp4"), "orig_name": "../my holiday.mp4"}, uploads)
    assert path == uploads / "clip.mp4" and name == "my holiday.mp4"


@pytest.mark.parametrize(
    "video",
    [
        "/etc/passwd",
        "clip.mp4",
        "http://127.0.0.1/clip.mp4",
        None,
        7,
        ["clip.mp4"],
        {},
        {"path": None},
        {"path": "/etc/passwd"},
        {"path": "http://127.0.0.1/clip.mp4"},
        {"path": "{uploads}/../secret.mp4"},
        {"path": "{uploads}/link.mp4"},
        {"path": "{uploads}"},
        {"url": "http://127.0.0.1/clip.mp4"},
    ],
)
def test_everything_else_is_refused_unread(uploads, video):
    """Paths of the server, URLs, and what leads out of the uploads by dots or links."""
    secret = uploads.parent / "secret.mp4"
    secret.write_bytes(b"secret")
    link = uploads / "link.mp4"
    if not link.is_symlink():
        link.symlink_to(secret)
    if isinstance(video, dict) and isinstance(video.get("path"), str):
        video = {"path": video["path"].replace("{uploads}", str(uploads))}
    with pytest.raises(ValueError, match="uploaded file"):
        uploaded_path(video, uploads)


def test_a_point_and_a_box_find_the_same_target(uploads):
    demo, path = colour_demo(), uploads / "clip.mp4"
    (by_box,) = track_box(demo, path, "clip.mp4", BOX, 0)
    (by_point,) = track_point(demo, path, "clip.mp4", 16, 46, 0)
    assert len(by_box.frames) == len(by_point.frames) == 20
    assert overlap(by_box.frames[-1].box, by_point.frames[-1].box) > 0.5
    data = json.loads(json.dumps(as_json([by_box])))
    assert SemanticTrajectory.from_dict(data["trajectories"][0]) == by_box
    assert as_events([by_box])[0].keys() >= {"subject", "interaction", "object", "start_time", "end_time", "score"}


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda *source: track_point(*source, 16, 46, 20), "between 0 and 19"),
        (lambda *source: track_point(*source, 16, 46, -1), "between 0 and 19"),
        (lambda *source: track_point(*source, 500, 46, 0), "inside a 120x90 frame"),
        (lambda *source: track_box(*source, (10, 10, -3, 5), 0), "inside a 120x90 frame"),
    ],
)
def test_what_does_not_fit_the_video_is_said(uploads, call, words):
    with pytest.raises(ValueError, match=words):
        call(colour_demo(), uploads / "clip.mp4", "clip.mp4")
