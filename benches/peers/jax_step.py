"""One training step of one attention head, or of several side by side, in JAX: one jitted function."""

import os

import step as common

a = common.arguments()
os.environ["JAX_PLATFORMS"] = a.device
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if a.threads > 1 else 'false'}"

import jax
import jax.numpy as jnp

d, d_t, n = a.d, a.d - 1, a.tokens
scale = d**-0.25
key = jax.random.key(0)
key, sub = jax.random.split(key)
weights = 0.1 * jax.random.normal(sub, (a.runs, 3, d, d))
key, sub = jax.random.split(key)
omega = jax.random.normal(sub, (a.d_r, d))


def loss_of_one(weights, key):
    k1, k2 = jax.random.split(key)
    w = jax.random.normal(k1, (a.batch, 1, d_t))
    t = jax.random.uniform(k2, (a.batch, n, d_t), minval=-1.0, maxval=1.0)
    s = (w * t).sum(-1, keepdims=True)
    target = s[:, -1, 0]
    tokens = jnp.concatenate([t, s.at[:, -1].set(0.0)], -1)
    q = tokens[:, -1] @ weights[0].T * scale
    k = tokens @ weights[1].T * scale
    v = tokens @ weights[2].T
    if a.variant == "softmax":
        p = jax.nn.softmax(jnp.einsum("bnd,bd->bn", k, q), -1)
    else:
        half = 0.5 * (k * k).sum(-1, keepdims=True)
        phi_k = jnp.exp(k @ omega.T - half)
        phi_q = jnp.exp(q @ omega.T)
        kernel = jnp.einsum("bnr,br->bn", phi_k, phi_q)
        p = kernel / kernel.sum(-1, keepdims=True)
    out = jnp.einsum("bn,bnd->bd", p, v)
    return 0.5 * ((out[:, -1] - target) ** 2).mean()


def loss(weights, key):
    if a.runs == 1:
        return loss_of_one(weights[0], key)
    return jax.vmap(loss_of_one)(weights, jax.random.split(key, a.runs)).sum()


@jax.jit
def train(state, key):
    weights, m, v, count = state
    key, sub = jax.random.split(key)
    gradient = jax.grad(loss)(weights, sub)
    count = count + 1
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient**2
    root = jnp.sqrt(v / (1 - 0.999**count)) + 1e-8
    weights = weights - 1e-3 * (m / (1 - 0.9**count)) / root
    return (weights, m, v, count), key


state = (weights, jnp.zeros_like(weights), jnp.zeros_like(weights), jnp.zeros(()))


def update():
    global state, key
    state, key = train(state, key)
    state[0].block_until_ready()


common.measure(update, a.steps)
