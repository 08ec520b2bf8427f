"""An exported folder works in a fresh process that does not have this package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import clip_inputs, prompt_inputs, square_frame, tiny_model, tiny_processor
from transformers import pipeline

BOX = (20.0, 30.0, 14.0, 14.0)

SCRIPT = """
import json, sys
import numpy as np
import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor, pipeline

folder, published, inputs, frames, out = sys.argv[1:]
try:
    import modeling_semtrack
    raise SystemExit("the package is on the path, so this proves nothing")
except ImportError:
    pass
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
images = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    clip = model(**torch.load(inputs, weights_only=True))
    frame = np.load(frames + "/first.npy")
    boxed = model(**processor(frame, box=(20, 30, 14, 14)))
pipe = pipeline(model=published, trust_remote_code=True)
trajectory = pipe(frames + "/video", box=(20, 30, 14, 14))
outputs = {name: value for name, value in clip.items() if isinstance(value, torch.Tensor)}
torch.save(outputs | {"boxed": boxed.pred_boxes, "scene": images(frame)["pixel_values"]}, out + "/outputs.pt")
names = {name: type(thing).__name__ for name, thing in
         {"config": config, "model": model, "processor": processor, "images": images, "pipe": pipe}.items()}
result = {"names": names, "modules": type(model).__module__, "label": config.id2interaction[3],
          "trajectory": trajectory.to_dict(), "dtype": str(model.dtype)}
json.dump(result, open(out + "/result.json", "w"))
"""


@pytest.fixture(scope="module")
def here():
    """The model and the processor that are exported."""
    torch.manual_seed(0)
    return tiny_model("conv"), tiny_processor()


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A folder with a frame as an array and a video as pictures."""
    folder = tmp_path_factory.mktemp("frames")
    (folder / "video").mkdir()
    images = [square_frame({(20 + 2 * index, 30, 14): (250, 220, 20)}) for index in range(8)]
    np.save(folder / "first.npy", images[0])
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / "video" / f"{index:03d}.png")
    return folder


@pytest.fixture(scope="module")
def exported(here, tmp_path_factory):
    """The folder of `save_pretrained` of model and processor."""
    folder = tmp_path_factory.mktemp("exported")
    for part in here:
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def published(here, tmp_path_factory):
    """The folder of `save_pretrained` of the pipeline."""
    folder = tmp_path_factory.mktemp("published")
    model, processor = here
    pipeline("semantic-tracking", model=model, image_processor=processor.image_processor).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def inputs():
    torch.manual_seed(1)
    return {**clip_inputs(), **prompt_inputs()}


@pytest.fixture(scope="module")
def there(exported, published, frames, inputs, tmp_path_factory):
    """What a process without the package makes of the folders: (result, outputs)."""
    out = tmp_path_factory.mktemp("out")
    torch.save(inputs, out / "inputs.pt")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_HOME")}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(out / "home"), "OMP_NUM_THREADS": "1"}
    # -I: neither the working folder nor PYTHONPATH is searched; the installed package, if any, is blocked.
    blocked = "import sys; sys.modules['modeling_semtrack'] = None\n"
    arguments = [str(path) for path in (exported, published, out / "inputs.pt", frames, out)]
    done = subprocess.run(
        [sys.executable, "-I", "-c", blocked + SCRIPT, *arguments],
        cwd=out, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "result.json").read_text()), torch.load(out / "outputs.pt", weights_only=True)


def test_an_exported_folder_holds_all_the_code_it_needs(exported):
    assert {path.name for path in exported.glob("*.py")} == {
        "activity_semtrack.py",
        "configuration_semtrack.py",
        "heads_semtrack.py",
        "layers_semtrack.py",
        "loss_semtrack.py",
        "memory_semtrack.py",
        "modeling_semtrack.py",
        "motion_semtrack.py",
        "processing_semtrack.py",
        "stem_semtrack.py",
        "surroundings_semtrack.py",
        "trajectory.py",
    }
    assert (exported / "model.safetensors").is_file()
    assert not list(exported.glob("*.bin")) and not list(exported.glob("*.pt"))  # no pickle


def test_an_exported_folder_names_its_classes(exported):
    config = json.loads((exported / "config.json").read_text())
    assert config["auto_map"]["AutoConfig"] == "configuration_semtrack.SemTrackConfig"
    assert config["auto_map"]["AutoModel"] == "modeling_semtrack.SemTrackModel"
    processor = json.loads((exported / "processor_config.json").read_text())
    assert processor["auto_map"]["AutoProcessor"] == "processing_semtrack.SemTrackProcessor"


def test_a_published_folder_holds_the_session_and_the_video_reader_too(published, exported):
    names = {path.name for path in published.glob("*.py")}
    assert {path.name for path in exported.glob("*.py")} < names
    assert {"pipeline_semtrack.py", "session_semtrack.py", "localization.py", "track_log.py", "events.py"} < names
    assert {"video.py", "decoding.py"} < names


@pytest.mark.parametrize("folder", ["exported", "published"])
def test_no_path_of_this_machine_is_saved(folder, request):
    for path in request.getfixturevalue(folder).glob("*.json"):
        assert str(path.parent) not in path.read_text() and os.getcwd() not in path.read_text(), path.name


def test_without_the_package_the_same_classes_are_found(there):
    result, _ = there
    assert result["names"] == {
        "config": "SemTrackConfig",
        "model": "SemTrackModel",
        "processor": "SemTrackProcessor",
        "images": "SemTrackImageProcessor",
        "pipe": "SemanticTrackingPipeline",
    }
    assert result["modules"].startswith("transformers_modules.")
    assert result["label"] == "carry"


def test_without_the_package_the_outputs_are_the_same(here, inputs, frames, there):
    model, processor = here
    _, outputs = there
    frame = np.load(frames / "first.npy")
    with torch.no_grad():
        expected = dict(model(**inputs))
        expected["boxed"] = model(**processor(frame, box=BOX)).pred_boxes
    expected["scene"] = processor.image_processor(frame)["pixel_values"]
    assert outputs.keys() == {name for name, value in expected.items() if isinstance(value, torch.Tensor)}
    for name, value in outputs.items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-6, msg=name)


def test_without_the_package_the_pipeline_gives_the_same_trajectory(here, frames, there):
    model, processor = here
    result, _ = there
    pipe = pipeline("semantic-tracking", model=model, image_processor=processor.image_processor)
    expected = pipe(str(frames / "video"), box=BOX).to_dict()
    found = result["trajectory"]
    assert found["prompt"] == expected["prompt"] and len(found["frames"]) == 8
    for one, other in zip(found["frames"], expected["frames"], strict=True):
        assert one[:2] == other[:2]
        assert one[2] == (other[2] and pytest.approx(other[2], abs=1e-4))
        assert one[3] == pytest.approx(other[3], abs=1e-4)
    assert [event["interaction"] for event in found["events"]] == [event["interaction"] for event in expected["events"]]
