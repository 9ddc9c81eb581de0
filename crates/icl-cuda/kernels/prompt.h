// Prompts from named streams: word by word those of `icl_model::prompt`.
#ifndef PROMPT_H
#define PROMPT_H
#include "elementary.h"
#include "layer.h"

// The words of one prompt, block by block of ChaCha8.
typedef struct {
    const unsigned *key;
    unsigned low, high, block;
    int used;
    unsigned buffer[16];
} Words;

HERE unsigned rotated(unsigned x, int k) { return (x << k) | (x >> (32 - k)); }

HERE void quarter(unsigned *x, int a, int b, int c, int d) {
    x[a] += x[b];
    x[d] = rotated(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = rotated(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = rotated(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = rotated(x[b] ^ x[c], 7);
}

APART void next_block(Words *words) {
    unsigned start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
    for (int i = 0; i < 8; i++) start[4 + i] = words->key[i];
    start[12] = words->block++;
    start[13] = 0;
    start[14] = words->low;
    start[15] = words->high;
    unsigned *x = words->buffer;
    for (int i = 0; i < 16; i++) x[i] = start[i];
    for (int i = 0; i < 4; i++) {
        quarter(x, 0, 4, 8, 12);
        quarter(x, 1, 5, 9, 13);
        quarter(x, 2, 6, 10, 14);
        quarter(x, 3, 7, 11, 15);
        quarter(x, 0, 5, 10, 15);
        quarter(x, 1, 6, 11, 12);
        quarter(x, 2, 7, 8, 13);
        quarter(x, 3, 4, 9, 14);
    }
    for (int i = 0; i < 16; i++) x[i] += start[i];
    words->used = 0;
}

HERE Words words_of(const unsigned *key, unsigned long long prompt) {
    Words words;
    words.key = key;
    words.low = (unsigned)prompt;
    words.high = (unsigned)(prompt >> 32);
    words.block = 0;
    words.used = 16;
    return words;
}

HERE unsigned next_word(Words *words) {
    if (words->used == 16) next_block(words);
    return words->buffer[words->used++];
}

#define EPSILON 1.1920929e-7f
#define PI 3.14159265358979323846264338327950288f

// Uniform in [-1, 1).
HERE float symmetric_uniform(Words *words) {
    return mul_add(of_int((int)(next_word(words) >> 8)), EPSILON, -1.0f);
}

HERE void normal_pair(Words *words, float *a, float *b) {
    unsigned radius_word = next_word(words);
    unsigned angle_word = next_word(words);
    float u = mul_add(of_int((int)(radius_word >> 8)), EPSILON / 2.0f, EPSILON / 4.0f);
    float radius = root(mul(-2.0f, logarithm(u)));
    float sine, cosine;
    sine_cosine(mul(of_int((int)(angle_word >> 8)), PI * EPSILON), &sine, &cosine);
    *a = mul(radius, cosine);
    *b = mul(radius, sine);
}

HERE float sign_of(float u) { return 0.0f > u ? -1.0f : 1.0f; }

HERE float map_entry(Words *words, int map) {
    float u = symmetric_uniform(words);
    if (map == MAP_UNIFORM) return mul(1.7320508f, u);
    float sign = sign_of(u);
    if (map == MAP_SIGNS) return sign;
    return mul(u, sign) > 0.75f ? mul(2.0f, sign) : 0.0f;
}

// W of the prompt, [d_s, d_t] and one entry more where their number is odd.
HERE void draw_map(const Run *run, Words *words, Column map) {
    int n = run->d_s * run->d_t;
    for (int i = 0; i < n; i += 2) {
        if (run->map == MAP_NORMAL) {
            normal_pair(words, at(map, i), at(map, i + 1));
        } else {
            *at(map, i) = map_entry(words, run->map);
            *at(map, i + 1) = map_entry(words, run->map);
        }
    }
}

HERE void choose_from_pool(const Run *run, const Source *source, const float *constants, unsigned long long prompt,
                           Column map) {
    int n = run->d_s * run->d_t;
    Words words = words_of(source->pool_key, prompt);
    unsigned long long task = ((unsigned long long)next_word(&words) * (unsigned)source->pool_size) >> 32;
    const float *own = constants + source->pool_at + (long long)task * n;
    for (int i = 0; i < n; i++) *at(map, i) = own[i];
}

HERE void draw_inputs(const Run *run, Words *words, Column token) {
    float a, b;
    if (run->inputs == INPUTS_UNIFORM) {
        for (int i = 0; i < run->d_t; i++) *at(token, i) = symmetric_uniform(words);
        return;
    }
    for (int i = 0; i < run->d_t; i += 2) {
        normal_pair(words, &a, &b);
        *at(token, i) = a;
        if (i + 1 < run->d_t) *at(token, i + 1) = b;
    }
}

HERE float response(int task, float x) {
    float sine, cosine;
    switch (task) {
    case TASK_SINE: sine_cosine(x, &sine, &cosine); return sine;
    case TASK_COSINE: sine_cosine(x, &sine, &cosine); return cosine;
    case TASK_EXPONENTIAL: return exponential(x);
    case TASK_SHIFTED_EXPONENTIAL: return sub(exponential(x), 1.0f);
    default: return x;
    }
}

// Labels other than the task's own: noise on the demonstrations', a guess in the query's place.
APART void disturb(const Run *run, const Source *source, unsigned long long prompt, Column tokens, Column targets) {
    int d = d_of(run), n_labels = tokens_of(run) * run->d_s;
    Words words = words_of(source->label_key, prompt);
    for (int i = 0; i < n_labels; i += 2) {
        float z[2];
        normal_pair(&words, &z[0], &z[1]);
        for (int k = i; k < i + 2 && k < n_labels; k++) {
            int token = k / run->d_s, s = k % run->d_s;
            float *label = at(tokens, token * d + run->d_t + s);
            if (token < run->n_demos) {
                *label = mul_add(run->noise, z[k - i], *label);
            } else if (run->guessed) {
                *label = mul_add(run->guess, z[k - i], *at(targets, s));
            }
        }
    }
}

// Writes tokens [N + 1, d] and targets [d_s]; `map` is scratch.
APART void sample(const Run *run, const Source *source, const float *constants, unsigned long long prompt, Column map,
                 Column tokens, Column targets) {
    int d = d_of(run);
    Words words = words_of(source->key, prompt);
    draw_map(run, &words, map);
    if (source->pool_size > 0) choose_from_pool(run, source, constants, prompt, map);
    for (int j = 0; j < tokens_of(run); j++) {
        Column token = from(tokens, j * d);
        draw_inputs(run, &words, token);
        for (int s = 0; s < run->d_s; s++) {
            float sum = 0.0f;
            for (int i = 0; i < run->d_t; i++) sum = mul_add(*at(map, s * run->d_t + i), *at(token, i), sum);
            *at(token, run->d_t + s) = response(run->task, mul(sum, run->factor));
        }
    }
    for (int s = 0; s < run->d_s; s++) {
        float *query = at(tokens, run->n_demos * d + run->d_t + s);
        *at(targets, s) = *query;
        *query = 0.0f;
    }
    if (run->noisy) disturb(run, source, prompt, tokens, targets);
}

#endif
