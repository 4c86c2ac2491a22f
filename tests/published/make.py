"""Makes small random checkpoints in published layouts, with the reference packages' outputs.

Each family of models gets a folder that looks like one on the Hugging Face Hub: the same file
names, tensor names and configuration keys, only with tiny sizes and random weights. Its
`expected.safetensors` holds inputs and the outputs that the reference package (transformers,
diffusers, timm, open_clip or sentence-transformers) gives for them in float32.

The outputs always come from a model that was loaded back from the finished folder, so that a
wrong tensor name shows here and not in the tests. Everything is seeded: the same versions of the
packages (`requirements.txt`) give the same files.

    python tests/published/make.py [OUT] [--only NAME]
"""

import argparse
import json
import logging
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import open_clip
import timm
import torch
import transformers
from open_clip.tokenizer import bytes_to_unicode
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from timm.models._hub import save_for_hf
from torch import Tensor, nn

Json = dict[str, Any]

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]

# The preprocessor_config.json files as published, only with smaller sizes. CLIP's is in the old
# form, with plain numbers as sizes, and BLIP's leaves the filter to the processor's default.
VIT_PROCESSOR: Json = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 32, "width": 32},
}
CLIP_PROCESSOR: Json = {
    "crop_size": 32,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    # For a while files were written with both names.
    "image_processor_type": "CLIPImageProcessor",
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
    "resample": 3,
    "size": 32,
}
SWINV2_PROCESSOR: Json = {
    **VIT_PROCESSOR,
    "image_mean": IMAGENET_MEAN,
    "image_std": IMAGENET_STD,
    "resample": 3,
    "size": {"height": 64, "width": 64},
}
BLIP_PROCESSOR: Json = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": CLIP_MEAN,
    "image_processor_type": "BlipImageProcessor",
    "image_std": CLIP_STD,
    "processor_class": "BlipProcessor",
    "size": {"height": 32, "width": 32},
}
TIMM_TRANSFORM: Json = {
    "input_size": [3, 48, 48],
    "interpolation": "bicubic",
    "crop_pct": 0.9,
    "crop_mode": "center",
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
}

# What the tokenizers' vocabularies are learned from.
CORPUS = [
    "a photo of a red fox in the snow",
    "an oil painting of a fox and the sea, by the old master",
    "the photo of two dogs running on the beach",
    "a painting of the red house near the river",
    "there is a cat sitting on the table with a cup of tea",
    "a blurry photo of the night sky with stars",
    "people walking in the street, black and white photography",
    "the weather is nice and the sun is shining on the water",
]

CLIP_TEXTS = [
    "a red fox, oil painting",
    "A Photo Of The RED Fox",
    "caf\u00e9 na\u00efve e\u0301t\u00e9 \u00c5ngstr\u00f6m",
    "\u732b\u3068\u72ac \u4e2d\u6587 \ud55c\uad6d\uc5b4",
    "a fox \U0001f98a\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
    "two  spaces   and\ta tab ",
    "first line\nsecond line\r\n",
    "12 foxes in 2024, 3.5x",
    "don't they're I'll we'd she's I'm we've",
    "wow!!! ... (really?) --- $%&* _snake_case_",
    "salt &amp; pepper &lt;b&gt; &#39;",
    "",
]
CLIP_TEXTS[5] += "the photo of a painting " * 20

SENTENCES = [
    "the red fox is running in the snow",
    "A cat is sitting on the table, with a cup of tea!",
    "",
    "people walking in the street near the river and the old house with two dogs, a fox and cats",
    "caf\u00e9 \u00c9t\u00e9 na\u00efve",
    "\u732b sits on 3 tables (2024)",
    "unknownword \U0001f98a stars",
    "the weather is nice and the sun is shining on the water and the beach and the sea and the sky",
]

PROMPT = "a red fox, oil painting"
NEGATIVE = "blurry"
GUIDANCE = 7.5
STEPS = 6


# --- Files ---------------------------------------------------------------------------------------


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_expected(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Writes integers as int64 and everything else as float32."""
    plain = {
        name: (t.float() if t.is_floating_point() else t.long()).detach().contiguous().clone()
        for name, t in tensors.items()
    }
    for name, tensor in plain.items():
        assert torch.isfinite(tensor).all(), f"{folder.name}: {name} is not finite"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(plain, folder / "expected.safetensors")


def rewrite_weights(
    path: Path,
    rename: Callable[[str], str] = lambda name: name,
    extra: dict[str, Tensor] | None = None,
) -> None:
    """Renames the tensors of a file to their published names and adds published buffers."""
    tensors = {rename(name): tensor for name, tensor in load_file(path).items()}
    save_file({**tensors, **(extra or {})}, path, metadata={"format": "pt"})


def position_ids(count: int) -> Tensor:
    """The buffer that transformers before 4.31 saved with every table of positions."""
    return torch.arange(count)[None]


def publish_config(folder: Path, keep: Iterable[str] | None = None, **changes: Any) -> None:
    """Turns a saved config.json into a published one: the keys in `keep`, or all; old names."""
    path = folder / "config.json"
    config = read_json(path)
    if keep is not None:
        config = {key: config[key] for key in keep}
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    write_json(path, dict(sorted({**config, **changes}.items())))


def save_transformers(model: nn.Module, folder: Path, **limits: Any) -> None:
    model.save_pretrained(folder, **limits)
    # Published folders of these families have none.
    (folder / "generation_config.json").unlink(missing_ok=True)
    publish_config(folder)


def load_transformers(kind: Any, folder: Path) -> Any:
    """Loads a folder in float32, and fails where a parameter found no tensor."""
    model, report = kind.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, local_files_only=True
    )
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    return model.eval()


# --- Weights and inputs --------------------------------------------------------------------------


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def random_weight(module: nn.Module, leaf: str, noise: Tensor) -> Tensor:
    """Noise at the scale at which the layer's output varies by about one."""
    if leaf == "logit_scale":
        return 2.5 + 0.2 * noise  # the usual ones are ln(1 / 0.07) and ln(10)
    if isinstance(module, nn.Embedding) or "embedding" in leaf or "token" in leaf:
        return 0.5 * noise
    if leaf.endswith("bias"):
        return 0.2 * noise
    if noise.dim() == 1:
        return 1 + 0.2 * noise  # a norm's
    if leaf in ("proj", "text_projection"):  # open_clip multiplies these from the right
        return noise / math.sqrt(noise.shape[0])
    return noise / math.sqrt(noise[0].numel())


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Gives every parameter random values and rounds them to float16."""
    rng = seeded(seed)
    done: set[int] = set()
    for module in model.modules():
        for leaf, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in done:  # tied ones come twice
                done.add(id(parameter))
                noise = torch.randn(parameter.shape, generator=rng)
                parameter.copy_(random_weight(module, leaf, noise))
    return model.half().eval()


@contextmanager
def tapped(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collects, by name, what each module returns while the block runs (the last call wins)."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            found[name] = (output[0] if isinstance(output, tuple) else output).clone()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def numbered(prefix: str, modules: Iterable[nn.Module]) -> dict[str, nn.Module]:
    return {f"{prefix}.{i}": module for i, module in enumerate(modules)}


# --- Vocabularies --------------------------------------------------------------------------------


def learn_merges(
    words: Counter[tuple[str, ...]], count: int, join: Callable[[str, str], str]
) -> list[tuple[str, str]]:
    """Byte-pair encoding: merges the most frequent pair, `count` times."""
    merges = []
    for _ in range(count):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:], strict=False):
                pairs[pair] += times
        # Of equally frequent pairs the last in the alphabet, so that the order is fixed.
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append((left, right))
        merged: Counter[tuple[str, ...]] = Counter()
        for word, times in words.items():
            out: list[str] = []
            for piece in word:
                if out and out[-1] == left and piece == right:
                    out[-1] = join(left, right)
                else:
                    out.append(piece)
            merged[tuple(out)] += times
        words = merged
    return merges


def corpus_words() -> list[str]:
    return [word.strip(",") for line in CORPUS for word in line.split()]


def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Bytes, bytes that end a word, merges, start and end: the order of OpenAI's vocabulary."""
    words = Counter((*word[:-1], word[-1] + "</w>") for word in corpus_words())
    merges = learn_merges(words, 40, lambda left, right: left + right)
    symbols = list(bytes_to_unicode().values())
    tokens = symbols + [symbol + "</w>" for symbol in symbols]
    tokens += [left + right for left, right in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def wordpieces(special: list[str], last: list[str]) -> list[str]:
    """Special tokens, characters at and after a word's start, and merges of them."""
    words = Counter((word[0], *("##" + c for c in word[1:])) for word in corpus_words())
    merges = learn_merges(words, 50, lambda left, right: left + right.removeprefix("##"))
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = [*special, *"!(),.'-?", "\u732b", *letters, *("##" + c for c in letters)]
    tokens += [left + right.removeprefix("##") for left, right in merges]
    return [*dict.fromkeys(tokens), *last]


BERT_SPECIAL = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MPNET_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]"]


def save_clip_tokenizer(folder: Path, pad: str = "<|endoftext|>", fast: bool = True) -> Any:
    """Writes the files of a published CLIP tokenizer; Stable Diffusion's have no tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = clip_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def token(content: str) -> Json:
        flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
        return {"content": content, **flags}

    special: Json = {
        "bos_token": token("<|startoftext|>"),
        "eos_token": token("<|endoftext|>"),
        "pad_token": pad,
        "unk_token": token("<|endoftext|>"),
    }
    write_json(folder / "special_tokens_map.json", special)
    typed = {
        name: {"__type": "AddedToken", **value} if isinstance(value, dict) else value
        for name, value in special.items()
    }
    # Stable Diffusion 2 was published so: of the two files, the map is the one that counts.
    typed["pad_token"] = "<|endoftext|>"
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            **typed,
            "do_lower_case": True,
            "errors": "replace",
            "model_max_length": 77,
            "tokenizer_class": "CLIPTokenizer",
        },
    )
    if fast:
        tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=merges)
        tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return transformers.CLIPTokenizer.from_pretrained(folder)


def save_wordpiece_tokenizer(
    folder: Path, kind: Any, tokens: list[str], fixed: int | None = None
) -> Any:
    """Writes the files of a published BERT-like tokenizer.

    `fixed` writes a truncation and a padding to that length into tokenizer.json, as
    all-MiniLM-L6-v2 has them; the library that loads the folder overrides both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = kind(vocab={token: i for i, token in enumerate(tokens)}, model_max_length=512)
    special = {
        name: str(getattr(tokenizer, name))
        for name in ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    }
    if kind is transformers.MPNetTokenizer:
        special |= {"bos_token": "<s>", "eos_token": "</s>"}
    write_json(folder / "special_tokens_map.json", special)
    write_json(
        folder / "tokenizer_config.json",
        {
            "do_lower_case": True,
            **special,
            "model_max_length": 512,
            "strip_accents": None,
            "tokenize_chinese_chars": True,
            "tokenizer_class": kind.__name__,
        },
    )
    backend = tokenizer.backend_tokenizer
    if fixed is not None:
        backend.enable_truncation(fixed)
        backend.enable_padding(
            length=fixed, pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token
        )
    backend.save(str(folder / "tokenizer.json"), pretty=False)
    return tokenizer


# --- Vision and language -------------------------------------------------------------------------


def make_vit(folder: Path) -> None:
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=3,
    )
    save_transformers(randomise(transformers.ViTForImageClassification(config), 1), folder)
    write_json(folder / "preprocessor_config.json", VIT_PROCESSOR)

    model = load_transformers(transformers.ViTForImageClassification, folder)
    pixels = normal(101, 2, 3, 32, 32)
    taps = {"embeddings": model.vit.embeddings, "last": model.vit.layernorm}
    with tapped({**taps, **numbered("block", model.vit.layers)}) as found:
        logits = model(pixels).logits
    write_expected(folder, {"pixels": pixels, "logits": logits, **found})


def clip_config(text: Json, **vision: Any) -> transformers.CLIPConfig:
    return transformers.CLIPConfig(
        projection_dim=16,
        text_config={
            "hidden_size": 24,
            "num_attention_heads": 3,
            "intermediate_size": 48,
            "projection_dim": 16,
            # OpenAI's published values; the 2 stands for "the end is the largest id".
            "bos_token_id": 0,
            "eos_token_id": 2,
            "pad_token_id": 1,
            **text,
        },
        vision_config={
            "image_size": 32,
            "patch_size": 8,
            "hidden_size": 32,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "projection_dim": 16,
            **vision,
        },
    )


def clip_outputs(model: Any, pixels: Tensor, ids: Tensor) -> dict[str, Tensor]:
    vision, text = model.vision_model, model.text_model
    taps = {
        "vision.embeddings": vision.pre_layrnorm,
        "image_embeds": model.visual_projection,
        "text.last": text.final_layer_norm,
        "text_embeds": model.text_projection,
        **numbered("vision.block", vision.encoder.layers),
        **numbered("text.block", text.encoder.layers),
    }
    # Without an attention mask: the causal one hides what follows the end token.
    with tapped(taps) as found:
        logits = model(input_ids=ids, pixel_values=pixels).logits_per_image
    return {"pixels": pixels, "input_ids": ids, "logits_per_image": logits, **found}


def make_clip(folder: Path) -> None:
    tokenizer = save_clip_tokenizer(folder)
    config = clip_config(
        {"vocab_size": len(tokenizer), "num_hidden_layers": 2}, num_hidden_layers=2
    )
    save_transformers(randomise(transformers.CLIPModel(config), 2), folder)
    rewrite_weights(
        folder / "model.safetensors",
        extra={
            "text_model.embeddings.position_ids": position_ids(77),
            "vision_model.embeddings.position_ids": position_ids(17),
        },
    )
    write_json(folder / "preprocessor_config.json", CLIP_PROCESSOR)
    write_json(folder / "texts.json", CLIP_TEXTS)

    model = load_transformers(transformers.CLIPModel, folder)
    tokens = tokenizer(
        CLIP_TEXTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    ).input_ids
    expected = clip_outputs(model, normal(102, 2, 3, 32, 32), tokens[:4])
    write_expected(folder, {"tokens": tokens, **expected})


def make_clip_sharded(folder: Path) -> None:
    config = clip_config(
        {"vocab_size": 64, "num_hidden_layers": 1}, num_hidden_layers=1, image_size=16
    )
    model = randomise(transformers.CLIPModel(config), 3)
    save_transformers(model, folder, max_shard_size="16KB")
    assert len(list(folder.glob("model-*.safetensors"))) >= 3
    processor = {**CLIP_PROCESSOR, "crop_size": 16, "size": 16}
    write_json(folder / "preprocessor_config.json", processor)

    model = load_transformers(transformers.CLIPModel, folder)
    ids = torch.randint(0, 63, (2, 77), generator=seeded(103))
    ids[0, 9:] = 63
    ids[1, 76] = 63
    outputs = clip_outputs(model, normal(103, 2, 3, 16, 16), ids)
    names = ("pixels", "image_embeds", "input_ids", "text_embeds")
    write_expected(folder, {name: outputs[name] for name in names})


def open_clip_folder(folder: Path, config: Json, seed: int) -> None:
    """Writes and runs an open_clip model; `config` is its model_cfg."""
    preprocess = {"mean": CLIP_MEAN, "std": CLIP_STD}
    whole = {"model_cfg": config, "preprocess_cfg": preprocess}
    write_json(folder / "open_clip_config.json", whole)
    # Creates it from the configuration just written, still without weights.
    name = f"local-dir:{folder}"
    model = randomise(open_clip.create_model(name, load_weights=False), seed)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors", metadata={"format": "pt"})

    model = open_clip.create_model(name).float().eval()
    size = config["vision_cfg"]["image_size"]
    pixels = normal(100 + seed, 2, 3, size, size)
    end = config["text_cfg"]["vocab_size"] - 1
    ids = torch.randint(1, end, (2, config["text_cfg"]["context_length"]), generator=seeded(seed))
    ids[0, 5:] = 0  # open_clip pads with zeros
    ids[0, 5] = end
    ids[1, -1] = end
    write_expected(
        folder,
        {
            "pixels": pixels,
            "image_embeds": model.encode_image(pixels),
            "input_ids": ids,
            "text_embeds": model.encode_text(ids),
        },
    )


def make_open_clip(folder: Path) -> None:
    config: Json = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "layers": 2,
            "width": 32,
            "head_width": 8,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 600,
            "width": 24,
            "heads": 3,
            "layers": 2,
        },
    }
    open_clip_folder(folder, config, 4)


def make_open_clip_quick(folder: Path) -> None:
    """What `open-clip` leaves out.

    The quick GELU, the default width of heads (64), another ratio of the vision model's hidden
    layers, and the text model under `text.`.
    """
    config: Json = {
        "embed_dim": 8,
        "quick_gelu": True,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 8,
            "layers": 1,
            "width": 64,
            "patch_size": 4,
            "mlp_ratio": 1.5,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 40,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    open_clip_folder(folder, config, 14)


def make_swinv2(folder: Path) -> None:
    config = transformers.Swinv2Config(
        image_size=64,
        patch_size=4,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        pretrained_window_sizes=[0, 2],
        num_labels=3,
    )
    model = transformers.Swinv2ForImageClassification(config)
    # The first releases saved these tables, which follow from the configuration.
    tables = {
        name: buffer.contiguous().clone()
        for name, buffer in model.named_buffers()
        if name.endswith(("relative_coords_table", "relative_position_index"))
    }
    save_transformers(randomise(model, 5), folder)
    rewrite_weights(folder / "model.safetensors", extra=tables)
    write_json(folder / "preprocessor_config.json", SWINV2_PROCESSOR)

    model = load_transformers(transformers.Swinv2ForImageClassification, folder)
    swin = model.swinv2
    pixels = normal(105, 2, 3, 64, 64)
    taps = {"embeddings": swin.embeddings, "last": swin.layernorm}
    last_blocks = [stage.blocks[-1] for stage in swin.encoder.layers]
    with tapped({**taps, **numbered("stage", last_blocks)}) as found:
        logits = model(pixels).logits
    pooled = swin(pixels).pooler_output
    write_expected(folder, {"pixels": pixels, "pooled": pooled, "logits": logits, **found})


def make_swinv2_timm(folder: Path) -> None:
    sizes: Json = {
        "img_size": 64,
        "window_size": 8,
        "embed_dim": 8,
        "depths": (2, 2),
        "num_heads": (2, 4),
        "pretrained_window_sizes": (0, 2),
        "num_classes": 3,
    }
    model = randomise(timm.create_model("swinv2_tiny_window8_256", **sizes), 6)
    save_for_hf(model, folder, safe_serialization=True)

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).float().eval()
    pixels = normal(106, 1, 3, 64, 64)
    with tapped({"last": model.norm, **numbered("stage", model.layers)}) as found:
        logits = model(pixels)
    tokens = {name: output.flatten(1, 2) for name, output in found.items()}
    pooled = tokens["last"].mean(1)
    write_expected(folder, {"pixels": pixels, "pooled": pooled, "logits": logits, **tokens})


def make_blip(folder: Path) -> None:
    tokens = wordpieces(BERT_SPECIAL, [])
    tokenizer = save_wordpiece_tokenizer(folder, transformers.BertTokenizer, tokens)
    config = transformers.BlipConfig(
        projection_dim=16,
        image_text_hidden_size=16,
        vision_config={
            "image_size": 32,
            "patch_size": 8,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
        },
        text_config={
            # The published model has two tokens, decode and encode, that its tokenizer lacks:
            # generation starts from the first of them and stops at [SEP].
            "vocab_size": len(tokens) + 2,
            "bos_token_id": len(tokens),
            "eos_token_id": 2,
            "pad_token_id": 0,
            "sep_token_id": tokenizer.sep_token_id,
            "hidden_size": 24,
            "encoder_hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "intermediate_size": 48,
            "max_position_embeddings": 32,
        },
    )
    # With this seed one of the generations ends before the limit, and the other does not.
    save_transformers(randomise(transformers.BlipForConditionalGeneration(config), 316), folder)
    rewrite_weights(
        folder / "model.safetensors",
        extra={"text_decoder.bert.embeddings.position_ids": position_ids(32)},
    )
    write_json(folder / "preprocessor_config.json", BLIP_PROCESSOR)
    # It follows from the other half, and files may be silent.
    published = json.loads((folder / "config.json").read_text())
    del published["text_config"]["encoder_hidden_size"]
    write_json(folder / "config.json", published)

    model = load_transformers(transformers.BlipForConditionalGeneration, folder)
    pixels = normal(107, 2, 3, 32, 32)
    ids = tokenizer(["a red fox in the sea", "the old dog, running"], padding=True)
    ids = torch.tensor(ids.input_ids)
    ids[:, 0] = config.text_config.bos_token_id
    vision = model.vision_model
    with tapped(numbered("vision.block", vision.encoder.layers)) as found:
        last = vision(pixels).last_hidden_state
    logits = model(pixel_values=pixels, input_ids=ids).logits
    write_expected(
        folder,
        {
            "pixels": pixels,
            **found,
            "vision.last": last,
            "input_ids": ids,
            "logits": logits,
            "generated": model.generate(pixels, max_new_tokens=12, do_sample=False),
            "generated_beams": model.generate(
                pixels, max_new_tokens=12, do_sample=False, num_beams=3
            ),
        },
    )


# --- Stable Diffusion ----------------------------------------------------------------------------

# scheduler_config.json as published with Stable Diffusion 1.5 and 2.1. Neither says how the
# timesteps are spaced, so that each scheduler spaces them by its own default.
SD1_SCHEDULER: Json = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
SD2_SCHEDULER: Json = {
    **SD1_SCHEDULER,
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.8.0",
    "prediction_type": "v_prediction",
}

SCHEDULERS: dict[str, Any] = {
    "ddim": diffusers.DDIMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
    "lms": diffusers.LMSDiscreteScheduler,
}

# The keys of the published config.json files; newer releases write many more.
VAE_KEYS = [
    "_class_name",
    "_diffusers_version",
    "act_fn",
    "block_out_channels",
    "down_block_types",
    "in_channels",
    "latent_channels",
    "layers_per_block",
    "norm_num_groups",
    "out_channels",
    "sample_size",
    "up_block_types",
]
SD1_UNET_KEYS = [
    "_class_name",
    "_diffusers_version",
    "act_fn",
    "attention_head_dim",
    "block_out_channels",
    "center_input_sample",
    "cross_attention_dim",
    "down_block_types",
    "downsample_padding",
    "flip_sin_to_cos",
    "freq_shift",
    "in_channels",
    "layers_per_block",
    "mid_block_scale_factor",
    "norm_eps",
    "norm_num_groups",
    "out_channels",
    "sample_size",
    "up_block_types",
]
SD2_UNET_KEYS = [
    *SD1_UNET_KEYS,
    "dual_cross_attention",
    "num_class_embeds",
    "only_cross_attention",
    "upcast_attention",
    "use_linear_projection",
]

OLD_ATTENTION = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out.0": "proj_attn",
}


def old_attention_name(name: str) -> str:
    """The name that a tensor of the autoencoder's attention had up to diffusers 0.16."""
    for new, old in OLD_ATTENTION.items():
        name = name.replace(f".{new}.", f".{old}.")
    return name


def save_diffusion(
    folder: Path, seed: int, scheduler: Json, unet: Json, vae: Json, text: Json, first: bool
) -> None:
    """Writes a pipeline's folder: the first of them with the older names of the text encoder."""
    pad = "<|endoftext|>" if first else "!"
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    tokenizer = save_clip_tokenizer(folder / "tokenizer", pad, fast=False)

    text_config = clip_config({"vocab_size": len(tokenizer), **text}).text_config
    text_encoder = randomise(transformers.CLIPTextModel(text_config), seed)
    save_transformers(text_encoder, folder / "text_encoder")
    if first:
        rewrite_weights(
            folder / "text_encoder" / "model.safetensors",
            # Saved without the prefix since transformers 5.
            rename=lambda name: "text_model." + name.removeprefix("text_model."),
            extra={"text_model.embeddings.position_ids": position_ids(77)},
        )

    autoencoder = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        sample_size=16,
        **vae,
    )
    randomise(autoencoder, seed + 1).save_pretrained(folder / "vae")
    publish_config(folder / "vae", VAE_KEYS)

    network = diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=24,
        **unet,
    )
    randomise(network, seed + 2).save_pretrained(folder / "unet")

    write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": diffusers.__version__,
            "feature_extractor": [None, None],
            "requires_safety_checker": False,
            "safety_checker": [None, None],
            "scheduler": ["diffusers", scheduler["_class_name"]],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )


def load_pipeline(folder: Path) -> Any:
    """Loads a pipeline in float32, and fails where a parameter found no tensor."""
    text_encoder = load_transformers(transformers.CLIPTextModel, folder / "text_encoder")
    parts: Json = {"text_encoder": text_encoder}
    for part, kind in (
        ("unet", diffusers.UNet2DConditionModel),
        ("vae", diffusers.AutoencoderKL),
    ):
        parts[part], report = kind.from_pretrained(
            folder / part, torch_dtype=torch.float32, output_loading_info=True
        )
        assert not report["missing_keys"] and not report["unexpected_keys"], report
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def text_outputs(pipe: Any) -> dict[str, Tensor]:
    tokenizer = pipe.tokenizer
    ids = tokenizer(
        [PROMPT, NEGATIVE], padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    return {"text.input_ids": ids, "text.states": pipe.text_encoder(ids).last_hidden_state}


def vae_outputs(pipe: Any, seed: int) -> dict[str, Tensor]:
    pixels = normal(seed, 1, 3, 16, 16).clamp(-1, 1)
    latents = normal(seed + 1, 1, 4, 8, 8)
    return {
        "vae.pixels": pixels,
        "vae.moments": pipe.vae.encode(pixels).latent_dist.parameters,
        "vae.latents": latents,
        "vae.decoded": pipe.vae.decode(latents).sample,
    }


def unet_outputs(pipe: Any, context: Tensor, seed: int) -> dict[str, Tensor]:
    unet = pipe.unet
    sample = normal(seed, 2, 4, 8, 8)
    timesteps = torch.tensor([981.0, 40.6])
    taps = {
        "unet.mid": unet.mid_block,
        **numbered("unet.down", unet.down_blocks),
        **numbered("unet.up", unet.up_blocks),
    }
    with tapped(taps) as found:
        out = unet(sample, timesteps, encoder_hidden_states=context).sample
    return {
        "unet.sample": sample,
        "unet.timesteps": timesteps,
        "unet.context": context,
        "unet.out": out,
        **found,
    }


def make_scheduler(name: str, config: Any) -> Any:
    """A scheduler as a user makes one from another's configuration."""
    return SCHEDULERS[name].from_config(config)


def collector(steps: list[Tensor]) -> Callable[..., Json]:
    """A callback for the end of a step that keeps its latents."""

    def keep(_pipe: Any, _step: int, _timestep: Any, values: Json) -> Json:
        steps.append(values["latents"].clone())
        return values

    return keep


def generate(pipe: Any, names: Iterable[str], noise: Tensor) -> dict[str, Tensor]:
    """Whole generations from `noise`, which each scheduler scales itself."""
    published = pipe.scheduler.config
    outputs = {"noise": noise}
    for name in names:
        pipe.scheduler = make_scheduler(name, published)
        steps: list[Tensor] = []
        image = pipe(
            PROMPT,
            negative_prompt=NEGATIVE,
            height=16,
            width=16,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            latents=noise,
            output_type="pt",
            callback_on_step_end=collector(steps),
        ).images
        outputs[f"generate.{name}.timesteps"] = pipe.scheduler.timesteps.float()
        outputs[f"generate.{name}.latents"] = torch.stack(steps)
        outputs[f"generate.{name}.image"] = image
    return outputs


def make_sd1(folder: Path) -> None:
    unet: Json = {
        "block_out_channels": (16, 24),
        "norm_num_groups": 8,
        "attention_head_dim": 4,
    }
    vae: Json = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    text: Json = {"num_hidden_layers": 2, "hidden_act": "quick_gelu"}
    save_diffusion(folder, 80, SD1_SCHEDULER, unet, vae, text, first=True)
    publish_config(folder / "unet", SD1_UNET_KEYS)
    rewrite_weights(folder / "vae" / "diffusion_pytorch_model.safetensors", old_attention_name)

    pipe = load_pipeline(folder)
    texts = text_outputs(pipe)
    write_expected(
        folder,
        {
            **texts,
            **vae_outputs(pipe, 181),
            **unet_outputs(pipe, texts["text.states"][:, :12], 183),
            **generate(pipe, SCHEDULERS, normal(184, 1, 4, 8, 8)),
        },
    )


def make_sd2(folder: Path) -> None:
    unet: Json = {
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
        "upcast_attention": True,
    }
    vae: Json = {"block_out_channels": (4, 8), "norm_num_groups": 2}
    text: Json = {"num_hidden_layers": 1, "hidden_act": "gelu"}
    save_diffusion(folder, 90, SD2_SCHEDULER, unet, vae, text, first=False)
    publish_config(folder / "unet", SD2_UNET_KEYS)
    publish_config(folder / "vae", scaling_factor=0.18215)

    pipe = load_pipeline(folder)
    texts = text_outputs(pipe)
    write_expected(
        folder,
        {
            **texts,
            **unet_outputs(pipe, texts["text.states"][:, :12], 193),
            **generate(pipe, ("ddim", "euler"), normal(194, 1, 4, 8, 8)),
        },
    )


def make_schedulers(folder: Path) -> None:
    leading = {"timestep_spacing": "leading"}
    trailing = {"timestep_spacing": "trailing"}
    configs = {
        "sd1": {**SD1_SCHEDULER, **leading},
        "sd1_default": SD1_SCHEDULER,
        "sd2": {**SD2_SCHEDULER, **leading},
        "sd2_trailing": {**SD2_SCHEDULER, **trailing},
    }
    expected: dict[str, Tensor] = {}
    for config_name, config in configs.items():
        write_json(folder / f"{config_name}.json", config)
        for index, name in enumerate(SCHEDULERS):
            for steps in (1, 5, 20):
                case = f"{name}.{config_name}.{steps}"
                run = run_scheduler(make_scheduler(name, config), steps, 1000 * (index + 1))
                expected |= {f"{case}.{key}": value for key, value in run.items()}
    write_expected(folder, expected)


def run_scheduler(scheduler: Any, steps: int, seed: int) -> dict[str, Tensor]:
    """One sampling run in which the network's outputs are random numbers."""
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps
    noise = normal(seed, 1, 2, 2, 2)
    outputs = normal(seed + 1, len(timesteps), 1, 2, 2, 2)
    start = torch.as_tensor(scheduler.init_noise_sigma).float()
    sample = noise * start
    inputs, latents = [], []
    for timestep, output in zip(timesteps, outputs, strict=True):
        inputs.append(scheduler.scale_model_input(sample, timestep))
        sample = scheduler.step(output, timestep, sample).prev_sample
        latents.append(sample)
    return {
        "timesteps": timesteps.float(),
        "init_noise_sigma": start,
        "noise": noise,
        "outputs": outputs,
        "inputs": torch.stack(inputs),
        "latents": torch.stack(latents),
    }


# --- Sentences -----------------------------------------------------------------------------------


def save_dense(folder: Path, inputs: int, seed: int) -> None:
    """A layer behind pooling, as LaBSE has it."""
    layer = randomise(nn.Linear(inputs, 12), seed)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"linear.{name}": value.half() for name, value in layer.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    activation = "torch.nn.modules.activation.Tanh"
    sizes = {"in_features": inputs, "out_features": 12, "bias": True}
    write_json(folder / "config.json", {**sizes, "activation_function": activation})


def sentence_folder(folder: Path, model: nn.Module, seed: int, pooling: str, unit: bool) -> None:
    """Adds a model and the files of sentence-transformers to a folder with a tokenizer.

    One that does not end in rows of unit length has a dense layer, a prompt and lower case instead."""
    save_transformers(randomise(model, seed), folder)
    rewrite_weights(
        folder / "model.safetensors",
        extra={"embeddings.position_ids": position_ids(model.config.max_position_embeddings)},
    )
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if unit:
        modules.append(("2_Normalize", "Normalize"))  # has no files of its own
    else:
        modules.append(("2_Dense", "Dense"))
        save_dense(folder / "2_Dense", model.config.hidden_size, seed + 1)
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": not unit})
    versions = {"sentence_transformers": "2.0.0", "transformers": "4.6.1", "pytorch": "1.8.1"}
    prompts = {} if unit else {"prompts": {"q": "a query: "}, "default_prompt_name": "q"}
    write_json(
        folder / "config_sentence_transformers.json", {"__version__": versions, **prompts}
    )
    modes = {
        f"pooling_mode_{mode}": mode == pooling
        for mode in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    }
    width = model.config.hidden_size
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes})
    write_json(folder / "texts.json", SENTENCES)

    load_transformers(type(model), folder)  # only to see that no tensor is missing
    sentences = SentenceTransformer(
        str(folder),
        device="cpu",
        local_files_only=True,
        model_kwargs={"dtype": torch.float32},
    )
    features = sentences.preprocess(SENTENCES)
    embeddings = sentences.encode(SENTENCES, convert_to_tensor=True, show_progress_bar=False)
    write_expected(
        folder,
        {
            "input_ids": features["input_ids"],
            "attention_mask": features["attention_mask"],
            "embeddings": embeddings,
        },
    )


def bert(vocabulary: int, hidden: int, layers: int) -> nn.Module:
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        max_position_embeddings=32,
    )
    return transformers.BertModel(config)


def make_bert_sentence(folder: Path) -> None:
    tokens = wordpieces(BERT_SPECIAL, [])
    save_wordpiece_tokenizer(folder, transformers.BertTokenizer, tokens, fixed=8)
    sentence_folder(folder, bert(len(tokens), 32, 2), 10, "mean_tokens", unit=True)


def make_bert_sentence_cls(folder: Path) -> None:
    tokens = wordpieces(BERT_SPECIAL, [])
    save_wordpiece_tokenizer(folder, transformers.BertTokenizer, tokens)
    sentence_folder(folder, bert(len(tokens), 16, 1), 20, "cls_token", unit=False)


def make_mpnet_sentence(folder: Path) -> None:
    tokens = wordpieces(MPNET_SPECIAL, ["<mask>"])
    save_wordpiece_tokenizer(folder, transformers.MPNetTokenizer, tokens, fixed=8)
    config = transformers.MPNetConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=24,
        relative_attention_num_buckets=32,
        layer_norm_eps=1e-5,
    )
    sentence_folder(folder, transformers.MPNetModel(config), 11, "mean_tokens", unit=True)


# --- Preprocessing -------------------------------------------------------------------------------


def draw_image(width: int, height: int, seed: int) -> Image.Image:
    """Smooth gradients, coloured shapes with hard edges, and noise."""
    y, x = np.mgrid[0:height, 0:width]
    red = 255 * x / (width - 1)
    green = 255 * y / (height - 1)
    blue = 127 * (1 + np.sin(x / 7) * np.cos(y / 11))
    image = Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 8, height // 8, width // 2, height // 2), fill=(230, 30, 40))
    draw.rectangle((width // 2, height // 3, width - 3, height // 2), fill=(20, 200, 90))
    draw.line((0, height - 1, width - 1, 0), fill=(255, 255, 255))
    noise = np.random.default_rng(seed).integers(-12, 13, (height, width, 3))
    noisy = np.asarray(image).astype(np.int64) + noise
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def sample_images() -> dict[str, Image.Image]:
    images = {
        "photo": draw_image(97, 61, 1),
        "tall": draw_image(40, 150, 2),
        "small": draw_image(20, 13, 3),
        "grey": draw_image(45, 37, 4).convert("L"),
        "rgba": draw_image(50, 34, 5),
    }
    alpha = draw_image(50, 34, 6).convert("L")
    images["rgba"].putalpha(alpha)
    return images


def make_preprocess(folder: Path) -> None:
    """The processors that resize with Pillow, on 8-bit pixels, as the older releases all did."""
    swin = {**SWINV2_PROCESSOR, "size": {"height": 32, "width": 32}}
    processors = {
        "vit": (VIT_PROCESSOR, transformers.ViTImageProcessorPil),
        "clip": (CLIP_PROCESSOR, transformers.CLIPImageProcessorPil),
        "swinv2": (swin, transformers.ViTImageProcessorPil),
        "blip": (BLIP_PROCESSOR, transformers.BlipImageProcessorPil),
    }
    transforms: dict[str, Callable[[Image.Image], Tensor]] = {}
    for name, (config, kind) in processors.items():
        write_json(folder / f"{name}.json", config)
        processor = kind.from_dict(config)
        transforms[name] = lambda image, run=processor: run(
            image, return_tensors="pt"
        ).pixel_values[0]

    open_clip_config = {"size": 32, "mean": CLIP_MEAN, "std": CLIP_STD}
    write_json(folder / "open_clip.json", open_clip_config)
    transforms["open_clip"] = image_transform_v2(PreprocessCfg(**open_clip_config), is_train=False)
    write_json(folder / "timm.json", TIMM_TRANSFORM)
    transforms["timm"] = timm.data.create_transform(**TIMM_TRANSFORM, is_training=False)

    # The others take RGB only.
    converting = ("clip", "blip", "open_clip")
    expected = {}
    for image_name, image in sample_images().items():
        image.save(folder / f"{image_name}.png")
        for name, transform in transforms.items():
            if image.mode == "RGB" or name in converting:
                expected[f"{name}.{image_name}"] = transform(image)
    write_expected(folder, expected)


# --- Command line --------------------------------------------------------------------------------

FAMILIES: dict[str, Callable[[Path], None]] = {
    "vit": make_vit,
    "clip": make_clip,
    "swinv2": make_swinv2,
    "sd1": make_sd1,
    "bert-sentence": make_bert_sentence,
    "bert-sentence-cls": make_bert_sentence_cls,
    "mpnet-sentence": make_mpnet_sentence,
    "schedulers": make_schedulers,
    "preprocess": make_preprocess,
    "clip-sharded": make_clip_sharded,
    "open-clip": make_open_clip,
    "open-clip-quick": make_open_clip_quick,
    "swinv2-timm": make_swinv2_timm,
    "blip": make_blip,
    "sd2": make_sd2,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the checkpoints and expected outputs.")
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--only", choices=FAMILIES, help="make this one only")
    arguments = parser.parse_args()

    # One thread, so that sums are always taken in the same order.
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns of models without weights
    for name in [arguments.only] if arguments.only else FAMILIES:
        folder = arguments.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        FAMILIES[name](folder)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{name}: {size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
