// The columns of one prompt, and the weights of a head.
#ifndef COLUMNS_H
#define COLUMNS_H
#include "head.h"
#include "prompt.h"

// The columns of one prompt that all heads share; those of the heads follow.
typedef struct {
    Column map;      // [d_s, d_t], rounded up to an even number
    Column tokens;   // [N + 1, d]
    Column targets;  // [d_s]
    Column d_out;    // [d_s], the output, then the gradient towards it
    Column error;    // [d_s]
    Column heads;
} Prompt;

HERE Prompt take_prompt(const Run *run, Column rest) {
    int n_map = run->d_s * run->d_t;
    Prompt prompt;
    prompt.map = take(&rest, n_map + n_map % 2);
    prompt.tokens = take(&rest, tokens_of(run) * d_of(run));
    prompt.targets = take(&rest, run->d_s);
    prompt.d_out = take(&rest, run->d_s);
    prompt.error = take(&rest, run->d_s);
    prompt.heads = rest;
    return prompt;
}

// The columns of head h, of which every one has as many.
HERE Head head_of(const Run *run, Prompt prompt, int h) {
    Column rest = prompt.heads;
    Head head = take_head(run, &rest);
    for (int i = 0; i < h; i++) head = take_head(run, &rest);
    return head;
}

HERE Weights weights_of(const Run *run, const float *parameters, const float *similarities, int h) {
    long long square = (long long)d_of(run) * d_of(run);
    Weights w;
    w.w_q = parameters + run->w_q_at + h * square;
    w.w_k = parameters + run->w_k_at + h * square;
    w.w_v = parameters + run->w_v_at + h * square;
    w.similarity = similarities + h * square;
    return w;
}

// Entry i j of W_Q^T W_K / sqrt(d) of a head, counted through all layers, summed in double precision.
HERE float similarity(const Run *run, const float *parameters, int head, int ij) {
    int d = d_of(run);
    parameters += (long long)(head / run->n_heads) * run->layer_stride;
    Weights w = weights_of(run, parameters, parameters, head % run->n_heads);
    double sum = -0.0;
    for (int a = 0; a < d; a++) {
        sum = add_f64(sum, mul_f64((double)w.w_q[a * d + ij / d], (double)w.w_k[a * d + ij % d]));
    }
    return narrow(quotient_f64(sum, run->root_of_d));
}

#endif
