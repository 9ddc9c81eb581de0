"""Small random BERTs with what transformers computes from them, in double precision.

    pip install torch==2.15.0 transformers==5.24.0 safetensors numpy
    python make_fixtures.py            # writes one folder for each model beside this file
    python make_fixtures.py DIR 12     # writes so many wider ones below DIR: hidden 32 to 768, heads 1 to 12, lengths 1 to 512

Every folder holds config.json and model.safetensors as transformers saves them, and expected.safetensors: the batch
(ids, segments, mask), all hidden states and logits, and the losses of thirty steps of AdamW from the same weights.
"""

import json
import pathlib
import random
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

HERE = pathlib.Path(__file__).parent

# name, sizes, activation, labels, which side is padded, old names of norms
MODELS = [
    ("one-head", dict(hidden_size=32, num_attention_heads=1, num_hidden_layers=2), "gelu", 2, "right", False),
    ("twelve-heads", dict(hidden_size=48, num_attention_heads=12, num_hidden_layers=1), "gelu_new", 3, "left", True),
    ("score", dict(hidden_size=36, num_attention_heads=3, num_hidden_layers=3), "relu", 1, "right", False),
]
LENGTHS = [23, 1, 9, 16, 5, 12]
ACTIVATIONS = ["gelu", "gelu_new", "relu"]
STEPS = 30


def batch(config, side, lengths, generator):
    n_tokens = max(lengths)
    ids = torch.randint(1, config.vocab_size, (len(lengths), n_tokens), generator=generator)
    segments = torch.randint(0, config.type_vocab_size, ids.shape, generator=generator)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        place = slice(0, length) if side == "right" else slice(n_tokens - length, n_tokens)
        mask[row, place] = 1
    ids = ids * mask + config.pad_token_id * (1 - mask)
    return ids, segments * mask, mask


def losses(model, ids, segments, mask, labels):
    """Mean losses of successive steps on the whole batch."""
    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    names = {id(p) for p in plain}
    rest = [p for p in model.parameters() if id(p) not in names]
    groups = [{"params": rest, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=2e-3, eps=1e-8)
    factor = lambda t: (t + 1) / 5 if t < 5 else max(0.0, (STEPS - t - 1) / (STEPS - 5))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    found = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = model(ids, mask, segments, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        found.append(loss.item())
    return torch.tensor(found, dtype=torch.float64)


def wider(count):
    """Models like those above, of random sizes, and the lengths of their sequences."""
    draw = random.Random(1)
    for i in range(count):
        heads = draw.randint(1, 12)
        size = draw.choice([n for n in (4, 8, 16, 32, 64) if 32 <= n * heads <= 768])
        sizes = dict(hidden_size=size * heads, num_attention_heads=heads, num_hidden_layers=draw.randint(1, 3))
        longest = draw.choice([24, 100, 512])
        lengths = [longest, 1, draw.randint(1, longest)]
        yield (f"wide-{i}", sizes, ACTIVATIONS[i % 3], draw.randint(1, 3), draw.choice(["left", "right"]), i % 2 == 1), lengths


def main():
    models, here = [(model, LENGTHS) for model in MODELS], HERE
    if len(sys.argv) > 1:
        here = pathlib.Path(sys.argv[1])
        models = list(wider(int(sys.argv[2])))
    for seed, ((name, sizes, activation, labels, side, old), lengths) in enumerate(models):
        torch.manual_seed(seed)
        std = 0.3 if here == HERE else 1.7 / sizes["hidden_size"] ** 0.5
        config = BertConfig(
            vocab_size=40, intermediate_size=2 * sizes["hidden_size"], max_position_embeddings=max(lengths) + 1,
            hidden_act=activation, num_labels=labels, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            initializer_range=std, attn_implementation="eager", **sizes,
        )
        model = BertForSequenceClassification(config)
        for n, p in model.named_parameters():
            if n.endswith("bias") or "LayerNorm" in n:
                torch.nn.init.normal_(p, mean=1.0 if n.endswith("LayerNorm.weight") else 0.0, std=0.2)
        folder = here / name
        model.save_pretrained(folder)
        masked = BertForMaskedLM(config)
        masked.bert.load_state_dict(model.bert.state_dict(), strict=False)
        torch.nn.init.normal_(masked.cls.predictions.bias, std=0.2)
        weights = load_file(folder / "model.safetensors")
        heads = {n: p.contiguous() for n, p in masked.state_dict().items() if n.startswith("cls.")}
        weights.update({n: p for n, p in heads.items() if "decoder" not in n})
        if old:
            weights = {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): p
                       for n, p in weights.items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

        generator = torch.Generator().manual_seed(seed)
        ids, segments, mask = batch(config, side, lengths, generator)
        model, masked = model.double().eval(), masked.double().eval()
        with torch.no_grad():
            out = model(ids, mask, segments, output_hidden_states=True)
            words = masked(ids, mask, segments).logits
        expected = {
            "ids": ids, "segments": segments, "mask": mask, "logits": out.logits, "word_scores": words,
            "hidden_states": torch.stack(out.hidden_states),
        }
        if labels == 1:
            target = torch.linspace(-1, 2, len(lengths), dtype=torch.float64)
        else:
            target = torch.arange(len(lengths)) % labels
        expected["labels"] = target.double()
        if side == "right" and here == HERE:
            model.train()
            expected["losses"] = losses(model, ids, segments, mask, target)
        save_file({n: p.contiguous() for n, p in expected.items()}, folder / "expected.safetensors")
        print(name, json.dumps(sizes), sum(p.numel() for p in model.parameters()))


main()
