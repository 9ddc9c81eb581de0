// Weight gradients: outer products of what every prompt left, summed as on a processor. Per lane within a chunk of
// groups, prompt after prompt; then the chunks in order; then the lanes as a tree.
#ifndef GRADIENT_H
#define GRADIENT_H
#include "pass.h"

// Which factors a row has: `a` gives its entry, `b` its columns; a bias has no `b`.
enum { OF_QUERIES, OF_KEYS, OF_VALUES, OF_KEYS_V, OF_KEYS_U, OF_VALUES_V, OF_VALUES_U, OF_W_1, OF_W_2, OF_B_1, OF_B_2 };

// A row of a weight gradient: `scale sum_j a_j b_j^T` over `n` tokens of every head that shares the weight.
typedef struct {
    int kind, layer;
    int head, n_heads;     // the first head that adds to it, and how many do
    int place;             // of its first entry in the parameters
    int row, n_rows;       // which entry of a_j
    int n_columns;
    int n;                 // tokens, 0 where the row has no gradient
    float scale;
} Row;

HERE int rows_of_map(const Run *run, const Map *g) { return g->form == MLP ? g->hidden + d_of(run) : 0; }

// Rows of one layer: projections head by head, the maps g2 and g1, the feed-forward part.
HERE int rows_of_layer(const Run *run) {
    int d = d_of(run), feed_forward = is_stack(run) ? run->d_ff + d + 2 : 0;
    return 3 * run->n_heads * d + rows_of_map(run, &run->keys) + rows_of_map(run, &run->values) + feed_forward;
}

HERE int rows_of(const Run *run) {
    if (is_linear_stack(run)) return run->n_parameters / run->d_t;
    return rows_of_layer(run) * (is_stack(run) ? run->layers : 1);
}

HERE Row projection_row(const Run *run, int layer, int i) {
    int d = d_of(run), which = i / (run->n_heads * d);
    Row row;
    row.kind = which == 0 ? OF_QUERIES : which == 1 ? OF_KEYS : OF_VALUES;
    row.layer = layer;
    row.head = i / d % run->n_heads;
    row.n_heads = 1;
    row.row = i % d;
    row.n_rows = d;
    row.n_columns = d;
    row.n = tokens_of(run);
    row.scale = which == 2 ? 1.0f : run->scale;
    row.place = (which == 0 ? run->w_q_at : which == 1 ? run->w_k_at : run->w_v_at) + i % (run->n_heads * d) * d;
    if (which == 0) row.n = is_stack(run) ? queries_of(run, layer) : 1;
    if (is_stack(run)) return row;
    // keys and values that are not formed have one outer product
    if (which == 1 && !forms_keys(run)) row.n = 1;
    if (which == 2 && !forms_values(run)) {
        row.n = row.row < run->d_t ? 0 : 1;
        row.row -= run->d_t;
        row.n_rows = run->d_s;
    }
    return row;
}

HERE Row map_row(const Run *run, const Map *g, int layer, int i, int kind_of_v, int kind_of_u) {
    int d = d_of(run), of_v = i < g->hidden;
    Row row;
    row.kind = of_v ? kind_of_v : kind_of_u;
    row.layer = layer;
    row.head = 0;
    row.n_heads = run->n_heads;
    row.row = of_v ? i : i - g->hidden;
    row.n_rows = of_v ? g->hidden : d;
    row.n_columns = of_v ? d : g->hidden;
    row.n = run->n_demos;
    row.scale = of_v ? 1.0f : g->scale;
    row.place = (of_v ? g->v_at : g->u_at) + row.row * row.n_columns;
    return row;
}

// W_2 row by row, W_1 row by row, then both biases as one row each.
HERE Row feed_forward_row(const Run *run, int layer, int i) {
    int d = d_of(run), d_ff = run->d_ff, of_w_2 = i < d, of_w_1 = !of_w_2 && i < d + d_ff, of_b_2 = i == d + d_ff;
    Row row;
    row.kind = of_w_2 ? OF_W_2 : of_w_1 ? OF_W_1 : of_b_2 ? OF_B_2 : OF_B_1;
    row.layer = layer;
    row.head = 0;
    row.n_heads = 1;
    row.row = of_w_2 ? i : of_w_1 ? i - d : 0;
    row.n_rows = of_w_2 || of_b_2 ? d : d_ff;
    row.n_columns = of_w_2 ? d_ff : of_w_1 ? d : row.n_rows;
    row.n = queries_of(run, layer);
    row.scale = 1.0f;
    row.place = of_w_2 ? run->w_2_at : of_w_1 ? run->w_1_at : of_b_2 ? run->b_2_at : run->b_1_at;
    row.place += row.row * row.n_columns;
    return row;
}

HERE Row row_of(const Run *run, int i) {
    int layer = i / rows_of_layer(run), projections = 3 * run->n_heads * d_of(run);
    int of_keys = rows_of_map(run, &run->keys), of_values = rows_of_map(run, &run->values);
    Row row;
    i %= rows_of_layer(run);
    if (i < projections) {
        row = projection_row(run, layer, i);
    } else if ((i -= projections) < of_keys) {
        row = map_row(run, &run->keys, layer, i, OF_KEYS_V, OF_KEYS_U);
    } else if ((i -= of_keys) < of_values) {
        row = map_row(run, &run->values, layer, i, OF_VALUES_V, OF_VALUES_U);
    } else {
        row = feed_forward_row(run, layer, i - of_values);
    }
    row.place += layer * run->layer_stride;
    return row;
}

HERE void factors_of_map(MapColumns map, int of_v, Column *a, Column *b) {
    *a = of_v ? map.slope : map.after;
    *b = of_v ? map.x : map.active;
}

// The factors of an attention layer's row for the first prompt and head `h`.
HERE void factors_of_layer(const Run *run, Row row, Prompt prompt, int h, Column *a, Column *b) {
    Head s = head_of(run, prompt, h);
    *b = prompt.tokens;
    switch (row.kind) {
    case OF_QUERIES: *a = s.d_q, *b = from(prompt.tokens, run->n_demos * d_of(run)); break;
    case OF_KEYS:
        *a = forms_keys(run) ? s.d_keys : s.q;
        if (!forms_keys(run)) *b = s.d_vector;
        break;
    case OF_VALUES:
        *a = forms_values(run) ? s.d_values : prompt.d_out;
        if (!forms_values(run)) *b = s.z;
        break;
    case OF_KEYS_V: case OF_KEYS_U: factors_of_map(s.keys_map, row.kind == OF_KEYS_V, a, b); break;
    default: factors_of_map(s.values_map, row.kind == OF_VALUES_V, a, b); break;
    }
}

// The same in a stack.
HERE void factors_of_stack(const Run *run, Row row, Prompt prompt, int h, Column *a, Column *b) {
    Layer layer = layer_of(run, prompt, row.layer);
    StackHead s = stack_head_of(run, row.layer, layer, h);
    int first = tokens_of(run) - queries_of(run, row.layer);
    *b = inputs_of(run, prompt, row.layer);
    switch (row.kind) {
    case OF_QUERIES: *a = s.d_q, *b = from(*b, first * d_of(run)); break;
    case OF_KEYS: *a = s.d_keys; break;
    case OF_VALUES: *a = s.d_values; break;
    case OF_KEYS_V: case OF_KEYS_U: factors_of_map(s.keys_map, row.kind == OF_KEYS_V, a, b); break;
    case OF_VALUES_V: case OF_VALUES_U: factors_of_map(s.values_map, row.kind == OF_VALUES_V, a, b); break;
    case OF_W_1: *a = layer.d_active, *b = layer.a; break;
    case OF_W_2: *a = layer.d_z, *b = layer.active; break;
    case OF_B_1: *a = layer.d_active; break;
    default: *a = layer.d_z; break;
    }
}

HERE void factors(const Run *run, Row row, Prompt prompt, int h, Column *a, Column *b) {
    if (is_stack(run)) factors_of_stack(run, row, prompt, h, a, b);
    else factors_of_layer(run, row, prompt, h, a, b);
}

// Chunks of a batch, one sum for each lane of each.
HERE int sums_of(const Run *run) { return (run->batch / LANES + CHUNK - 1) / CHUNK * LANES; }

// Prompts of a chunk's lane: its first, and the one behind its last, in steps of LANES.
HERE int first_of(int sum) { return sum / LANES * (CHUNK * LANES) + sum % LANES; }
HERE int behind_of(const Run *run, int sum) {
    int behind = (sum / LANES + 1) * (CHUNK * LANES);
    return behind < run->batch ? behind : run->batch;
}

// Row i of all weights' rows, of one chunk's lane, into `sums` [n_parameters, sums].
APART void add_linear_stack_row(const Run *run, int i, int sum, Column prompts, Column sums) {
    int d = run->d_t;
    for (int c = 0; c < d; c++) {
        float total = 0.0f;
        for (int p = first_of(sum); p < behind_of(run, sum); p += LANES) {
            Column own = prompts;
            own.first += p;
            total = linear_stack_entry(run, take_prompt(run, own), i / d, i % d, c, total);
        }
        *at(sums, i * d + c) = total;
    }
}

// One row's gradient of one chunk's lane, into `sums` [n_parameters, sums].
APART void add_row(const Run *run, Row row, int sum, Column prompts, Column sums) {
    Prompt prompt = take_prompt(run, prompts);
    Column a, b, next_a, next_b;
    // heads lie in equal steps, and prompts side by side
    factors(run, row, prompt, row.head, &a, &b);
    factors(run, row, prompt, row.head + 1, &next_a, &next_b);
    long long step_a = next_a.first - a.first, step_b = next_b.first - b.first;
    int bias = row.kind == OF_B_1 || row.kind == OF_B_2;
    for (int c = 0; c < row.n_columns; c++) {
        float total = 0.0f;
        for (int p = first_of(sum); row.n > 0 && p < behind_of(run, sum); p += LANES) {
            for (int h = 0; h < row.n_heads; h++) {
                const float *own_a = a.first + p + h * step_a, *own_b = b.first + p + h * step_b;
                for (int j = 0; j < row.n; j++) {
                    if (bias) {
                        total = add(total, own_a[(j * row.n_rows + c) * a.stride]);
                        continue;
                    }
                    float left = mul(row.scale, own_a[(j * row.n_rows + row.row) * a.stride]);
                    total = mul_add(left, own_b[(j * row.n_columns + c) * b.stride], total);
                }
            }
        }
        *at(sums, row.place + c) = total;
    }
}

// The loss of one chunk's lane.
HERE float add_losses(const Run *run, int sum, Column prompts) {
    float total = 0.0f;
    for (int p = first_of(sum); p < behind_of(run, sum); p += LANES) {
        Column own = prompts;
        own.first += p;
        Prompt prompt = take_prompt(run, own);
        if (is_linear_stack(run)) {
            total = mul_add(*prompt.error.first, run->prompt_weight, total);
            continue;
        }
        for (int s = 0; s < run->d_s; s++) {
            total = mul_add(mul(0.5f, *at(prompt.error, s)), *at(prompt.d_out, s), total);
        }
    }
    return total;
}

// The chunks in order, then the lanes as a tree.
HERE float joined(const Run *run, const float *sums) {
    float lanes[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        lanes[lane] = sums[lane];
        for (int sum = lane + LANES; sum < sums_of(run); sum += LANES) lanes[lane] = add(lanes[lane], sums[sum]);
    }
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int lane = 0; lane < width; lane++) lanes[lane] = add(lanes[lane], lanes[lane + width]);
    }
    return lanes[0];
}

#endif
