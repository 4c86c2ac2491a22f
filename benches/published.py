"""Checkpoints of full size with random weights, in the layouts that the Hub has: what memory and time depend on.

    python benches/published.py OUT [NAME...]

Needs the packages of tests/published/requirements.txt. The tokenizers are the small ones of tests/published, which
say nothing about memory.
"""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import torch
import transformers

FIXTURES = Path(__file__).parent.parent / "tests/published"


def save(model: torch.nn.Module, folder: Path, half: bool = False) -> None:
    """Writes a model as its package does, in half precision if asked for."""
    (model.half() if half else model).save_pretrained(folder)


def tokenizer(folder: Path) -> None:
    """The small tokenizer of CLIP."""
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(FIXTURES / "clip" / name, folder / name)


def clip(folder: Path, vision: dict[str, int], text: dict[str, int], dim: int, act: str) -> None:
    """A CLIP of both towers."""
    config = transformers.CLIPConfig(
        vision_config={"hidden_act": act, **vision},
        text_config={"hidden_act": act, **text},
        projection_dim=dim,
    )
    save(transformers.CLIPModel(config), folder)
    tokenizer(folder)


def widths(hidden: int, layers: int, heads: int) -> dict[str, int]:
    """Sizes of a transformer whose perceptrons are four times as wide."""
    return {
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def clip_base(folder: Path) -> None:
    """openai/clip-vit-base-patch32."""
    clip(folder, {"patch_size": 32, **widths(768, 12, 12)}, widths(512, 12, 8), 512, "quick_gelu")


def clip_large(folder: Path) -> None:
    """openai/clip-vit-large-patch14."""
    vision = {"patch_size": 14, **widths(1024, 24, 16)}
    clip(folder, vision, widths(768, 12, 12), 768, "quick_gelu")


def clip_huge(folder: Path) -> None:
    """laion/CLIP-ViT-H-14-laion2B-s32B-b79K."""
    vision = {"patch_size": 14, **widths(1280, 32, 16)}
    clip(folder, vision, widths(1024, 24, 16), 1024, "gelu")


def vit_base(folder: Path) -> None:
    """google/vit-base-patch16-224."""
    save(transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=10)), folder)


def swinv2(folder: Path, dim: int, heads: int) -> None:
    """A SwinV2 of windows of 16 for images of 256 x 256."""
    config = transformers.Swinv2Config(
        image_size=256,
        embed_dim=dim,
        depths=[2, 2, 18, 2],
        num_heads=[heads, 2 * heads, 4 * heads, 8 * heads],
        window_size=16,
        num_labels=10,
    )
    save(transformers.Swinv2ForImageClassification(config), folder)


def swinv2_base(folder: Path) -> None:
    """microsoft/swinv2-base-patch4-window16-256."""
    swinv2(folder, 128, 4)


def swinv2_large(folder: Path) -> None:
    """microsoft/swinv2-large-patch4-window12to16-192to256-22kto1k-ft."""
    swinv2(folder, 192, 6)


def blip_base(folder: Path) -> None:
    """Salesforce/blip-image-captioning-base."""
    save(transformers.BlipForConditionalGeneration(transformers.BlipConfig()), folder)
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(FIXTURES / "blip" / name, folder / name)
    path = folder / "preprocessor_config.json"
    config = json.loads(path.read_text())
    config["size"] = {"height": 384, "width": 384}
    path.write_text(json.dumps(config))


def stable_diffusion(folder: Path, half: bool) -> None:
    """stable-diffusion-v1-5, without what is not read of it."""
    for part in ("scheduler", "tokenizer"):
        shutil.copytree(FIXTURES / "sd1" / part, folder / part, dirs_exist_ok=True)
    shutil.copy(FIXTURES / "sd1/model_index.json", folder / "model_index.json")
    unet = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    save(unet, folder / "unet", half)
    del unet
    channels = (128, 256, 512, 512)
    vae = diffusers.AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    save(vae, folder / "vae", half)
    text = transformers.CLIPTextConfig(**widths(768, 12, 12), hidden_act="quick_gelu")
    save(transformers.CLIPTextModel(text), folder / "text_encoder", half)


MODELS: dict[str, Callable[[Path], None]] = {
    "clip-vit-base-patch32": clip_base,
    "clip-vit-large-patch14": clip_large,
    "CLIP-ViT-H-14": clip_huge,
    "vit-base-patch16-224": vit_base,
    "swinv2-base-patch4-window16-256": swinv2_base,
    "swinv2-large-patch4-window12to16-192to256": swinv2_large,
    "blip-image-captioning-base": blip_base,
    "stable-diffusion-v1-5": lambda folder: stable_diffusion(folder, half=False),
    "stable-diffusion-v1-5-fp16": lambda folder: stable_diffusion(folder, half=True),
}


def main() -> None:
    """Makes what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", choices=[*MODELS, []], metavar="NAME")
    arguments = parser.parse_args()
    torch.manual_seed(1)
    for name in arguments.names or MODELS:
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        MODELS[name](folder)


if __name__ == "__main__":
    main()
