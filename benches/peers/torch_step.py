"""One training step of one attention head, or of several side by side, in PyTorch: prompts, loss, gradient, Adam.

Modes: `eager`, and `compiled` (torch.compile on loss and optimiser).
"""

import torch

import step as common

a = common.arguments()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
d, d_t, n = a.d, a.d - 1, a.tokens
scale = d**-0.25
torch.set_default_device(a.device)
weights = [torch.nn.Parameter(0.1 * torch.randn(a.runs, d, d)) for _ in range(3)]
omega = torch.randn(a.d_r, d)
optimiser = torch.optim.Adam(weights, lr=1e-3, fused=True)


def loss_of_one(w_q, w_k, w_v):
    w = torch.randn(a.batch, 1, d_t)
    t = 2 * torch.rand(a.batch, n, d_t) - 1
    s = (w * t).sum(-1, keepdim=True)
    target = s[:, -1, 0]
    labels = torch.cat([s[:, :-1], torch.zeros(a.batch, 1, 1)], 1)
    tokens = torch.cat([t, labels], -1)
    q = tokens[:, -1] @ w_q.T * scale
    k = tokens @ w_k.T * scale
    v = tokens @ w_v.T
    if a.variant == "softmax":
        p = torch.softmax(torch.bmm(k, q.unsqueeze(-1)).squeeze(-1), -1)
    else:
        half = 0.5 * (k * k).sum(-1, keepdim=True)
        phi_k = torch.exp(k @ omega.T - half)
        phi_q = torch.exp(q @ omega.T)
        kernel = torch.bmm(phi_k, phi_q.unsqueeze(-1)).squeeze(-1)
        p = kernel / kernel.sum(-1, keepdim=True)
    out = torch.bmm(p.unsqueeze(1), v).squeeze(1)
    return 0.5 * ((out[:, -1] - target) ** 2).mean()


def loss():
    if a.runs == 1:
        return loss_of_one(*(w[0] for w in weights))
    return torch.vmap(loss_of_one, randomness="different")(*weights).sum()


if a.mode == "compiled":
    loss = torch.compile(loss)


def update():
    optimiser.zero_grad(set_to_none=True)
    loss().backward()
    optimiser.step()
    if a.device == "cuda":
        torch.cuda.synchronize()


common.measure(update, a.steps)
