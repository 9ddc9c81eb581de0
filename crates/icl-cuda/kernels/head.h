// One attention head on one prompt, forward and backward, in the order of `icl_model::fused::head`.
//
// The way back leaves the factors of the weight gradients in the prompt's columns; `gradient.h` adds their outer
// products over prompts.
#ifndef HEAD_H
#define HEAD_H
#include "terms.h"

typedef struct {
    Column q, u;                        // [d]; u = W_K^T q where keys are not formed
    Column keys, values;                // [N + 1, d] where they are
    MapColumns keys_map, values_map;
    FeatureColumns features;
    Column p, coefficients;             // [N + 1]
    Column shrunk;                      // [N]
    NegativeColumns negatives;
    Column z, d_vector, d_q;            // [d]
    Column d_p, d_coefficients;         // [N + 1]
    Column d_keys, d_values;            // [N + 1, d]
} Head;

HERE Head take_head(const Run *run, Column *rest) {
    int d = d_of(run), tokens = tokens_of(run);
    int of_keys = forms_keys(run) ? tokens * d : 0, of_values = forms_values(run) ? tokens * d : 0;
    Head s;
    s.q = take(rest, d);
    s.u = take(rest, d);
    s.keys = take(rest, of_keys);
    s.values = take(rest, of_values);
    s.keys_map = take_map(run, &run->keys, rest);
    s.values_map = take_map(run, &run->values, rest);
    s.features = take_features(run, rest);
    s.p = take(rest, tokens);
    s.coefficients = take(rest, tokens);
    s.shrunk = take(rest, run->n_demos);
    s.negatives = take_negatives(run, rest);
    s.z = take(rest, d);
    s.d_vector = take(rest, d);
    s.d_q = take(rest, d);
    s.d_p = take(rest, tokens);
    s.d_coefficients = take(rest, tokens);
    s.d_keys = take(rest, of_keys);
    s.d_values = take(rest, of_values);
    return s;
}

// Weights of one head, and W_Q^T W_K / sqrt(d) for negatives.
typedef struct {
    const float *w_q, *w_k, *w_v, *similarity;
} Weights;

// p_j = K(k_j, q) / sum_j K(k_j, q); for linear attention k_j . q / N.
HERE void attention_weights(const Run *run, const float *constants, Head s, Column tokens, int with_gradient) {
    int d = d_of(run), n = run->n_demos;
    float total = 0.0f;
    if (run->kernel == POSITIVE) {
        features_forward(run, constants + run->omegas_at, s.features, s.q, s.keys, with_gradient);
        for (int j = 0; j <= n; j++) {
            *at(s.p, j) = *at(s.features.estimate, j);
            total = add(total, *at(s.p, j));
        }
    } else {
        Column query = forms_keys(run) ? s.q : s.u, keys = forms_keys(run) ? s.keys : tokens;
        int seen = run->kernel == SOFTMAX ? n + 1 : n;
        float top = -INFINITE;
        *at(s.p, n) = 0.0f;
        for (int j = 0; j < seen; j++) {
            float score = dot(query, from(keys, j * d), d);
            top = larger(top, score);
            *at(s.p, j) = score;
        }
        if (run->kernel == LINEAR) {
            for (int j = 0; j < n; j++) *at(s.p, j) = mul(*at(s.p, j), run->share);
            return;
        }
        for (int j = 0; j < seen; j++) {
            float weight = exp_normal(sub(*at(s.p, j), top));
            total = add(total, weight);
            *at(s.p, j) = weight;
        }
    }
    float inverse = quotient(1.0f, total);
    for (int j = 0; j <= n; j++) *at(s.p, j) = mul(*at(s.p, j), inverse);
}

// Each demonstration's entry times the shrinkage to the power of the steps that follow, the query side's times all.
HERE void shrink(const Run *run, Column demonstrations, float *query_side) {
    if (run->shrinkage == 1.0f) return;
    float power = 1.0f;
    for (int j = run->n_demos - 1; j >= 0; j--) {
        *at(demonstrations, j) = mul(power, *at(demonstrations, j));
        power = mul(power, run->shrinkage);
    }
    *query_side = mul(power, *query_side);
}

// Weights after negatives and regularisation.
HERE void find_coefficients(const Run *run, const float *similarity, Head s, Column tokens) {
    int n = run->n_demos;
    *at(s.coefficients, n) = mul(run->query_side, *at(s.p, n));
    copy(s.shrunk, s.p, n);
    shrink(run, s.shrunk, at(s.coefficients, n));
    if (run->negatives == NO_NEGATIVES) {
        copy(s.coefficients, s.shrunk, n);
    } else {
        choose(run, similarity, s.negatives, tokens);
        mix_transposed(run, s.negatives, s.shrunk, s.coefficients);
    }
}

// Adds the head's output for the query, its s-part, to out [d_s].
APART void head_forward(const Run *run, const float *constants, const float *parameters, Weights w, Head s,
                       Column tokens, Column out, int with_gradient) {
    int d = d_of(run), n = run->n_demos;
    product(s.q, run->scale, w.w_q, from(tokens, n * d), d, d);
    if (forms_keys(run)) {
        for (int j = 0; j <= n; j++) product(from(s.keys, j * d), run->scale, w.w_k, from(tokens, j * d), d, d);
        map_forward(run, &run->keys, parameters, s.keys_map, s.keys);
    } else {
        product_transposed(s.u, run->scale, w.w_k, s.q, d, d);
    }
    attention_weights(run, constants, s, tokens, with_gradient);
    find_coefficients(run, w.similarity, s, tokens);
    if (forms_values(run)) {
        for (int j = 0; j <= n; j++) product(from(s.values, j * d), 1.0f, w.w_v, from(tokens, j * d), d, d);
        map_forward(run, &run->values, parameters, s.values_map, s.values);
        for (int j = 0; j <= n; j++) {
            add_scaled(out, *at(s.coefficients, j), from(s.values, j * d + run->d_t), run->d_s);
        }
    } else {
        clear(s.z, d);
        for (int j = 0; j <= n; j++) add_scaled(s.z, *at(s.coefficients, j), from(tokens, j * d), d);
        for (int i = 0; i < run->d_s; i++) {
            *at(out, i) = add(*at(out, i), weighted(w.w_v + (run->d_t + i) * d, s.z, d));
        }
    }
}

// From the gradient towards the coefficients to that towards the scores.
HERE void backward_weights(const Run *run, Head s) {
    int n = run->n_demos;
    if (run->negatives == NO_NEGATIVES) {
        copy(s.d_p, s.d_coefficients, n);
    } else {
        mix(run, s.negatives, s.d_coefficients, s.d_p);
    }
    *at(s.d_p, n) = mul(run->query_side, *at(s.d_coefficients, n));
    shrink(run, s.d_p, at(s.d_p, n));
    if (run->kernel == LINEAR) {
        for (int j = 0; j < n; j++) *at(s.d_p, j) = mul(*at(s.d_p, j), run->share);
        *at(s.d_p, n) = 0.0f;
        return;
    }
    float mean = dot(s.p, s.d_p, n + 1);
    for (int j = 0; j <= n; j++) *at(s.d_p, j) = mul(*at(s.p, j), sub(*at(s.d_p, j), mean));
}

// Through g1 and W_V to the coefficients.
HERE void backward_values(const Run *run, const float *parameters, Weights w, Head s, Column tokens, Column d_out) {
    int d = d_of(run), n = run->n_demos;
    if (forms_values(run)) {
        clear(s.d_values, (n + 1) * d);
        for (int j = 0; j <= n; j++) {
            Column label = from(s.values, j * d + run->d_t);
            *at(s.d_coefficients, j) = dot(d_out, label, run->d_s);
            add_scaled(from(s.d_values, j * d + run->d_t), *at(s.coefficients, j), d_out, run->d_s);
        }
        map_backward(run, &run->values, parameters, s.values_map, s.d_values);
    } else {
        product_transposed(s.d_vector, 1.0f, w.w_v + run->d_t * d, d_out, run->d_s, d);
        for (int j = 0; j <= n; j++) *at(s.d_coefficients, j) = dot(s.d_vector, from(tokens, j * d), d);
    }
}

// Through the kernel and g2 to the query.
HERE void backward_keys(const Run *run, const float *parameters, Weights w, Head s, Column tokens) {
    int d = d_of(run), n = run->n_demos;
    if (!forms_keys(run)) {
        clear(s.d_vector, d);
        for (int j = 0; j <= n; j++) add_scaled(s.d_vector, *at(s.d_p, j), from(tokens, j * d), d);
        product(s.d_q, run->scale, w.w_k, s.d_vector, d, d);
        return;
    }
    if (run->kernel == POSITIVE) {
        for (int j = 0; j <= n; j++) *at(s.d_p, j) = quotient(*at(s.d_p, j), *at(s.features.estimate, j));
        features_backward(run, s.features, s.keys, s.d_p, s.d_q, s.d_keys);
    } else {
        clear(s.d_q, d);
        clear(s.d_keys, (n + 1) * d);
        for (int j = 0; j <= n; j++) {
            add_scaled(s.d_q, *at(s.d_p, j), from(s.keys, j * d), d);
            add_scaled(from(s.d_keys, j * d), *at(s.d_p, j), s.q, d);
        }
    }
    map_backward(run, &run->keys, parameters, s.keys_map, s.d_keys);
}

APART void head_backward(const Run *run, const float *parameters, Weights w, Head s, Column tokens, Column d_out) {
    backward_values(run, parameters, w, s, tokens, d_out);
    backward_weights(run, s);
    backward_keys(run, parameters, w, s, tokens);
}

#endif
