// Elementary functions: operation by operation those of `icl_numerics::elementary`, which states their errors.
#ifndef ELEMENTARY_H
#define ELEMENTARY_H
#include "platform.h"

// 1.5 * 2^23: adding and subtracting it rounds to the nearest integer.
#define ROUND 12582912.0f
#define ROUND_BITS 0x4b400000u
#define LOG2_E 1.44269504088896340735992468100189214f
#define LN_2_HIGH 0.693147180559945309417232121458176568f
#define LN_2_LOW -1.9046542e-9f
#define TWO_OVER_PI 0.636619772367581343075535053490057448f
#define HALF_PI_HIGH 1.57079632679489661923132169163975144f
#define HALF_PI_MIDDLE -4.371139e-8f
#define HALF_PI_LOW -1.7151245e-15f

TABLE EXP[6] = {0.5f, 1.6666666e-1f, 4.1666295e-2f, 8.333498e-3f, 1.3944705e-3f, 1.9790303e-4f};
TABLE EXP2[6] = {6.931472e-1f, 2.4022648e-1f, 5.5503596e-2f, 9.618499e-3f, 1.3390972e-3f, 1.5329332e-4f};
TABLE LN[9] = {3.3333313e-1f,  -2.500001e-1f, 2.0002119e-1f,  -1.6667996e-1f, 1.4219551e-1f,
               -1.24055915e-1f, 1.1888175e-1f, -1.1675641e-1f, 6.746601e-2f};
TABLE SIN[4] = {-1.6666667e-1f, 8.333329e-3f, -1.9839309e-4f, 2.718084e-6f};
TABLE COS[4] = {4.1666668e-2f, -1.3888883e-3f, 2.4799456e-5f, -2.72054e-7f};
TABLE TANH[9] = {-3.3333334e-1f, 1.3333358e-1f, -5.3970136e-2f, 2.1874363e-2f, -8.856954e-3f,
                 3.525497e-3f,   -1.2844448e-3f, 3.5823788e-4f, -5.2642365e-5f};

// Horner's rule; c[i] multiplies x^i.
HERE float polynomial(const float *c, int n, float x) {
    float y = c[n - 1];
    for (int i = n - 2; i >= 0; i--) y = mul_add(y, x, c[i]);
    return y;
}

// e^x from its reduced argument: the mantissa's part, and the integer in the low bits of `bits`.
HERE float exp_reduced(float x, unsigned *bits) {
    float shifted = add(mul(x, LOG2_E), ROUND);
    float n = sub(shifted, ROUND);
    *bits = bits_of(shifted);
    float r = mul_add(n, -LN_2_HIGH, x);
    r = mul_add(n, -LN_2_LOW, r);
    return add(mul_add(mul(r, r), polynomial(EXP, 6, r), r), 1.0f);
}

HERE float power_of_two(unsigned n) { return of_bits((n + 127u) << 23); }

// e^x over the whole range.
HERE float exponential(float x) {
    unsigned bits;
    float y = exp_reduced(smaller(89.0f, larger(-105.0f, x)), &bits);
    unsigned n = bits - ROUND_BITS;
    unsigned half = (unsigned)((int)n >> 1);
    return mul(mul(y, power_of_two(half)), power_of_two(n - half));
}

// y with n, the low bits of a word, added to its exponent. A NaN stays one: a GPU's has bits that would carry over.
HERE float scaled(float y, unsigned n) { return y == y ? of_bits(bits_of(y) + (n << 23)) : y; }

// e^x, clamped to -87 .. 88.
HERE float exp_normal(float x) {
    unsigned bits;
    float y = exp_reduced(smaller(88.0f, larger(-87.0f, x)), &bits);
    return scaled(y, bits);
}

// 2^x, clamped to -126 .. 127.
HERE float exp2_normal(float x) {
    x = smaller(127.0f, larger(-126.0f, x));
    float shifted = add(x, ROUND);
    float f = sub(x, sub(shifted, ROUND));
    float y = mul_add(f, polynomial(EXP2, 6, f), 1.0f);
    return scaled(y, bits_of(shifted));
}

// Logarithm of a positive normal number.
HERE float logarithm(float x) {
    unsigned offset = bits_of(x) - 0x3f3504f3u;
    float e = of_int((int)offset >> 23);
    float f = sub(of_bits((offset & 0x007fffffu) + 0x3f3504f3u), 1.0f);
    float z = mul(f, f);
    float tail = mul(mul(f, z), polynomial(LN, 9, f));
    tail = mul_add(e, LN_2_LOW, tail);
    tail = mul_add(-0.5f, z, tail);
    return mul_add(e, LN_2_HIGH, add(f, tail));
}

// Sine and cosine for |x| <= 8192.
HERE void sine_cosine(float x, float *sine, float *cosine) {
    float shifted = add(mul(x, TWO_OVER_PI), ROUND);
    float k = sub(shifted, ROUND);
    unsigned bits = bits_of(shifted);
    float exact = mul_add(k, -HALF_PI_HIGH, x);
    float product = mul(k, -HALF_PI_MIDDLE);
    float product_low = mul_add(k, -HALF_PI_MIDDLE, negated(product));
    float r = add(exact, product);
    float product_part = sub(r, exact);
    float exact_part = sub(r, product_part);
    float lost = add(sub(exact, exact_part), sub(product, product_part));
    float low = mul_add(k, -HALF_PI_LOW, add(lost, product_low));
    float z = mul(r, r);
    float s = add(mul_add(mul(r, z), polynomial(SIN, 4, z), low), r);
    float head = mul_add(-0.5f, z, 1.0f);
    lost = mul_add(-0.5f, z, sub(1.0f, head));
    lost = mul_add(negated(r), low, lost);
    float c = add(head, mul_add(mul(z, z), polynomial(COS, 4, z), lost));
    int odd = bits & 1u;
    *sine = of_bits(bits_of(odd ? c : s) ^ ((bits & 2u) << 30));
    *cosine = of_bits(bits_of(odd ? s : c) ^ (((bits + 1u) & 2u) << 30));
}

HERE float hyperbolic_tangent(float x) {
    float a = magnitude(x);
    float z = mul(a, a);
    float z_low = mul_add(a, a, negated(z));
    float rest = mul(mul(z, z), polynomial(TANH + 1, 8, z));
    float correction = mul_add(TANH[0], z, mul_add(TANH[0], z_low, rest));
    float small = mul_add(correction, a, a);
    float e = exponential(add(a, a));
    float large = sub(1.0f, quotient(2.0f, add(e, 1.0f)));
    float y = a > 1.0f ? large : small;
    return of_bits(bits_of(y) ^ (bits_of(x) & 0x80000000u));
}

// The tanh form of GELU and its derivative.
HERE float gelu(float x, float *slope) {
    const float scale = 1.5957691216057308f;
    float square = mul(x, x);
    float twice = mul(mul(scale, x), mul_add(0.044715f, square, 1.0f));
    float twice_slope = mul(scale, mul_add(0.134145f, square, 1.0f));
    float gate = quotient(1.0f, add(1.0f, exp_normal(negated(twice))));
    float bell = mul(gate, sub(1.0f, gate));
    *slope = mul_add(mul(x, bell), twice_slope, gate);
    return mul(x, gate);
}

#endif
