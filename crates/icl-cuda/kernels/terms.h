// What modifications and kernels are made of: g, the negatives N(i), and positive random features.
#ifndef TERMS_H
#define TERMS_H
#include "elementary.h"
#include "linear.h"

// g(x) = x + c U gelu(V x) or x + c tanh(x): what the way back reads.
typedef struct {
    Column x;       // [N, d], the arguments (MLP)
    Column active;  // [N, hidden]: gelu; [N, d]: tanh
    Column slope;   // [N, hidden]: derivative of gelu, then the gradient towards V x
    Column after;   // [N, d], the gradient towards g(x)
} MapColumns;

HERE MapColumns take_map(const Run *run, const Map *g, Column *rest) {
    int n = run->n_demos, d = d_of(run);
    int of_x = g->form == MLP ? n * d : 0;
    int of_active = g->form == MLP ? n * g->hidden : g->form == ELEMENTWISE ? n * d : 0;
    MapColumns map;
    map.x = take(rest, of_x);
    map.active = take(rest, of_active);
    map.slope = take(rest, g->form == MLP ? of_active : 0);
    map.after = take(rest, of_x);
    return map;
}

// Replaces every row of x [N, d] by g(x).
APART void map_forward(const Run *run, const Map *g, const float *parameters, MapColumns map, Column x) {
    int n = run->n_demos, d = d_of(run);
    if (g->form == ELEMENTWISE) {
        for (int i = 0; i < n * d; i++) {
            float value = *at(x, i), t = hyperbolic_tangent(value);
            *at(map.active, i) = t;
            *at(x, i) = mul_add(g->scale, t, value);
        }
    } else if (g->form == MLP) {
        copy(map.x, x, n * d);
        for (int j = 0; j < n; j++) {
            Column active = from(map.active, j * g->hidden), slope = from(map.slope, j * g->hidden);
            product(active, 1.0f, parameters + g->v_at, from(x, j * d), g->hidden, d);
            for (int h = 0; h < g->hidden; h++) *at(active, h) = gelu(*at(active, h), at(slope, h));
            add_product(from(x, j * d), g->scale, parameters + g->u_at, active, d, g->hidden);
        }
    }
}

// Replaces dx [N, d], the gradient towards g(x), by that towards x.
APART void map_backward(const Run *run, const Map *g, const float *parameters, MapColumns map, Column dx) {
    int n = run->n_demos, d = d_of(run), hidden = g->hidden;
    if (g->form == ELEMENTWISE) {
        for (int i = 0; i < n * d; i++) {
            float t = *at(map.active, i), own = *at(dx, i);
            *at(dx, i) = mul_add(own, mul(g->scale, sub(1.0f, mul(t, t))), own);
        }
    } else if (g->form == MLP) {
        const float *v = parameters + g->v_at, *u = parameters + g->u_at;
        copy(map.after, dx, n * d);
        for (int j = 0; j < n; j++) {
            Column after = from(map.after, j * d), slope = from(map.slope, j * hidden);
            for (int h = 0; h < hidden; h++) {
                float sum = 0.0f;
                for (int r = 0; r < d; r++) sum = mul_add(mul(g->scale, *at(after, r)), u[r * hidden + h], sum);
                *at(slope, h) = mul(sum, *at(slope, h));
            }
            for (int c = 0; c < d; c++) {
                float sum = 0.0f;
                for (int h = 0; h < hidden; h++) sum = mul_add(mul(1.0f, *at(slope, h)), v[h * d + c], sum);
                float *own = at(dx, j * d + c);
                *own = add(*own, sum);
            }
        }
    }
}

typedef struct {
    Column chosen;  // [N, N]: 1 where j is in N(i)
    Column query;   // [d]
    Column scores;  // [N]
    Column lowest;  // [m], ascending
} NegativeColumns;

HERE NegativeColumns take_negatives(const Run *run, Column *rest) {
    int n = run->negatives == NO_NEGATIVES ? 0 : run->n_demos;
    NegativeColumns negatives;
    negatives.chosen = take(rest, n * n);
    negatives.query = take(rest, n > 0 ? d_of(run) : 0);
    negatives.scores = take(rest, n);
    negatives.lowest = take(rest, n > 0 ? run->n_negatives : 0);
    return negatives;
}

// Marks the scores below the last of `lowest`, and as many equal to it, in order, as are wanted.
HERE void mark(const Run *run, NegativeColumns s, Column chosen) {
    int n = run->n_demos, m = run->n_negatives;
    if (m == 0) return;
    float threshold = *at(s.lowest, m - 1), wanted = of_int(m);
    for (int j = 0; j < n; j++) {
        float below = threshold > *at(s.scores, j) ? 1.0f : 0.0f;
        wanted = sub(wanted, below);
        *at(chosen, j) = below;
    }
    for (int j = 0; j < n; j++) {
        float below = *at(chosen, j);
        float equal = sub(*at(s.scores, j) > threshold ? 0.0f : 1.0f, below);
        float taken = wanted > 0.0f ? equal : 0.0f;
        wanted = sub(wanted, taken);
        *at(chosen, j) = add(below, taken);
    }
}

// Chooses N(i) for every demonstration, by scores or by place.
APART void choose(const Run *run, const float *similarity, NegativeColumns s, Column tokens) {
    int n = run->n_demos, d = d_of(run);
    float sign = run->negatives == HIGHEST ? -1.0f : 1.0f;
    for (int i = 0; i < n; i++) {
        if (run->negatives == BY_PLACE) {
            for (int j = 0; j < n; j++) *at(s.scores, j) = of_int((j + n - i) % n);
        } else {
            product_transposed(s.query, 1.0f, similarity, from(tokens, i * d), d, d);
            for (int j = 0; j < n; j++) {
                *at(s.scores, j) = mul_add(sign, dot(from(tokens, j * d), s.query, d), 0.0f);
            }
        }
        *at(s.scores, i) = INFINITE;
        for (int k = 0; k < run->n_negatives; k++) *at(s.lowest, k) = INFINITE;
        for (int j = 0; j < n; j++) {
            float rest = *at(s.scores, j);
            for (int k = 0; k < run->n_negatives; k++) {
                float present = *at(s.lowest, k);
                *at(s.lowest, k) = smaller(rest, present);
                rest = larger(rest, present);
            }
        }
        mark(run, s, from(s.chosen, i * n));
    }
}

// y = p - weight Neg^T p.
HERE void mix_transposed(const Run *run, NegativeColumns s, Column p, Column y) {
    int n = run->n_demos;
    for (int j = 0; j < n; j++) {
        float sum = 0.0f;
        for (int i = 0; i < n; i++) sum = mul_add(mul(1.0f, *at(p, i)), *at(s.chosen, i * n + j), sum);
        *at(y, j) = mul_add(-run->negatives_weight, sum, *at(p, j));
    }
}

// x = y - weight Neg y.
HERE void mix(const Run *run, NegativeColumns s, Column y, Column x) {
    int n = run->n_demos;
    for (int i = 0; i < n; i++) {
        *at(x, i) = mul_add(-run->negatives_weight, dot(from(s.chosen, i * n), y, n), *at(y, i));
    }
}

typedef struct {
    Column phi_q;     // [d_r]
    Column start;     // [N + 1], first summand of every exponent, to base 2
    Column estimate;  // [N + 1], K_j
    Column moments;   // [N + 1, d], m_j
} FeatureColumns;

HERE FeatureColumns take_features(const Run *run, Column *rest) {
    int tokens = run->kernel == POSITIVE ? tokens_of(run) : 0;
    FeatureColumns features;
    features.phi_q = take(rest, tokens > 0 ? run->d_r : 0);
    features.start = take(rest, tokens);
    features.estimate = take(rest, tokens);
    features.moments = take(rest, tokens * d_of(run));
    return features;
}

// K_j = sum_r phi_r(q) phi_r(k_j) and m_j, the same sum with omega_r; rows carry log2(e).
APART void features_forward(const Run *run, const float *omegas, FeatureColumns s, Column q, Column keys,
                           int with_moments) {
    int d = d_of(run), tokens = tokens_of(run);
    float top = -INFINITE, least = INFINITE;
    for (int r = 0; r < run->d_r; r++) {
        float exponent = weighted(omegas + (long long)r * d, q, d);
        top = larger(top, exponent);
        *at(s.phi_q, r) = exponent;
    }
    for (int r = 0; r < run->d_r; r++) *at(s.phi_q, r) = exp2_normal(sub(*at(s.phi_q, r), top));
    for (int j = 0; j < tokens; j++) {
        Column key = from(keys, j * d);
        float half_norm = mul(0.5f, dot(key, key, d));
        least = smaller(least, half_norm);
        *at(s.start, j) = half_norm;
    }
    clear(s.moments, tokens * d);
    for (int j = 0; j < tokens; j++) {
        Column key = from(keys, j * d), moment = from(s.moments, j * d);
        float start = mul(LOG2_E, sub(least, *at(s.start, j))), estimate = 0.0f;
        for (int r = 0; r < run->d_r; r++) {
            const float *omega = omegas + (long long)r * d;
            float exponent = start;
            for (int i = 0; i < d; i++) exponent = mul_add(omega[i], *at(key, i), exponent);
            float product = mul(*at(s.phi_q, r), exp2_normal(exponent));
            estimate = add(estimate, product);
            if (!with_moments) continue;
            for (int i = 0; i < d; i++) *at(moment, i) = mul_add(omega[i], product, *at(moment, i));
        }
        *at(s.estimate, j) = estimate;
    }
}

// d_q and d_keys from the gradients towards the estimates.
HERE void features_backward(const Run *run, FeatureColumns s, Column keys, Column gradient, Column d_q,
                            Column d_keys) {
    int d = d_of(run);
    clear(d_q, d);
    for (int j = 0; j < tokens_of(run); j++) {
        float g = *at(gradient, j), natural = mul(g, LN_2_HIGH);
        float own = negated(mul(g, *at(s.estimate, j)));
        add_scaled(d_q, natural, from(s.moments, j * d), d);
        for (int i = 0; i < d; i++) {
            *at(d_keys, j * d + i) = mul_add(own, *at(keys, j * d + i), mul(natural, *at(s.moments, j * d + i)));
        }
    }
}

#endif
