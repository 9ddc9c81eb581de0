// A stack of Transformer layers on one prompt, forward and backward, in the order of `icl_model::fused::stack`:
// `a = [x +] sum_heads h'`, `z = [a +] W_2 relu(W_1 a + b_1) + b_2`. Every token is a query but in the last layer, where
// only the query token is.
#ifndef STACK_H
#define STACK_H
#include "columns.h"

// One head of a layer.
typedef struct {
    Column q;                       // [queries, d]
    Column keys, values, mixed;     // [N + 1, d]
    MapColumns keys_map, values_map;
    NegativeColumns negatives;
    Column p, d_scores;             // [queries, N + 1]
    Column d_q;                     // [queries, d]
    Column d_keys, d_values, d_mixed;
} StackHead;

// What a layer's heads share.
typedef struct {
    Column a, z, d_a, d_z;          // [queries, d]
    Column active, d_active;        // [queries, d_ff]
    Column heads;
} Layer;

HERE int queries_of(const Run *run, int layer) { return layer + 1 == run->layers ? 1 : tokens_of(run); }

HERE StackHead take_stack_head(const Run *run, int layer, Column *rest) {
    int d = d_of(run), of_tokens = tokens_of(run) * d, queries = queries_of(run, layer);
    StackHead s;
    s.q = take(rest, queries * d);
    s.keys = take(rest, of_tokens);
    s.values = take(rest, of_tokens);
    s.mixed = take(rest, of_tokens);
    s.keys_map = take_map(run, &run->keys, rest);
    s.values_map = take_map(run, &run->values, rest);
    s.negatives = take_negatives(run, rest);
    s.p = take(rest, queries * tokens_of(run));
    s.d_scores = take(rest, queries * tokens_of(run));
    s.d_q = take(rest, queries * d);
    s.d_keys = take(rest, of_tokens);
    s.d_values = take(rest, of_tokens);
    s.d_mixed = take(rest, of_tokens);
    return s;
}

HERE StackHead stack_head_of(const Run *run, int layer, Layer columns, int h) {
    Column rest = columns.heads;
    StackHead head = take_stack_head(run, layer, &rest);
    for (int i = 0; i < h; i++) head = take_stack_head(run, layer, &rest);
    return head;
}

HERE Layer take_layer(const Run *run, int layer, Column *rest) {
    int n = queries_of(run, layer), d = d_of(run);
    Layer s;
    s.a = take(rest, n * d);
    s.z = take(rest, n * d);
    s.d_a = take(rest, n * d);
    s.d_z = take(rest, n * d);
    s.active = take(rest, n * run->d_ff);
    s.d_active = take(rest, n * run->d_ff);
    s.heads = *rest;
    for (int h = 0; h < run->n_heads; h++) take_stack_head(run, layer, rest);
    return s;
}

HERE Layer layer_of(const Run *run, Prompt prompt, int layer) {
    Column rest = prompt.heads;
    Layer s = take_layer(run, 0, &rest);
    for (int i = 1; i <= layer; i++) s = take_layer(run, i, &rest);
    return s;
}

// The tokens that a layer reads, [N + 1, d].
HERE Column inputs_of(const Run *run, Prompt prompt, int layer) {
    return layer == 0 ? prompt.tokens : layer_of(run, prompt, layer - 1).z;
}

// y += scale W^T x, W of n_rows rows of length n.
HERE void add_product_transposed(Column y, float scale, const float *w, Column x, int n_rows, int n) {
    for (int c = 0; c < n; c++) {
        float sum = *at(y, c);
        for (int r = 0; r < n_rows; r++) sum = mul_add(mul(scale, *at(x, r)), w[r * n + c], sum);
        *at(y, c) = sum;
    }
}

// y += scale M^T x, M [n_rows, n] a matrix of the prompt's own.
HERE void add_own_product_transposed(Column y, float scale, Column m, Column x, int n_rows, int n) {
    for (int c = 0; c < n; c++) {
        float sum = *at(y, c);
        for (int r = 0; r < n_rows; r++) sum = mul_add(mul(scale, *at(x, r)), *at(m, r * n + c), sum);
        *at(y, c) = sum;
    }
}

// y = M x, M [n_rows, n] a matrix of the prompt's own.
HERE void own_product(Column y, Column m, Column x, int n_rows, int n) {
    for (int r = 0; r < n_rows; r++) *at(y, r) = mul_add(1.0f, dot(from(m, r * n), x, n), 0.0f);
}

// G += scale sum_j a_j b_j^T, G [n_rows, n_columns] of the prompt's own.
HERE void add_own_outers(Column g, float scale, Column a, Column b, int n, int n_rows, int n_columns) {
    for (int r = 0; r < n_rows; r++) {
        for (int c = 0; c < n_columns; c++) {
            float sum = *at(g, r * n_columns + c);
            for (int j = 0; j < n; j++) {
                sum = mul_add(mul(scale, *at(a, j * n_rows + r)), *at(b, j * n_columns + c), sum);
            }
            *at(g, r * n_columns + c) = sum;
        }
    }
}

// The query side by its factor; with steps on each demonstration every row by the shrinkage to the power of the steps
// that follow it.
HERE void shrink_rows(const Run *run, Column rows) {
    int d = d_of(run), n = run->n_demos;
    float power = 1.0f;
    if (run->shrinkage != 1.0f) {
        for (int j = n - 1; j >= 0; j--) {
            for (int i = 0; i < d; i++) *at(rows, j * d + i) = mul(power, *at(rows, j * d + i));
            power = mul(power, run->shrinkage);
        }
    }
    float factor = mul(run->query_side, power);
    for (int i = 0; i < d; i++) *at(rows, n * d + i) = mul(factor, *at(rows, n * d + i));
}

HERE void softmax(Column p, int n) {
    float top = -INFINITE, total = 0.0f;
    for (int j = 0; j < n; j++) top = larger(top, *at(p, j));
    for (int j = 0; j < n; j++) {
        float weight = exp_normal(sub(*at(p, j), top));
        total = add(total, weight);
        *at(p, j) = weight;
    }
    float inverse = quotient(1.0f, total);
    for (int j = 0; j < n; j++) *at(p, j) = mul(*at(p, j), inverse);
}

// Adds h' of the last tokens to out [queries, d]; `parameters` are those of the layer.
APART void stack_head_forward(const Run *run, const float *parameters, Weights w, StackHead s, Column tokens, Column out,
                             int queries) {
    int d = d_of(run), n = run->n_demos, n_tokens = n + 1, first = n_tokens - queries;
    for (int i = 0; i < queries; i++) {
        product(from(s.q, i * d), run->scale, w.w_q, from(tokens, (first + i) * d), d, d);
    }
    for (int j = 0; j < n_tokens; j++) {
        product(from(s.keys, j * d), run->scale, w.w_k, from(tokens, j * d), d, d);
        product(from(s.values, j * d), 1.0f, w.w_v, from(tokens, j * d), d, d);
    }
    map_forward(run, &run->keys, parameters, s.keys_map, s.keys);
    map_forward(run, &run->values, parameters, s.values_map, s.values);
    copy(s.mixed, s.values, n_tokens * d);
    if (run->negatives != NO_NEGATIVES) {
        choose(run, w.similarity, s.negatives, tokens);
        for (int i = 0; i < n; i++) {
            Column chosen = from(s.negatives.chosen, i * n);
            add_own_product_transposed(from(s.mixed, i * d), -run->negatives_weight, s.values, chosen, n, d);
        }
    }
    shrink_rows(run, s.mixed);
    for (int i = 0; i < queries; i++) {
        Column p = from(s.p, i * n_tokens);
        own_product(p, s.keys, from(s.q, i * d), n_tokens, d);
        softmax(p, n_tokens);
        add_own_product_transposed(from(out, i * d), 1.0f, s.mixed, p, n_tokens, d);
    }
}

// Leaves the factors of weight gradients; adds the gradient towards tokens where it is wanted.
APART void stack_head_backward(const Run *run, const float *parameters, Weights w, StackHead s, Column d_tokens,
                              int wanted, Column d_out, int queries) {
    int d = d_of(run), n = run->n_demos, n_tokens = n + 1, first = n_tokens - queries;
    for (int i = 0; i < queries; i++) {
        Column p = from(s.p, i * n_tokens), d_scores = from(s.d_scores, i * n_tokens);
        own_product(d_scores, s.mixed, from(d_out, i * d), n_tokens, d);
        float mean = dot(p, d_scores, n_tokens);
        for (int j = 0; j < n_tokens; j++) *at(d_scores, j) = mul(*at(p, j), sub(*at(d_scores, j), mean));
        clear(from(s.d_q, i * d), d);
        add_own_product_transposed(from(s.d_q, i * d), 1.0f, s.keys, d_scores, n_tokens, d);
    }
    clear(s.d_keys, n_tokens * d);
    add_own_outers(s.d_keys, 1.0f, s.d_scores, s.q, queries, n_tokens, d);
    clear(s.d_mixed, n_tokens * d);
    add_own_outers(s.d_mixed, 1.0f, s.p, d_out, queries, n_tokens, d);
    shrink_rows(run, s.d_mixed);
    copy(s.d_values, s.d_mixed, n_tokens * d);
    if (run->negatives != NO_NEGATIVES) {
        add_own_outers(s.d_values, -run->negatives_weight, s.negatives.chosen, s.d_mixed, n, n, d);
    }
    map_backward(run, &run->values, parameters, s.values_map, s.d_values);
    map_backward(run, &run->keys, parameters, s.keys_map, s.d_keys);
    if (!wanted) return;
    for (int i = 0; i < queries; i++) {
        add_product_transposed(from(d_tokens, (first + i) * d), run->scale, w.w_q, from(s.d_q, i * d), d, d);
    }
    for (int j = 0; j < n_tokens; j++) {
        add_product_transposed(from(d_tokens, j * d), run->scale, w.w_k, from(s.d_keys, j * d), d, d);
    }
    for (int j = 0; j < n_tokens; j++) {
        add_product_transposed(from(d_tokens, j * d), 1.0f, w.w_v, from(s.d_values, j * d), d, d);
    }
}

// Begins a sum of n rows: with the last rows of x [n_tokens, d] on a residual path, with zero elsewhere.
HERE void start(const Run *run, Column y, Column x, int n, int of_x) {
    int d = d_of(run);
    if (run->residual) copy(y, from(x, (of_x - n) * d), n * d);
    else clear(y, n * d);
}

APART void feed_forward(const Run *run, const float *parameters, Layer s, int queries) {
    int d = d_of(run), d_ff = run->d_ff;
    const float *b_1 = parameters + run->b_1_at, *b_2 = parameters + run->b_2_at;
    for (int i = 0; i < queries; i++) {
        Column active = from(s.active, i * d_ff), z = from(s.z, i * d);
        for (int h = 0; h < d_ff; h++) *at(active, h) = b_1[h];
        add_product(active, 1.0f, parameters + run->w_1_at, from(s.a, i * d), d_ff, d);
        for (int h = 0; h < d_ff; h++) *at(active, h) = larger(*at(active, h), 0.0f);
        for (int c = 0; c < d; c++) *at(z, c) = add(*at(z, c), b_2[c]);
        add_product(z, 1.0f, parameters + run->w_2_at, active, d, d_ff);
    }
}

APART void feed_forward_backward(const Run *run, const float *parameters, Layer s, int queries) {
    int d = d_of(run), d_ff = run->d_ff;
    for (int i = 0; i < queries; i++) {
        Column active = from(s.active, i * d_ff), d_active = from(s.d_active, i * d_ff);
        product_transposed(d_active, 1.0f, parameters + run->w_2_at, from(s.d_z, i * d), d, d_ff);
        for (int h = 0; h < d_ff; h++) *at(d_active, h) = *at(active, h) > 0.0f ? *at(d_active, h) : 0.0f;
        add_product_transposed(from(s.d_a, i * d), 1.0f, parameters + run->w_1_at, d_active, d_ff, d);
    }
}

// All layers; the prediction is the s-part of the last layer's z.
APART void stack_forward(const Run *run, const float *parameters, const float *similarities, Prompt prompt) {
    int d = d_of(run), of_before = tokens_of(run);
    Column before = prompt.tokens;
    for (int layer = 0; layer < run->layers; layer++) {
        const float *own = parameters + (long long)layer * run->layer_stride;
        Layer s = layer_of(run, prompt, layer);
        int queries = queries_of(run, layer);
        start(run, s.a, before, queries, of_before);
        for (int h = 0; h < run->n_heads; h++) {
            Weights w = weights_of(run, own, similarities + (long long)layer * run->n_heads * d * d, h);
            stack_head_forward(run, own, w, stack_head_of(run, layer, s, h), before, s.a, queries);
        }
        start(run, s.z, s.a, queries, queries);
        feed_forward(run, own, s, queries);
        before = s.z;
        of_before = queries;
    }
}

// From the d_z of the last layer to the factors of all weight gradients.
APART void stack_backward(const Run *run, const float *parameters, const float *similarities, Prompt prompt) {
    int d = d_of(run);
    for (int layer = run->layers - 1; layer >= 0; layer--) {
        const float *own = parameters + (long long)layer * run->layer_stride;
        Layer s = layer_of(run, prompt, layer);
        int queries = queries_of(run, layer), wanted = layer > 0;
        Column d_tokens = s.d_a;
        start(run, s.d_a, s.d_z, queries, queries);
        feed_forward_backward(run, own, s, queries);
        if (wanted) {
            int n_tokens = tokens_of(run);
            d_tokens = layer_of(run, prompt, layer - 1).d_z;
            clear(d_tokens, n_tokens * d);
            if (run->residual) copy(from(d_tokens, (n_tokens - queries) * d), s.d_a, queries * d);
        }
        for (int h = 0; h < run->n_heads; h++) {
            Weights w = weights_of(run, own, similarities + (long long)layer * run->n_heads * d * d, h);
            stack_head_backward(run, own, w, stack_head_of(run, layer, s, h), d_tokens, wanted, s.d_a, queries);
        }
    }
}

#endif
