"""How many images a second does PyTorch train on, in full precision and under autocast to bfloat16?

The networks of `benches/benches/train.rs` as Hugging Face publishes them, with the same heads, loss,
optimiser and sizes of batches, on all cores:

    python3 -m venv v && v/bin/pip install torch==2.15.0 transformers==5.23.0 diffusers==0.42.1
    v/bin/python benches/peers/torch_training.py

Prints lines of `model, precision, images/s`, medians over rows of 25 steps, the first of which does not
count.
"""

import contextlib
import json
import pathlib
import statistics
import time

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from transformers import Swinv2Config, Swinv2Model, ViTConfig, ViTModel

DIM, WORDS, TOKENS = 384, 1000, 32
BATCH, UNET_BATCH = 64, 32
STEPS_A_ROW, ROWS = 25, 5
UNET = pathlib.Path(__file__).parents[2] / "assets/pocket/unet/config.json"


class Joint(torch.nn.Module):
    """An encoder with the joint heads, and the loss."""

    def __init__(self, encoder, width, features):
        super().__init__()
        self.encoder, self.features = encoder, features
        self.embedding = torch.nn.Linear(width, DIM)
        self.words = torch.nn.Linear(DIM, WORDS)

    def forward(self, pixels, target, words):
        raw = self.embedding(self.features(self.encoder(pixels)))
        unit = F.normalize(raw, dim=1)
        cosine = 1 - (unit * target).sum(1).mean()
        loss = F.binary_cross_entropy_with_logits(self.words(raw), words)
        return cosine + F.huber_loss(unit, target) + 0.1 * loss


def vit():
    config = ViTConfig(
        image_size=64, patch_size=8, hidden_size=192, num_hidden_layers=6, num_attention_heads=3,
        intermediate_size=768, hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-6,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    encoder = ViTModel(config, add_pooling_layer=False)
    return Joint(encoder, 192, lambda out: out.last_hidden_state[:, 0]), joint_batch


def swin():
    config = Swinv2Config(
        image_size=64, patch_size=4, embed_dim=64, depths=[2, 2, 2], num_heads=[2, 4, 8],
        window_size=4, hidden_act="gelu_pytorch_tanh", drop_path_rate=0.0,
    )
    return Joint(Swinv2Model(config), 256, lambda out: out.pooler_output), joint_batch


def joint_batch():
    pixels = torch.rand(BATCH, 3, 64, 64) * 2 - 1
    target = F.normalize(torch.ones(BATCH, DIM), dim=1)
    return pixels, target, (torch.rand(BATCH, WORDS) < 0.008).float()


class Denoise(torch.nn.Module):
    """The U-Net with its loss."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, noisy, clean, steps, context):
        return F.mse_loss(self.unet(noisy, steps, context).sample, clean)


def unet():
    return Denoise(UNet2DConditionModel.from_config(json.loads(UNET.read_text()))), unet_batch


def unet_batch():
    latents = torch.randn(2, UNET_BATCH, 16, 16, 16)
    context = torch.rand(UNET_BATCH, TOKENS, DIM) * 2 - 1
    return latents[0], latents[1], torch.randint(0, 1000, (UNET_BATCH,)), context


def rate(make, mixed):
    torch.manual_seed(42)
    network, batch = make()
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    example = batch()
    count = example[0].shape[0]
    rates = []
    for _ in range(ROWS + 1):
        start = time.perf_counter()
        for _ in range(STEPS_A_ROW):
            optimiser.zero_grad(set_to_none=True)
            autocast = torch.autocast("cpu", torch.bfloat16) if mixed else contextlib.nullcontext()
            with autocast:
                loss = network(*example)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        rates.append(STEPS_A_ROW * count / (time.perf_counter() - start))
    return statistics.median(rates[1:])


if __name__ == "__main__":
    print("model, precision, images/s")
    for mixed in [False, True]:
        for make in [vit, swin, unet]:
            print(f"{make.__name__}, {'mixed' if mixed else 'full'}, {rate(make, mixed):.0f}", flush=True)
