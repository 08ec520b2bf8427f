"""Small truths and predictions in the SemTrack layout, to be scored by hand."""

NEAR, FAR = [0.0, 0.0, 100.0, 100.0], [300.0, 0.0, 100.0, 100.0]
FRAMES = 10


def truth(*tracks, names=("clip",), classes=("dog", "cat")):
    """Videos of ten frames, each with tracks (box, subject's interaction, object's interaction, main)."""
    layout = {
        "videos": [{"id": 1 + v, "name": name, "lang": "the dog"} for v, name in enumerate(names)],
        "images": [
            {"id": 100 * (1 + v) + t, "video_id": 1 + v, "frame_index": t}
            for v in range(len(names))
            for t in range(FRAMES)
        ],
        "categories": [{"id": 1 + c, "name": name} for c, name in enumerate(classes)],
        "annotations": [],
    }
    for video in range(len(names)):
        for track, (box, subject, object_, main) in enumerate(tracks, start=1):
            for frame in range(FRAMES):
                layout["annotations"].append(
                    {"image_id": 100 * (1 + video) + frame, "track_id": track, "category_id": 1, "bbox": box}
                    | {"main_object": main, "relation_sub_category_id": subject, "relation_obj_category_id": object_}
                )
    return layout


def predicted(track, box, score, subjects, objects, main=1, frames=range(FRAMES), video=1, **more):
    """One predicted track."""
    return [
        {"image_id": 100 * video + frame, "track_id": track, "category_id": 1, "bbox": box, "score": score}
        | {"is_main": main, "relation_sub_category_id": subjects, "relation_obj_category_id": objects}
        | more
        for frame in frames
    ]
