// Training runs of attention layers and of stacks: one block trains one run from its start to its end, all runs of a
// launch at once. Nothing returns to the host between steps.
//
// The arithmetic is that of the fused processor kernel, operation by operation, so the bits are its bits. A host
// compiler reads the same text (`platform.h`) and the tests compare.
#include "gradient.h"

// Interleaved partial sums, joined as a tree: `icl_numerics::order`.
#define PARTS 8

typedef struct {
    float *parameters, *first, *second, *gradient;  // [n_parameters]
    float *watched;                                 // [n_watched, n_parameters]
    float *sums;                                    // [n_parameters + 1, sums]; the last row is the loss
    float *similarities;                            // [heads of all layers, d, d]
    Column prompts;                                 // columns side by side
    double *losses, *curve, *parts;
} Parts;

HERE int heads_of_all(const Run *run) { return run->n_heads * (is_stack(run) ? run->layers : 1); }

HERE Parts parts_of(const Run *run, float *state, float *work, double *doubles) {
    long long n = run->n_parameters, d = d_of(run);
    Parts parts;
    parts.parameters = state + run->state_at;
    parts.first = parts.parameters + n;
    parts.second = parts.first + n;
    parts.gradient = parts.second + n;
    parts.watched = parts.gradient + n;
    parts.sums = work + run->work_at;
    parts.similarities = parts.sums + (n + 1) * sums_of(run);
    parts.prompts.first = parts.similarities + heads_of_all(run) * d * d;
    parts.prompts.stride = run->columns;
    parts.parts = doubles + run->losses_at;
    parts.losses = parts.parts + PARTS;
    parts.curve = doubles + run->curve_at;
    return parts;
}

HERE double join(const double *p) {
    return add_f64(add_f64(add_f64(p[0], p[4]), add_f64(p[2], p[6])), add_f64(add_f64(p[1], p[5]), add_f64(p[3], p[7])));
}

HERE Prompt own_columns(const Run *run, Parts parts, int column) {
    Column own = parts.prompts;
    own.first += column;
    return take_prompt(run, own);
}

HERE void find_similarities(const Run *run, Parts parts) {
    int square = d_of(run) * d_of(run), by_score = run->negatives == LOWEST || run->negatives == HIGHEST;
    FOR_EACH(i, by_score ? heads_of_all(run) * square : 0) parts.similarities[i] = similarity(run, parts.parameters, i / square, i % square);
    BARRIER();
}

// Mean loss of the validation set: losses prompt by prompt, sums in blocks, the blocks.
HERE void validate(const Run *run, const float *constants, Parts parts, int point) {
    find_similarities(run, parts);
    FOR_EACH(p, run->n_validation) {
        parts.losses[p] = loss(run, &run->validation, constants, parts.parameters, parts.similarities,
                               (unsigned long long)p, own_columns(run, parts, OWN_COLUMN));
    }
    BARRIER();
    double blocks[PARTS] = {0.0};
    int block = 0;
    for (int from = 0; from < run->n_validation; from += run->block_of_losses, block++) {
        int left = run->n_validation - from, n = left < run->block_of_losses ? left : run->block_of_losses;
        FOR_EACH(part, PARTS) {
            double sum = 0.0;
            for (int i = part; i < n; i += PARTS) sum = add_f64(sum, parts.losses[from + i]);
            parts.parts[part] = sum;
        }
        BARRIER();
        blocks[block % PARTS] = add_f64(blocks[block % PARTS], join(parts.parts));
        BARRIER();
    }
    FOR_EACH(i, 1) parts.curve[point] = quotient_f64(join(blocks), (double)run->n_validation);
    BARRIER();
}

// Loss and gradient of one batch.
HERE void find_gradient(const Run *run, const float *constants, Parts parts, int step) {
    int sums = sums_of(run);
    unsigned long long first = (unsigned long long)step * (unsigned)run->batch;
    find_similarities(run, parts);
    FOR_EACH(p, run->batch) {
        pass(run, constants, parts.parameters, parts.similarities, first + (unsigned)p, own_columns(run, parts, p));
    }
    BARRIER();
    FOR_EACH(i, rows_of(run) * sums) {
        Column own;
        own.first = parts.sums + i % sums;
        own.stride = sums;
        if (is_linear_stack(run)) add_linear_stack_row(run, i / sums, i % sums, parts.prompts, own);
        else add_row(run, row_of(run, i / sums), i % sums, parts.prompts, own);
    }
    FOR_EACH(i, sums) parts.sums[(long long)run->n_parameters * sums + i] = add_losses(run, i, parts.prompts);
    BARRIER();
    FOR_EACH(i, run->n_parameters) parts.gradient[i] = joined(run, parts.sums + (long long)i * sums);
    BARRIER();
}

HERE int is_finite(float x) { return (bits_of(x) & 0x7f800000u) != 0x7f800000u; }

// What the step's loss and gradient say; the same in every thread.
HERE int status_of(const Run *run, Parts parts) {
    if (!is_finite(joined(run, parts.sums + (long long)run->n_parameters * sums_of(run)))) return LOSS_NOT_FINITE;
    FOR_EACH(i, 1) parts.parts[0] = 1.0;
    BARRIER();
    FOR_EACH(i, run->n_parameters) if (!is_finite(parts.gradient[i])) parts.parts[0] = 0.0;
    BARRIER();
    int finite = parts.parts[0] == 1.0;
    BARRIER();
    return finite ? RUN_WELL : GRADIENT_NOT_FINITE;
}

// Keeps the parameters before a step that is watched; how many are kept.
HERE int keep(const Run *run, const float *constants, Parts parts, int step, int kept) {
    if (kept == run->n_watched || constants[run->watched_at + kept] != of_int(step)) return kept;
    float *place = parts.watched + (long long)kept * run->n_parameters;
    FOR_EACH(i, run->n_parameters) place[i] = parts.parameters[i];
    return kept + 1;
}

// min(1, clip / |g|); 1 where clip is 0.
HERE float clip_factor(const Run *run, Parts parts) {
    if (run->clip == 0.0) return 1.0f;
    FOR_EACH(part, PARTS) {
        double sum = 0.0;
        for (int i = part; i < run->n_parameters; i += PARTS) {
            double g = (double)parts.gradient[i];
            sum = add_f64(sum, mul_f64(g, g));
        }
        parts.parts[part] = sum;
    }
    BARRIER();
    double norm = root_f64(join(parts.parts));
    BARRIER();
    return norm > run->clip ? narrow(quotient_f64(run->clip, norm)) : 1.0f;
}

HERE void update(const Run *run, const float *constants, Parts parts, int step) {
    const float *schedule = constants + run->schedule_at + 3 * (long long)step;
    float own = schedule[0], kept = schedule[1], correction = schedule[2];
    float b1 = run->beta1, b2 = run->beta2, scale = clip_factor(run, parts);
    FOR_EACH(i, run->n_parameters) {
        float g = mul(parts.gradient[i], scale);
        float m = two_products(b1, parts.first[i], sub(1.0f, b1), g);
        float v = add(mul(b2, parts.second[i]), mul(mul(sub(1.0f, b2), g), g));
        float w = parts.parameters[i];
        float move = quotient(mul(own, m), add(root(mul(v, correction)), run->epsilon));
        parts.first[i] = m;
        parts.second[i] = v;
        parts.parameters[i] = sub(mul(kept, w), move);
    }
    BARRIER();
}

// The steps first .. end of a run, as many of them as it has; it goes on from what the steps before have left.
HERE void train_run(const Run *run, const float *constants, float *state, float *work, double *doubles,
                    Ending *ending, int first, int end) {
    Parts parts = parts_of(run, state, work, doubles);
    int point = (first + run->validate_every - 1) / run->validate_every, kept = 0;
    int status = ending->status, step = ending->step;
    BARRIER();
    while (kept < run->n_watched && constants[run->watched_at + kept] < of_int(first)) kept++;
    for (; step < run->steps && step < end && status == RUN_WELL; step++) {
        kept = keep(run, constants, parts, step, kept);
        if (step % run->validate_every == 0) validate(run, constants, parts, point++);
        find_gradient(run, constants, parts, step);
        status = status_of(run, parts);
        if (status == RUN_WELL) update(run, constants, parts, step);
    }
    if (step == run->steps) keep(run, constants, parts, step, kept);
    FOR_EACH(i, 1) {
        ending->status = status;
        ending->step = step;
    }
}

// Losses of the prompts first .. first + n of a run's test set under its parameters.
HERE void losses_of(const Run *run, const float *constants, float *state, float *work, Column columns, long long first,
                    long long n, double *losses) {
    Parts parts = parts_of(run, state, work, losses);
    FOR_EVERY(i, n) {
        Column own = columns;
        own.first += OWN_COLUMN_OF_ALL;
        losses[i] = loss(run, &run->test, constants, parts.parameters, parts.similarities,
                         (unsigned long long)(first + i), take_prompt(run, own));
    }
}

#ifdef __CUDACC__

extern "C" __global__ void __launch_bounds__(512) train(const Run *runs, const float *constants, float *state, float *work, double *doubles,
                                 Ending *endings, int first, int end) {
    int b = (int)blockIdx.x;
    train_run(&runs[b], constants, state, work, doubles, &endings[b], first, end);
}

extern "C" __global__ void __launch_bounds__(512) prepare_test(const Run *run, float *state, float *work) {
    find_similarities(run, parts_of(run, state, work, (double *)0));
}

extern "C" __global__ void __launch_bounds__(512) test(const Run *run, const float *constants, float *state, float *work, float *columns,
                                long long stride, long long first, long long n, double *losses) {
    Column own;
    own.first = columns;
    own.stride = stride;
    losses_of(run, constants, state, work, own, first, n, losses);
}

#else

#ifndef ENTRY
#define ENTRY(name) name
#endif

// The same launches on a host: block after block.
void ENTRY(icl_train)(const Run *runs, int n_runs, const float *constants, float *state, float *work, double *doubles,
                      Ending *endings, int first, int end) {
    for (int b = 0; b < n_runs; b++) train_run(&runs[b], constants, state, work, doubles, &endings[b], first, end);
}

void ENTRY(icl_test)(const Run *run, const float *constants, float *state, float *work, float *columns,
                     long long stride, long long first, long long n, double *losses) {
    Column own;
    own.first = columns;
    own.stride = stride;
    find_similarities(run, parts_of(run, state, work, losses));
    losses_of(run, constants, state, work, own, first, n, losses);
}

// Numbers in one prompt's columns.
long long ENTRY(icl_numbers_per_prompt)(const Run *run) {
    Column none;
    none.first = (float *)0;
    none.stride = 1;
    Column rest = take_prompt(run, none).heads;
    if (is_linear_stack(run)) rest = from(rest, numbers_of_linear_stack(run));
    for (int h = 0; !is_linear_stack(run) && !is_stack(run) && h < run->n_heads; h++) take_head(run, &rest);
    for (int layer = 0; layer < run->layers; layer++) take_layer(run, layer, &rest);
    return rest.first - none.first;
}

// Weights of attention from an exponent, for a test.
float ENTRY(icl_exp_normal)(float x) { return exp_normal(x); }
float ENTRY(icl_exp2_normal)(float x) { return exp2_normal(x); }

long long ENTRY(icl_size_of_run)(void) { return sizeof(Run); }

#endif
