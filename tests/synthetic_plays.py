"""Finished events of synthetic videos with the positions of their two entities, for tests."""

import math

import numpy as np

from dataset_script.synthetic import SyntheticConfig, build_scene
from dataset_script.synthetic_stage import FORESHORTENING


class Played:
    """One finished event with the positions of its two entities on the stage."""

    def __init__(self, scene, event):
        entities = {e.track_id: e for e in scene.stage.entities}
        self.stage, self.event = scene.stage, event
        self.subject, self.object = entities[event.subject], entities.get(event.object)
        before = max(0, event.start_frame - 1)
        self.s, self.o = (
            np.array([(p.x, p.y, p.lift) for p in e.poses[before : event.end_frame]])
            for e in (self.subject, self.object or self.subject)
        )
        gap = (self.s - self.o)[:, :2] / (1.0, FORESHORTENING)
        self.distance = np.hypot(*gap.T)
        self.angle = np.unwrap(np.arctan2(gap[:, 1], gap[:, 0]))
        self.contact = scene.stage.contact(self.subject, self.object or self.subject)

    def path(self, track):
        return np.hypot(*np.diff(track[:, :2], axis=0).T).sum()

    def stage_load(self, frame):
        """Pose of the ball, box or cup above the ground that is nearest to the object: what was handed over."""
        loads = [e.poses[frame] for e in self.stage.entities if e.sprite.category in ("ball", "box", "cup")]
        place = self.object.poses[frame]
        return min((p for p in loads if p.lift > 0), key=lambda p: abs(p.x - place.x) + abs(p.y - place.y))


def finished_events(interaction, seeds):
    """The events of one interaction that end before their video, in videos made of nothing else."""
    config = SyntheticConfig(interaction_weights={interaction: 1.0}, composite_share=0.0, seconds=(4.0, 5.0))
    events = []
    for seed in range(seeds):
        scene, _ = build_scene(config, seed)
        last = len(scene.camera)
        events += [Played(scene, e) for e in scene.stage.events if e.interaction == interaction and e.end_frame < last]
    return events


def turned(p):
    """Degrees by which the subject goes around the object."""
    return math.degrees(abs(p.angle[-1] - p.angle[0]))
