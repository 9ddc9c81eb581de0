// IEEE arithmetic and the loops of a block, for a GPU and for a host.
//
// On a GPU a block is its threads; on a host the same text is plain loops, one thread after the other, which is the
// same computation because threads meet at barriers only and no loop body reads what another one writes. Every
// operation is spelled out and rounds once: compilers contract nothing, on either side.
#ifndef PLATFORM_H
#define PLATFORM_H

#ifdef __CUDACC__

#define HERE static __device__ __forceinline__
// A function of its own, called from several places: drivers translate the text when they load it.
#define APART static __device__ __noinline__
#define TABLE static __constant__ const float
// The body is run for every i below n, each once, by some thread of the block.
#define FOR_EACH(i, n) for (int i = (int)threadIdx.x; i < (n); i += (int)blockDim.x)
// The same over all blocks of the launch.
#define FOR_EVERY(i, n) \
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (long long)gridDim.x * blockDim.x)
#define BARRIER() __syncthreads()
// Column of scratch that a loop body may use for itself.
#define OWN_COLUMN ((int)threadIdx.x)
#define OWN_COLUMN_OF_ALL ((long long)blockIdx.x * blockDim.x + threadIdx.x)

HERE float add(float a, float b) { return __fadd_rn(a, b); }
HERE float sub(float a, float b) { return __fadd_rn(a, -b); }
HERE float mul(float a, float b) { return __fmul_rn(a, b); }
HERE float quotient(float a, float b) { return __fdiv_rn(a, b); }
HERE float mul_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
HERE float root(float a) { return __fsqrt_rn(a); }
HERE double add_f64(double a, double b) { return __dadd_rn(a, b); }
HERE double sub_f64(double a, double b) { return __dadd_rn(a, -b); }
HERE double mul_f64(double a, double b) { return __dmul_rn(a, b); }
HERE double quotient_f64(double a, double b) { return __ddiv_rn(a, b); }
HERE double root_f64(double a) { return __dsqrt_rn(a); }
HERE unsigned bits_of(float a) { return __float_as_uint(a); }
HERE float of_bits(unsigned a) { return __uint_as_float(a); }
HERE float of_int(int a) { return __int2float_rn(a); }
HERE float narrow(double a) { return __double2float_rn(a); }

#else

#include <math.h>
#include <stdint.h>
#include <string.h>

#define HERE static inline
#define APART static
#define TABLE static const float
#ifdef THREADS_BACKWARDS
#define FOR_EACH(i, n) for (int i = (n) - 1; i >= 0; i--)
#else
#define FOR_EACH(i, n) for (int i = 0; i < (n); i++)
#endif
#define FOR_EVERY(i, n) for (long long i = 0; i < (n); i++)
#define BARRIER()
#define OWN_COLUMN 0
#define OWN_COLUMN_OF_ALL 0

HERE float add(float a, float b) { return a + b; }
HERE float sub(float a, float b) { return a - b; }
HERE float mul(float a, float b) { return a * b; }
HERE float quotient(float a, float b) { return a / b; }
HERE float mul_add(float a, float b, float c) { return fmaf(a, b, c); }
HERE float root(float a) { return sqrtf(a); }
HERE double add_f64(double a, double b) { return a + b; }
HERE double sub_f64(double a, double b) { return a - b; }
HERE double mul_f64(double a, double b) { return a * b; }
HERE double quotient_f64(double a, double b) { return a / b; }
HERE double root_f64(double a) { return sqrt(a); }
HERE unsigned bits_of(float a) {
    unsigned bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
HERE float of_bits(unsigned a) {
    float x;
    memcpy(&x, &a, sizeof x);
    return x;
}
HERE float of_int(int a) { return (float)a; }
HERE float narrow(double a) { return (float)a; }

#endif

// Quiet comparisons: b where either is NaN.
HERE float larger(float a, float b) { return a > b ? a : b; }
HERE float smaller(float a, float b) { return b > a ? a : b; }
HERE float negated(float a) { return of_bits(bits_of(a) ^ 0x80000000u); }
HERE float magnitude(float a) { return of_bits(bits_of(a) & 0x7fffffffu); }

// a b + c d, each product and the sum rounded.
HERE float two_products(float a, float b, float c, float d) {
#ifdef MUTANT_CONTRACTED
    return mul_add(a, b, mul(c, d));
#else
    return add(mul(a, b), mul(c, d));
#endif
}

#define INFINITE of_bits(0x7f800000u)

#endif
