"""SAM, tiny and with random weights, written and read as the real one: what goes in, comes out, and is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from defectclick import sam_weights
from defectclick.clicks import Click
from defectclick.sam import Sam
from defectlib.errors import UserError

SIDE, PATCH = 64, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A SAM that fits a test, saved as transformers saves it."""
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamMaskDecoderConfig,
        SamModel,
        SamProcessor,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    torch.manual_seed(0)
    narrow = {"hidden_size": 8, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    square = {"image_size": SIDE, "patch_size": PATCH}
    vision = SamVisionConfig(
        **narrow, **square, output_channels=8, window_size=2, global_attn_indexes=[0], num_pos_feats=4
    )
    prompts = SamPromptEncoderConfig(**square, hidden_size=8, mask_input_channels=4)
    decoder = SamMaskDecoderConfig(**narrow, iou_head_depth=2, iou_head_hidden_dim=8)
    config = SamConfig(
        vision_config=vision.to_dict(), prompt_encoder_config=prompts.to_dict(), mask_decoder_config=decoder.to_dict()
    )
    low = SIDE // 4
    processor = SamImageProcessor(
        size={"longest_edge": SIDE},
        pad_size={"height": SIDE, "width": SIDE},
        mask_size={"longest_edge": low},
        mask_pad_size={"height": low, "width": low},
    )
    path = tmp_path_factory.mktemp("sam") / "tiny-sam"
    SamModel(config).save_pretrained(path)
    SamProcessor(processor).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)


def test_a_mask_has_the_size_of_the_image_and_follows_the_clicks(folder, image):
    sam, none = Sam(folder), np.zeros(image.shape[:2], bool)
    clicks = [Click(20, 10), Click(5, 30, positive=False)]
    first, second = sam.segment(image, clicks[:1], none), sam.segment(image, clicks, none)
    assert first.shape == second.shape == none.shape
    assert first.dtype == second.dtype == bool
    assert (first != second).any()
    assert (sam.segment(image, [Click(40, 35)], none) != first).any()
    sam.segment(255 - image, [Click(1, 1)], none)  # whatever was asked between
    assert np.array_equal(sam.segment(image, clicks, none), second)


def test_the_highest_scored_of_three_masks_is_taken_as_transformers_gives_them(folder, image):
    from transformers import SamModel, SamProcessor

    model, processor = SamModel.from_pretrained(folder).eval(), SamProcessor.from_pretrained(folder)
    given = processor(images=image, input_points=[[[[10.5, 20.5]]]], input_labels=[[[1]]], return_tensors="pt")
    given["input_points"] = given["input_points"].float()
    with torch.inference_mode():
        found = model(**{name: given[name] for name in ("pixel_values", "input_points", "input_labels")})
    sizes = given["original_sizes"], given["reshaped_input_sizes"]
    masks = processor.image_processor.post_process_masks(found.pred_masks, *sizes)[0][0]
    expected = masks[found.iou_scores[0, 0].argmax()].numpy()
    ours = Sam(folder).segment(image, [Click(20, 10)], np.zeros(image.shape[:2], bool))
    assert np.array_equal(ours, expected)


def test_the_weights_are_found_where_the_variable_says(folder, monkeypatch, tmp_path):
    monkeypatch.setenv(sam_weights.VARIABLE, str(folder))
    assert sam_weights.find() == ("tiny-sam", folder)
    monkeypatch.setenv(sam_weights.VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=r"DEFECTLIB_SAM=.*: no config\.json and no model\.safetensors in it"):
        sam_weights.find()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot be read as Segment Anything \(.*\); write it with save_pretrained$"):
        Sam(tmp_path)


def test_the_weights_are_found_in_the_hub_s_cache_and_missed_without(folder, monkeypatch, tmp_path):
    monkeypatch.delenv(sam_weights.VARIABLE, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert sam_weights.find() is None
    kept = tmp_path / "models--facebook--sam-vit-base"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc")
    (kept / "snapshots").mkdir()
    (kept / "snapshots" / "abc").symlink_to(folder)
    name, found = sam_weights.find()
    assert name == "facebook/sam-vit-base"
    assert found.resolve() == folder.resolve()
