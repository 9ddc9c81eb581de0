// A stack of layers of linear attention on linear regression, forward and back, in matrices [d, d] of a prompt:
// `icl_model::fused::linear_stack` has the equations.
#ifndef LINEAR_STACK_H
#define LINEAR_STACK_H
#include "columns.h"

HERE int is_linear_stack(const Run *run) { return run->linear_layers > 0; }

// What a layer reads and computes, and the gradients that those of its weights are made of.
typedef struct {
    Column g, t, b, u, a, s, e, gs;
    Column d_u, d_s, d_a;
} LinearLayer;

// Of all layers: the map to the error, and gradients on their way.
typedef struct {
    Column m, d_t, d_b, d_g, d_e, spare;
    Column layers;
} LinearStack;

HERE LinearStack take_linear_stack(const Run *run, Column rest) {
    int n = run->d_t * run->d_t;
    LinearStack stack;
    stack.m = take(&rest, n);
    stack.d_t = take(&rest, n);
    stack.d_b = take(&rest, n);
    stack.d_g = take(&rest, n);
    stack.d_e = take(&rest, n);
    stack.spare = take(&rest, n);
    stack.layers = rest;
    return stack;
}

#define MATRICES_OF_LAYER 11

HERE LinearLayer linear_layer_of(const Run *run, LinearStack stack, int layer) {
    int n = run->d_t * run->d_t;
    Column rest = from(stack.layers, layer * MATRICES_OF_LAYER * n);
    LinearLayer own;
    own.g = take(&rest, n);
    own.t = take(&rest, n);
    own.b = take(&rest, n);
    own.u = take(&rest, n);
    own.a = take(&rest, n);
    own.s = take(&rest, n);
    own.e = take(&rest, n);
    own.gs = take(&rest, n);
    own.d_u = take(&rest, n);
    own.d_s = take(&rest, n);
    own.d_a = take(&rest, n);
    return own;
}

// Numbers of a prompt behind those that all runs have.
HERE int numbers_of_linear_stack(const Run *run) {
    return (6 + run->linear_layers * MATRICES_OF_LAYER) * run->d_t * run->d_t;
}

// A matrix [d, d] as it stands, or transposed.
typedef struct {
    Column entries;
    int row, column;
} View;

HERE View plain(Column entries, int d) {
    View view = {entries, d, 1};
    return view;
}

HERE View transposed(Column entries, int d) {
    View view = {entries, 1, d};
    return view;
}

// Weights, which all prompts share.
HERE Column weights_at(const float *parameters, int matrix, int d) {
    Column entries;
    entries.first = (float *)parameters + (long long)matrix * d * d;
    entries.stride = 1;
    return entries;
}

// x + sum_k a[i, k] b[k, j].
HERE float chained(float x, View a, View b, int i, int j, int d) {
#ifdef MUTANT_REORDERED
    for (int k = d - 1; k >= 0; k--) {
#else
    for (int k = 0; k < d; k++) {
#endif
        x = mul_add(*at(a.entries, i * a.row + k * a.column), *at(b.entries, k * b.row + j * b.column), x);
    }
    return x;
}

APART void add_matrices(Column sum, View a, View b, int d) {
    for (int i = 0; i < d; i++) {
        for (int j = 0; j < d; j++) *at(sum, i * d + j) = chained(*at(sum, i * d + j), a, b, i, j, d);
    }
}

HERE void multiply_matrices(Column out, View a, View b, int d) {
    clear(out, d * d);
    add_matrices(out, a, b, d);
}

HERE void identity(Column out, int d) {
    for (int i = 0; i < d * d; i++) *at(out, i) = i / d == i % d ? 1.0f : 0.0f;
}

// G of the demonstrations.
HERE void read_moments(const Run *run, const float *constants, Column tokens, Column g) {
    int d = run->d_t;
    for (int i = 0; i < d; i++) {
        for (int j = 0; j <= i; j++) {
            float sum = 0.0f;
            for (int n = 0; n < run->n_demos; n++) {
                sum = mul_add(*at(tokens, n * (d + 1) + i), *at(tokens, n * (d + 1) + j), sum);
            }
            sum = mul(sum, constants[run->moments_at + i * d + j]);
            *at(g, i * d + j) = sum;
            *at(g, j * d + i) = sum;
        }
    }
}

// 1/2 sum_ij c_ij M_ij^2 for the prompt's demonstrations.
APART float linear_stack_forward(const Run *run, const float *constants, const float *parameters, Prompt prompt) {
    int d = run->d_t, n = run->linear_layers;
    LinearStack stack = take_linear_stack(run, prompt.heads);
    LinearLayer own = linear_layer_of(run, stack, 0);
    read_moments(run, constants, prompt.tokens, own.g);
    identity(own.t, d);
    copy(own.b, own.g, d * d);
    identity(stack.m, d);
    for (int layer = 0; layer < n; layer++) {
        View q = plain(weights_at(parameters, layer, d), d);
        multiply_matrices(own.u, q, plain(own.b, d), d);
        add_matrices(stack.m, plain(own.t, d), plain(own.u, d), d);
        if (layer + 1 == n) break;
        LinearLayer next = linear_layer_of(run, stack, layer + 1);
        multiply_matrices(own.a, q, plain(own.g, d), d);
        identity(own.s, d);
        add_matrices(own.s, plain(own.a, d), transposed(weights_at(parameters, n + layer, d), d), d);
        copy(own.e, own.b, d * d);
        add_matrices(own.e, plain(own.g, d), plain(own.u, d), d);
        multiply_matrices(own.gs, plain(own.g, d), plain(own.s, d), d);
        multiply_matrices(next.t, plain(own.t, d), plain(own.s, d), d);
        multiply_matrices(next.b, transposed(own.s, d), plain(own.e, d), d);
        multiply_matrices(next.g, transposed(own.s, d), plain(own.gs, d), d);
        own = next;
    }
    float loss = 0.0f;
    for (int i = 0; i < d * d; i++) {
        float m = *at(stack.m, i);
        loss = mul_add(mul(mul(0.5f, constants[run->c_at + i]), m), m, loss);
    }
    return loss;
}

// From the gradients towards T', B', G' to those towards T, B, G, U, Q and P, but for what passes through the labels.
HERE void through_inputs(LinearLayer own, View q, View p, LinearStack *to, int d) {
    multiply_matrices(to->d_e, plain(own.s, d), plain(to->d_b, d), d);
    multiply_matrices(own.d_s, plain(own.e, d), transposed(to->d_b, d), d);
    add_matrices(own.d_s, transposed(own.t, d), plain(to->d_t, d), d);
    for (int i = 0; i < d * d; i++) *at(to->spare, i) = add(*at(to->d_g, i), *at(to->d_g, i % d * d + i / d));
    add_matrices(own.d_s, plain(own.gs, d), plain(to->spare, d), d);
    add_matrices(own.d_u, transposed(own.g, d), plain(to->d_e, d), d);
    multiply_matrices(own.d_a, plain(own.d_s, d), p, d);
    multiply_matrices(to->spare, plain(to->d_t, d), transposed(own.s, d), d);
    copy(to->d_t, to->spare, d * d);
    copy(to->d_b, to->d_e, d * d);
    multiply_matrices(to->spare, plain(own.s, d), plain(to->d_g, d), d);
    multiply_matrices(to->d_g, plain(to->spare, d), transposed(own.s, d), d);
    add_matrices(to->d_g, plain(to->d_e, d), transposed(own.u, d), d);
    add_matrices(to->d_g, transposed(q.entries, d), plain(own.d_a, d), d);
}

// From M to the gradients that those of the weights are made of.
APART void linear_stack_backward(const Run *run, const float *constants, const float *parameters, Prompt prompt) {
    int d = run->d_t, n = run->linear_layers;
    LinearStack to = take_linear_stack(run, prompt.heads);
    for (int i = 0; i < d * d; i++) {
        *at(to.m, i) = mul(mul(constants[run->c_at + i], *at(to.m, i)), run->prompt_weight);
    }
    for (int layer = n - 1; layer >= 0; layer--) {
        LinearLayer own = linear_layer_of(run, to, layer);
        View q = plain(weights_at(parameters, layer, d), d);
        multiply_matrices(own.d_u, transposed(own.t, d), plain(to.m, d), d);
        if (layer + 1 < n) {
            through_inputs(own, q, plain(weights_at(parameters, n + layer, d), d), &to, d);
        } else {
            clear(to.d_t, d * d);
            clear(to.d_b, d * d);
            clear(to.d_g, d * d);
        }
        add_matrices(to.d_t, plain(to.m, d), transposed(own.u, d), d);
        add_matrices(to.d_b, transposed(q.entries, d), plain(own.d_u, d), d);
    }
}

// Entry i j of a prompt's part of a weight's gradient, added to a sum: Q of all layers, then P of all but the last.
HERE float linear_stack_entry(const Run *run, Prompt prompt, int matrix, int i, int j, float sum) {
    int d = run->d_t, n = run->linear_layers, of_q = matrix < n;
    LinearLayer own = linear_layer_of(run, take_linear_stack(run, prompt.heads), of_q ? matrix : matrix - n);
    if (!of_q) return chained(sum, transposed(own.d_s, d), plain(own.a, d), i, j, d);
    if (matrix + 1 < n) sum = chained(sum, plain(own.d_a, d), transposed(own.g, d), i, j, d);
    return chained(sum, plain(own.d_u, d), transposed(own.b, d), i, j, d);
}

#endif
