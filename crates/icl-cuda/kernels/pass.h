// One prompt through an attention layer or a stack: its prediction, its way back, its loss.
#ifndef PASS_H
#define PASS_H
#include "linear_stack.h"
#include "stack.h"

// A stack has layers, a single attention layer is none.
HERE int is_stack(const Run *run) { return run->layers > 0; }

// The label that is predicted for prompt `index` of a source, [d_s].
APART Column predict(const Run *run, const Source *source, const float *constants, const float *parameters,
                    const float *similarities, unsigned long long index, Prompt prompt, int with_gradient) {
    sample(run, source, constants, index, prompt.map, prompt.tokens, prompt.targets);
    if (is_stack(run)) {
        stack_forward(run, parameters, similarities, prompt);
        return from(layer_of(run, prompt, run->layers - 1).z, run->d_t);
    }
    clear(prompt.d_out, run->d_s);
    for (int h = 0; h < run->n_heads; h++) {
        head_forward(run, constants, parameters, weights_of(run, parameters, similarities, h),
                     head_of(run, prompt, h), prompt.tokens, prompt.d_out, with_gradient);
    }
    return prompt.d_out;
}

// The way there and back; leaves the error, the gradient towards the output and the factors of weight gradients.
HERE void pass(const Run *run, const float *constants, const float *parameters, const float *similarities,
               unsigned long long index, Prompt prompt) {
    if (is_linear_stack(run)) {
        sample(run, &run->training, constants, index, prompt.map, prompt.tokens, prompt.targets);
        *prompt.error.first = linear_stack_forward(run, constants, parameters, prompt);
        linear_stack_backward(run, constants, parameters, prompt);
        return;
    }
    Column out = predict(run, &run->training, constants, parameters, similarities, index, prompt, 1);
    for (int s = 0; s < run->d_s; s++) {
        float error = sub(*at(out, s), *at(prompt.targets, s));
        *at(prompt.error, s) = error;
        *at(prompt.d_out, s) = mul(error, run->prompt_weight);
    }
    if (is_stack(run)) {
        Column d_z = layer_of(run, prompt, run->layers - 1).d_z;
        clear(d_z, run->d_t);
        copy(from(d_z, run->d_t), prompt.d_out, run->d_s);
        stack_backward(run, parameters, similarities, prompt);
        return;
    }
    for (int h = 0; h < run->n_heads; h++) {
        head_backward(run, parameters, weights_of(run, parameters, similarities, h), head_of(run, prompt, h),
                      prompt.tokens, prompt.d_out);
    }
}

// 1/2 |prediction - s|^2, or its expectation over tasks and queries, of prompt `index` of a source.
HERE double loss(const Run *run, const Source *source, const float *constants, const float *parameters,
                 const float *similarities, unsigned long long index, Prompt prompt) {
    double sum = -0.0;
    if (is_linear_stack(run)) {
        sample(run, source, constants, index, prompt.map, prompt.tokens, prompt.targets);
        return (double)linear_stack_forward(run, constants, parameters, prompt);
    }
    Column out = predict(run, source, constants, parameters, similarities, index, prompt, 0);
    for (int s = 0; s < run->d_s; s++) {
        double error = sub_f64((double)*at(out, s), (double)*at(prompt.targets, s));
        sum = add_f64(sum, mul_f64(mul_f64(error, error), 0.5));
    }
    return sum;
}

#endif
