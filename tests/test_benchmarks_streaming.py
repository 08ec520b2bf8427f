"""Streaming a large index costs no more than the libraries that stream it."""

from benchmarks.streaming import ALLOWED, renamed, stream_apart
from dataset_script.records import InteractionRecord, TargetRecord, VideoRecord
from dataset_script.sources.semtrack import write_semtrack


def test_a_stream_of_a_thousand_videos_stays_under_400_mb_and_leaves_the_model_alone(tmp_path):
    """A fresh process, since it is the imports that cost: `datasets` with torch takes some 370 MB, the annotations of
    one video next to nothing, and anything of `modeling_semtrack` 130 MB on top, which would break the limit.
    """
    boxes = {frame: (frame + 1 / 3, 1 / 7, 10 / 3, 20 / 3) for frame in range(40)}
    targets = [TargetRecord(track, "person", boxes, True) for track in (1, 2)]
    events = [InteractionRecord(1, "push", 2, 3, 30)]
    record = VideoRecord("a video", "a.mp4", 320, 240, 25.0, 40, targets, events, None, "synthetic")
    write_semtrack(renamed([record], 1000), tmp_path / "train.json")
    found = stream_apart(tmp_path / "train.json")
    assert found["videos"] == 1000
    assert not found["model_imported"]
    assert found["peak_mb"] < ALLOWED
    assert found["peak_mb"] - found["first_video_mb"] < 20, "the stream grows with the index"
