"""SemTrackModel as a transformers model: loading, attention, prompts, clips, gradients, switches."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import (
    OBJECTS,
    PROMPTS,
    STEMS,
    clip_inputs,
    clip_labels,
    prompt_inputs,
    tiny_config,
    tiny_model,
    tiny_processor,
    view_inputs,
)
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor

from modeling_semtrack import SemTrackConfig, SemTrackImageProcessor, SemTrackModel, SemTrackProcessor
from modeling_semtrack.heads_semtrack import SCORE_PRIOR

DECIDED = ("score_logits", "box_map", "pred_boxes", "presence_logits", "target_embeds")
DESCRIBED = ("activity_logits", "interaction_logits", "object_logits", "object_boxes")


def assert_same(first, second, names=DECIDED, tolerance=1e-5):
    for name in names:
        torch.testing.assert_close(first[name], second[name], atol=tolerance, rtol=tolerance, msg=name)


def rows(inputs, index):
    """One item of a batch of inputs."""
    return {name: value[index : index + 1] for name, value in inputs.items()}


# Loading and saving


@pytest.mark.parametrize("stem", STEMS)
def test_saving_and_loading_keeps_every_bit(stem, tmp_path):
    model = tiny_model(stem)
    for buffer in model.buffers():  # batch norm statistics that are not the initial ones
        buffer.copy_(torch.rand(buffer.shape) * 10)
    model.save_pretrained(tmp_path)
    again, info = SemTrackModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    saved = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    loaded = {**dict(again.named_parameters()), **dict(again.named_buffers())}
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


@pytest.mark.parametrize("stem", STEMS)
def test_weights_that_a_checkpoint_lacks_are_initialised(stem, tmp_path):
    """Loading builds the model without memory: what the checkpoint lacks must not stay arbitrary memory."""
    fresh = tiny_model(stem)
    fresh.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = "norm.weight"
    save_file({kept: torch.full_like(weights[kept], 7.0)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loads = []
    for _ in range(2):
        torch.manual_seed(1)
        loads.append(SemTrackModel.from_pretrained(tmp_path).state_dict())
    for name, expected in fresh.state_dict().items():
        found = loads[0][name]
        assert torch.equal(found, loads[1][name]), name
        if name == kept:
            assert (found == 7.0).all()
        elif expected.unique().numel() == 1:  # zeros, ones and priors
            assert torch.equal(found, expected), name
        else:
            assert 1 / 3 < found.std() / expected.std() < 3, name
            assert (found.mean() - expected.mean()).abs() < 8 * expected.std() / found.numel() ** 0.5, name


def test_a_new_model_expects_the_target_almost_nowhere():
    model = tiny_model(initializer_range=0.02)
    score = model(**view_inputs(), **prompt_inputs("template")).score_logits.sigmoid()
    torch.testing.assert_close(score, torch.full_like(score, SCORE_PRIOR), rtol=0.2, atol=0)


def test_a_model_with_other_label_maps_takes_over_all_other_weights(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    other = SemTrackModel.from_pretrained(
        tmp_path, id2object={0: "ball"}, ignore_mismatched_sizes=True, output_loading_info=True
    )
    again, info = other
    assert {name for name, *_ in info["mismatched_keys"]} == {
        "semantic_head.readout.object_classifier.weight",
        "semantic_head.readout.object_classifier.bias",
    }
    assert again.semantic_head.readout.object_classifier.out_features == 2
    assert torch.equal(again.target_token, model.target_token)


def test_the_auto_classes_find_every_part_of_a_folder(tmp_path):
    model, processor = tiny_model(), tiny_processor()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is SemTrackConfig
    found = AutoModel.from_pretrained(tmp_path)
    assert type(found) is SemTrackModel
    assert torch.equal(found.target_token, model.target_token)
    for auto, expected in ((AutoImageProcessor, SemTrackImageProcessor), (AutoProcessor, SemTrackProcessor)):
        part = auto.from_pretrained(tmp_path)
        assert type(part) is expected
        images = getattr(part, "image_processor", part)
        assert images.to_dict() == processor.image_processor.to_dict()
    assert type(AutoModel.from_config(model.config)) is SemTrackModel


@pytest.mark.parametrize("stem", STEMS)
def test_half_precision_gives_nearly_the_same_answer(stem, tmp_path):
    model = tiny_model(stem, initializer_range=0.05)
    model.save_pretrained(tmp_path)
    half = SemTrackModel.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    inputs = {**clip_inputs(), **prompt_inputs()}
    with torch.no_grad():
        precise, rough = model(**inputs), half(**inputs)
    names = ("score_logits", "box_map", "presence_logits", *DESCRIBED)
    assert all(rough[name].dtype == torch.float32 for name in names)  # thresholds and losses need it
    assert_same(precise, rough, names, tolerance=0.1)


@pytest.mark.parametrize("device_map", [{"": "cpu"}, "cpu", "auto"])
def test_a_device_map_is_understood(device_map, tmp_path):
    pytest.importorskip("accelerate")
    model = tiny_model("conv")
    model.save_pretrained(tmp_path)
    mapped = SemTrackModel.from_pretrained(tmp_path, device_map=device_map)
    inputs = {**view_inputs(), **prompt_inputs("template")}
    assert_same(model(**inputs), mapped(**{name: value.to(mapped.device) for name, value in inputs.items()}))


# Attention and outputs


@pytest.mark.parametrize("stem", ["patch", "dinov2"])
def test_written_out_attention_equals_the_fused_one(stem):
    model = tiny_model(stem)
    inputs = {**clip_inputs(), **prompt_inputs()}
    assert model.config._attn_implementation == "sdpa"
    fused = model(**inputs)
    model.set_attn_implementation("eager")
    assert_same(fused, model(**inputs), DECIDED + DESCRIBED)


def test_the_attention_setting_spreads_to_the_backbone():
    model = tiny_model("dinov2")
    model.set_attn_implementation("eager")
    assert model.stem.backbone.config._attn_implementation == "eager"


@pytest.mark.parametrize("semantics", [False, True])
def test_hidden_states_and_attentions_are_those_of_the_joint_encoder(semantics):
    model = tiny_model("dinov2", attn_implementation="eager")
    inputs = clip_inputs(batch=2, steps=1) if semantics else view_inputs(batch=2)
    output = model(**inputs, **prompt_inputs("template"), output_hidden_states=True, output_attentions=True)
    tokens = 1 + 16  # target and view
    keys = tokens + 2 * 4  # and two templates
    assert [tuple(state.shape) for state in output.hidden_states] == [(2, tokens, 32)] * 3  # input and 2 layers
    assert [tuple(weights.shape) for weights in output.attentions] == [(2, 2, tokens, keys)] * 2
    torch.testing.assert_close(output.attentions[0].sum(-1), torch.ones(2, 2, tokens))


def test_hidden_states_keep_their_gradients():
    model = tiny_model(attn_implementation="eager")
    output = model(**view_inputs(), **prompt_inputs("template"), output_hidden_states=True, output_attentions=True)
    for tensor in (*output.hidden_states, *output.attentions):
        tensor.retain_grad()
    output.presence_logits.sum().backward()
    assert all(tensor.grad is not None for tensor in (*output.hidden_states, *output.attentions))


def test_outputs_as_a_tuple_are_the_values_of_the_dictionary():
    model = tiny_model()
    inputs = {**clip_inputs(), **prompt_inputs(), "labels": clip_labels()}
    named, plain = model(**inputs), model(**inputs, return_dict=False)
    assert isinstance(plain, tuple)
    assert len(plain) == len(named)
    for (name, value), other in zip(named.items(), plain, strict=True):
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other), name
    assert plain[0] is not None and plain[0].shape == ()  # the loss comes first
    assert torch.equal(plain[0], named.loss)


# Batches, prompts, views


@pytest.mark.parametrize("kind", PROMPTS)
def test_a_batch_of_two_is_two_batches_of_one(kind):
    """For text the second item is padded, and its padding must not be seen."""
    model = tiny_model("conv")
    inputs = {**view_inputs(), **prompt_inputs(kind)}
    both = model(**inputs)
    singles = [model(**rows(inputs, index)) for index in range(2)]
    assert_same(both, {name: torch.cat([single[name] for single in singles]) for name in DECIDED})


def test_padded_text_is_the_same_as_shorter_text():
    model = tiny_model()
    views, text = view_inputs(batch=1), prompt_inputs("text", batch=1)
    short = {"text_embeds": text["text_embeds"][:, :1]}
    assert_same(model(**views, **text), model(**views, **short))


def test_the_described_batch_of_two_is_two_batches_of_one():
    model = tiny_model()
    inputs = {**clip_inputs(), **prompt_inputs()}
    both = model(**inputs)
    singles = [model(**rows(inputs, index)) for index in range(2)]
    names = DECIDED + DESCRIBED
    assert_same(both, {name: torch.cat([single[name] for single in singles]) for name in names}, names)


@pytest.mark.parametrize("kind", PROMPTS)
def test_the_answer_depends_on_the_prompt(kind):
    model = tiny_model()
    views = view_inputs()
    first, second = (model(**views, **prompt_inputs(kind)).score_logits for _ in range(2))
    assert (first - second).abs().max() > 1e-3


def test_a_prompt_that_was_read_once_is_as_one_that_takes_part_but_never_looks_at_the_view():
    """One pass over all tokens, with a mask that hides target and view from the prompt, has the same answer."""
    model = tiny_model()
    view, prompt = torch.randn(2, 16, 32), torch.randn(2, 5, 32)
    states = []
    handle = model.layers[0].register_forward_pre_hook(lambda layer, inputs: states.append(inputs[0]))
    track = model.track(view, (4, 4), prompt_states=model.read_prompt(prompt))
    handle.remove()
    hidden = torch.cat([states[0], prompt], dim=1)
    mask = torch.zeros(1, 1, 22, 22)
    mask[..., 17:, :17] = -torch.inf
    for layer in model.layers:
        hidden = layer(hidden, mask)
    hidden = model.norm(hidden)
    torch.testing.assert_close(track.target_embeds, hidden[:, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(track.view_embeds, hidden[:, 1:17], atol=1e-5, rtol=1e-4)


def test_a_click_off_the_target_differs_from_one_on_it():
    model = tiny_model()
    views, click = view_inputs(), prompt_inputs("point")
    off = click | {"point_labels": 1 - click["point_labels"]}
    assert (model(**views, **click).score_logits - model(**views, **off).score_logits).abs().max() > 1e-3


def test_the_dynamic_template_differs_from_the_users():
    model = tiny_model()
    views, templates = view_inputs(), prompt_inputs("template")
    swapped = templates | {"template_pixel_values": templates["template_pixel_values"].flip(1)}
    assert (model(**views, **templates).score_logits - model(**views, **swapped).score_logits).abs().max() > 1e-3


def test_the_template_box_matters():
    model = tiny_model()
    views, templates = view_inputs(), prompt_inputs("template")
    smaller = templates | {"template_boxes": templates["template_boxes"] * torch.tensor([1, 1, 0.2, 0.2])}
    assert (model(**views, **templates).score_logits - model(**views, **smaller).score_logits).abs().max() > 1e-3


@pytest.mark.parametrize("stem", STEMS)
def test_views_need_not_be_square(stem):
    model = tiny_model(stem)
    output = model(**view_inputs(size=(64, 96)), **prompt_inputs("template"))
    rows, columns = output.score_logits.shape[1:]
    assert columns == rows * 3 // 2
    assert output.box_map.shape == (2, 4, rows, columns)
    assert all(torch.isfinite(output[name]).all() for name in DECIDED)


def test_the_best_box_is_the_one_of_the_best_cell():
    output = tiny_model()(**view_inputs(size=(64, 96)), **prompt_inputs("point"))
    for item in range(2):
        row, column = divmod(int(output.score_logits[item].argmax()), 6)
        assert torch.equal(output.pred_boxes[item], output.box_map[item, :, row, column])


# Clips


def test_a_clip_at_once_equals_its_steps_in_turn():
    """Streaming equals offline, also past the length of the memory."""
    model = tiny_model()
    clip, prompts = clip_inputs(steps=6), prompt_inputs()
    whole = model(**clip, **prompts)
    memory, steps = None, []
    for step in range(6):
        steps.append(model(**{name: value[:, step] for name, value in clip.items()}, **prompts, memory=memory))
        memory = steps[-1].memory
    names = DECIDED + DESCRIBED
    assert_same(whole, {name: torch.stack([step[name] for step in steps], dim=1) for name in names}, names)
    assert_same(vars(whole.memory), vars(memory), tuple(vars(memory)))


def test_a_clip_of_one_step_is_a_view():
    model = tiny_model()
    clip, prompts = clip_inputs(steps=1), prompt_inputs()
    names = DECIDED + DESCRIBED
    one = model(**{name: value[:, 0] for name, value in clip.items()}, **prompts)
    assert_same(model(**clip, **prompts), {name: one[name][:, None] for name in names}, names)


def test_clips_do_not_change_their_inputs():
    model = tiny_model("conv")
    inputs = {**clip_inputs(), **prompt_inputs()}
    before = {name: value.clone() for name, value in inputs.items()}
    model(**inputs, labels=clip_labels())
    assert all(torch.equal(before[name], inputs[name]) for name in inputs)


# Gradients


@pytest.mark.parametrize("stem", ["patch", "conv", "dinov2"])
def test_every_parameter_learns(stem):
    model = tiny_model(stem).train()
    model(**clip_inputs(), **prompt_inputs(), labels=clip_labels()).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without
    # A bias of the keys shifts all attention scores alike, so its gradient is zero by construction.
    untouched = [
        name
        for name, parameter in model.named_parameters()
        if not parameter.grad.abs().sum() > 0 and not name.endswith(("k_proj.bias", "key.bias"))
    ]
    assert not untouched


def test_a_few_steps_lower_the_loss():
    model = tiny_model(initializer_range=0.02)
    inputs = {**clip_inputs(), **prompt_inputs(), "labels": clip_labels()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        output = model(**inputs)
        losses.append(output.loss.item())
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("stem", ["patch", "dinov2"])
def test_activation_checkpointing_gives_the_same_gradients(stem):
    model = tiny_model(stem).train()
    inputs = {**clip_inputs(), **prompt_inputs(), "labels": clip_labels()}
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
            assert model.layers[0].gradient_checkpointing
        model.zero_grad()
        torch.manual_seed(0)  # of the dropout
        model(**inputs).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5, msg=name)


def test_memory_carries_no_gradient_into_the_past():
    model = tiny_model()
    memory = model(**clip_inputs(), **prompt_inputs()).memory
    assert not memory.tokens.requires_grad and not memory.codes.requires_grad


# Switches


@pytest.mark.parametrize("switch", ["use_scene_context", "use_temporal_memory"])
def test_a_switch_takes_one_source_away(switch):
    model = tiny_model(**{switch: False})
    inputs = {**clip_inputs(), **prompt_inputs("template")}
    if switch == "use_scene_context":
        without = {name: value for name, value in inputs.items() if name != "scene_pixel_values"}
        assert_same(model(**inputs), model(**without), DECIDED + DESCRIBED)
        return
    output = model(**inputs)
    assert output.memory is None
    reverse = {name: value.flip(1) if name not in prompt_inputs() else value for name, value in inputs.items()}
    backwards = model(**reverse)  # without memory the order of the steps is of no importance
    assert_same(output, {name: backwards[name].flip(1) for name in DESCRIBED}, DESCRIBED)


@pytest.mark.parametrize("switch", ["use_scene_context", "use_temporal_memory"])
def test_a_model_with_a_switch_off_learns_everywhere(switch):
    model = tiny_model(**{switch: False}).train()
    model(**clip_inputs(), **prompt_inputs(), labels=clip_labels()).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_without_a_semantic_head_there_is_only_tracking():
    model = tiny_model(semantic_head="none")
    assert not any(name.startswith("semantic_head") for name, _ in model.named_parameters())
    output = model(**clip_inputs(), **prompt_inputs("template"), labels=clip_labels())
    assert output.activity_logits is None and output.interaction_logits is None and output.memory is None
    assert set(output.losses) == {"score", "box_l1", "box_giou", "presence"}


def test_tracking_alone_needs_no_semantic_inputs():
    output = tiny_model()(**view_inputs(), **prompt_inputs("point"))
    assert all(getattr(output, name) is None for name in (*DESCRIBED, "loss"))


def test_the_last_class_is_none():
    output = tiny_model()(**clip_inputs(), **prompt_inputs("point"))
    assert output.activity_logits.shape == (2, 4, 5)
    assert output.interaction_logits.shape == (2, 4, 5, 5)
    assert output.object_logits.shape == (2, 4, 5, len(OBJECTS) + 1)
    assert output.object_boxes.shape == (2, 4, 5, 4)


# Errors


def test_a_view_without_a_prompt_is_refused():
    with pytest.raises(ValueError, match="no prompt: pass template_pixel_values"):
        tiny_model()(**view_inputs())


@pytest.mark.parametrize("kind, part", [("template", "template_boxes"), ("point", "point_labels")])
def test_half_a_prompt_is_refused(kind, part):
    prompt = prompt_inputs(kind)
    del prompt[part]
    with pytest.raises(ValueError, match=f"and {part} belong together"):
        tiny_model()(**view_inputs(), **prompt)


@pytest.mark.parametrize("mask", [torch.ones(2, 5), torch.ones(1, 3)])
def test_a_text_mask_must_match_its_text(mask):
    prompt = prompt_inputs("text") | {"text_mask": mask}
    with pytest.raises(ValueError, match=r"text_mask \(\d, \d\) must match"):
        tiny_model()(**view_inputs(), **prompt)


@pytest.mark.parametrize("missing", ["target_boxes", "view_windows", "times"])
def test_missing_semantic_inputs_are_named(missing):
    inputs = {**clip_inputs(), **prompt_inputs("template")}
    del inputs[missing]
    with pytest.raises(ValueError, match=rf"missing \['{missing}'\]"):
        tiny_model()(**inputs)


def test_a_missing_scene_is_named():
    inputs = {**clip_inputs(), **prompt_inputs("template")}
    del inputs["scene_pixel_values"]
    with pytest.raises(ValueError, match="use_scene_context needs the scene: pass scene_pixel_values"):
        tiny_model()(**inputs)


def test_a_failed_call_leaves_the_model_usable():
    model = tiny_model()
    with pytest.raises(ValueError):
        model(**view_inputs(), output_hidden_states=True)
    output = model(**view_inputs(), **prompt_inputs("point"))
    assert output.hidden_states is None


def test_the_configuration_travels_with_the_model(tmp_path):
    tiny_model("conv", semantic_stride=7).save_pretrained(tmp_path)
    expected = tiny_config("conv", semantic_stride=7, initializer_range=0.1).to_dict()
    found = SemTrackModel.from_pretrained(tmp_path).config.to_dict()
    about_the_file = {"architectures", "auto_map", "dtype", "_name_or_path"}
    assert {k: v for k, v in found.items() if k not in about_the_file} == {
        k: v for k, v in expected.items() if k not in about_the_file
    }
