// What a launch computes: one record per run, read by the block that trains it. Mirrored by `src/record.rs`.
#ifndef LAYER_H
#define LAYER_H
#include "platform.h"

#define LANES 16
// Groups of sixteen prompts whose gradients are summed before chunks are, `icl_model::prompt::CHUNK`.
#define CHUNK 8

enum { SOFTMAX = 0, SOFTMAX_WITHOUT_QUERY = 1, LINEAR = 2, POSITIVE = 3 };
enum { IDENTITY = 0, ELEMENTWISE = 1, MLP = 2 };
enum { NO_NEGATIVES = 0, LOWEST = 1, HIGHEST = 2, BY_PLACE = 3 };
enum { TASK_LINEAR = 0, TASK_SINE = 1, TASK_COSINE = 2, TASK_EXPONENTIAL = 3, TASK_SHIFTED_EXPONENTIAL = 4 };
enum { INPUTS_UNIFORM = 0, INPUTS_NORMAL = 1 };
enum { MAP_NORMAL = 0, MAP_UNIFORM = 1, MAP_SIGNS = 2, MAP_SPARSE = 3 };
enum { RUN_WELL = 0, LOSS_NOT_FINITE = 1, GRADIENT_NOT_FINITE = 2 };

// Prompts of a named stream.
typedef struct {
    unsigned key[8];
    unsigned label_key[8];
    unsigned pool_key[8];
    // Tasks of the pool, 0 without one, and the place of their maps in the constants.
    int pool_size;
    int pool_at;
} Source;

// g: its form, its hidden units, its scale, and the places of its variables in the parameters.
typedef struct {
    int form;
    int hidden;
    float scale;
    int v_at;
    int u_at;
} Map;

typedef struct {
    // places of the run's own parts in the common buffers
    long long state_at;    // parameters, first moments, second moments, gradient, and watched parameters: n_parameters each
    long long work_at;     // accumulators, similarities, then prompts column by column
    long long losses_at;   // losses of the validation set, one a prompt
    long long curve_at;    // mean losses of the validation set along the training
    Source training;
    Source validation;
    Source test;
    // sizes
    int n_demos, d_t, d_s, n_heads;
    int kernel, d_r, omegas_at;
    float scale;           // d^(-1/4)
    float share;           // 1 / N
    double root_of_d;
    // modification
    Map keys, values;
    int negatives, n_negatives;
    float negatives_weight;
    float query_side, shrinkage;
    // prompts
    int task, inputs, map;
    float factor, noise, guess;
    int guessed, noisy;
    // training
    int n_parameters, w_q_at, w_k_at, w_v_at;
    // stack: places are those of the first layer, the others follow in strides; no layers, one attention layer alone
    int layers, layer_stride, d_ff, residual;
    int w_1_at, b_1_at, w_2_at, b_2_at;
    // stack of linear attention: its layers, and the places of sd_i sd_j / N and of (sd_i / sd_j)^2, [d_t, d_t] each
    int linear_layers, moments_at, c_at;
    int steps, batch, n_validation, validate_every;
    int block_of_losses;   // losses are summed in blocks of so many, then the blocks
    int columns;           // prompts that stand side by side in the work
    int schedule_at;       // per step: own step size, share kept by decay, correction of the second moment
    int n_watched;         // steps before which the parameters are kept
    int watched_at;        // these steps, ascending, as numbers
    float prompt_weight;   // 1 / batch
    float beta1, beta2, epsilon;
    double clip;
} Run;

// What the host reads back of a run.
typedef struct {
    int status;
    int step;
} Ending;

// One prompt's array: entry i of it lies `stride` after entry i - 1, so that neighbouring threads touch neighbours.
typedef struct {
    float *first;
    long long stride;
} Column;

HERE float *at(Column x, int i) { return x.first + i * x.stride; }
HERE Column from(Column x, int i) {
    Column rest;
    rest.first = at(x, i);
    rest.stride = x.stride;
    return rest;
}
// The next n entries of the scratch behind `rest`.
HERE Column take(Column *rest, int n) {
    Column taken = *rest;
    *rest = from(*rest, n);
    return taken;
}

HERE int d_of(const Run *run) { return run->d_t + run->d_s; }
HERE int tokens_of(const Run *run) { return run->n_demos + 1; }
// Keys are formed for features and for g2, values for g1.
HERE int forms_keys(const Run *run) { return run->kernel == POSITIVE || run->keys.form != IDENTITY; }
HERE int forms_values(const Run *run) { return run->values.form != IDENTITY; }

#endif
