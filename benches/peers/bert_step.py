"""One fine-tuning step of a BERT in PyTorch, one thread: forward, backward, clipping, AdamW.

    python bert_step.py LAYERS HIDDEN HEADS BATCH LENGTH STEPS [eager|sdpa]     prints milliseconds: median, CPU median
"""

import sys
import time

import torch
from transformers import BertConfig, BertForSequenceClassification

layers, hidden, heads, batch, length, steps = map(int, sys.argv[1:7])
attention = sys.argv[7] if len(sys.argv) > 7 else "sdpa"
torch.set_num_threads(1)
torch.manual_seed(0)
config = BertConfig(
    num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads, intermediate_size=4 * hidden,
    attn_implementation=attention,
)
model = BertForSequenceClassification(config).train()
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01)
wall, cpu = [], []
for step in range(steps + 2):
    ids = torch.randint(0, config.vocab_size, (batch, length))
    labels = torch.arange(batch) % 2
    start, start_cpu = time.perf_counter(), time.process_time()
    optimiser.zero_grad()
    model(ids, labels=labels).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    wall.append(time.perf_counter() - start)
    cpu.append(time.process_time() - start_cpu)
median = lambda x: sorted(x[2:])[(len(x) - 2) // 2] * 1e3
print(f"{median(wall):.1f} {median(cpu):.1f}")
