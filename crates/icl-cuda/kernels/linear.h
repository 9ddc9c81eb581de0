// Small dense operations of one prompt: vectors are columns, matrices are rows of weights. Sums run in index order.
#ifndef LINEAR_H
#define LINEAR_H
#include "layer.h"

HERE void clear(Column y, int n) {
    for (int i = 0; i < n; i++) *at(y, i) = 0.0f;
}

HERE void copy(Column y, Column x, int n) {
    for (int i = 0; i < n; i++) *at(y, i) = *at(x, i);
}

// sum_i x_i y_i.
HERE float dot(Column x, Column y, int n) {
    float sum = 0.0f;
#ifdef MUTANT_REORDERED
    for (int i = n - 1; i >= 0; i--) sum = mul_add(*at(x, i), *at(y, i), sum);
#else
    for (int i = 0; i < n; i++) sum = mul_add(*at(x, i), *at(y, i), sum);
#endif
    return sum;
}

// sum_i w_i x_i.
HERE float weighted(const float *w, Column x, int n) {
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum = mul_add(w[i], *at(x, i), sum);
    return sum;
}

// y_i += a x_i.
HERE void add_scaled(Column y, float a, Column x, int n) {
    for (int i = 0; i < n; i++) *at(y, i) = mul_add(a, *at(x, i), *at(y, i));
}

// y += scale W x, W of n_rows rows of length n.
HERE void add_product(Column y, float scale, const float *w, Column x, int n_rows, int n) {
    for (int r = 0; r < n_rows; r++) *at(y, r) = mul_add(scale, weighted(w + r * n, x, n), *at(y, r));
}

// y = scale W x.
HERE void product(Column y, float scale, const float *w, Column x, int n_rows, int n) {
    clear(y, n_rows);
    add_product(y, scale, w, x, n_rows, n);
}

// y = scale W^T x, W of n_rows rows of length n.
HERE void product_transposed(Column y, float scale, const float *w, Column x, int n_rows, int n) {
    for (int c = 0; c < n; c++) {
        float sum = 0.0f;
        for (int r = 0; r < n_rows; r++) sum = mul_add(mul(scale, *at(x, r)), w[r * n + c], sum);
        *at(y, c) = sum;
    }
}

#endif
