"""Fine-tuning of a BERT on a task of GLUE in PyTorch, with the settings of `icl glue train`: scores on dev, one line a seed.

    python bert_tune.py MODEL_DIR GLUE_DIR mrpc|stsb|rte|cola SEEDS [LEARNING_RATE] [EPOCHS]
"""

import math
import pathlib
import sys

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from transformers import AutoTokenizer, BertForSequenceClassification

torch.set_num_threads(1)
TASKS = {"cola": ("CoLA", 3, None, 1, False), "mrpc": ("MRPC", 3, 4, 0, True), "stsb": ("STS-B", 7, 8, 9, True),
         "rte": ("RTE", 1, 2, 3, True)}
BATCH, DECAY, WARM_UP, CLIP, LONGEST = 32, 0.01, 0.1, 1.0, 128


def read(folder, task, split):
    name, first, second, label, header = TASKS[task]
    lines = (pathlib.Path(folder) / name / f"{split}.tsv").read_text(encoding="utf-8-sig").split("\n")
    rows = [line.split("\t") for line in lines if line][1 if header else 0:]
    words = {"entailment": 0, "not_entailment": 1}
    labels = [float(words.get(row[label], row[label])) for row in rows]
    return [row[first] for row in rows], [row[second] for row in rows] if second else None, labels


def main():
    model_dir, glue, task, seeds = sys.argv[1:5]
    rate = float(sys.argv[5]) if len(sys.argv) > 5 else 1e-4
    epochs = int(sys.argv[6]) if len(sys.argv) > 6 else 3
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    encode = lambda data: tokenizer(*[x for x in data[:2] if x], truncation=True, max_length=LONGEST)
    train, dev = read(glue, task, "train"), read(glue, task, "dev")
    train_ids, dev_ids = encode(train), encode(dev)
    n = len(train[2])
    for seed in range(int(seeds)):
        torch.manual_seed(seed)
        labels = 1 if task == "stsb" else 2
        model = BertForSequenceClassification.from_pretrained(model_dir, num_labels=labels).train()
        plain = [p for k, p in model.named_parameters() if "bias" in k or "LayerNorm" in k]
        names = {id(p) for p in plain}
        groups = [{"params": [p for p in model.parameters() if id(p) not in names], "weight_decay": DECAY},
                  {"params": plain, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=rate)
        steps = epochs * math.ceil(n / BATCH)
        warm = math.ceil(WARM_UP * steps)
        factor = lambda t: (t + 1) / warm if t < warm else (steps - t - 1) / (steps - warm)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        generator = np.random.default_rng(seed)
        for _ in range(epochs):
            order = generator.permutation(n)
            pools = [sorted(order[i:i + 50 * BATCH], key=lambda j: len(train_ids["input_ids"][j]))
                     for i in range(0, n, 50 * BATCH)]
            order = [j for pool in pools for j in pool]
            batches = [order[i:i + BATCH] for i in range(0, n, BATCH)]
            for b in generator.permutation(len(batches)):
                part = [{k: train_ids[k][j] for k in train_ids} for j in batches[b]]
                target = torch.tensor([train[2][j] for j in batches[b]])
                inputs = tokenizer.pad(part, return_tensors="pt")
                optimiser.zero_grad()
                model(**inputs, labels=target if labels == 1 else target.long()).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                optimiser.step()
                schedule.step()
        model.eval()
        logits = []
        with torch.no_grad():
            for i in range(0, len(dev[2]), 64):
                part = [{k: dev_ids[k][j] for k in dev_ids} for j in range(i, min(i + 64, len(dev[2])))]
                logits.append(model(**tokenizer.pad(part, return_tensors="pt")).logits)
        logits, y = torch.cat(logits).numpy(), np.array(dev[2])
        if task == "stsb":
            found = [pearsonr(logits[:, 0], y).statistic, spearmanr(logits[:, 0], y).statistic]
        else:
            p = logits.argmax(1)
            found = {"cola": [matthews_corrcoef(y, p)], "mrpc": [f1_score(y, p)], "rte": []}[task] + [accuracy_score(y, p)]
        print(seed, *[f"{x:.4f}" for x in found], flush=True)


main()
