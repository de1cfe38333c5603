// WIDE: a function that is made for wider registers too, which it uses where the processor has them. Its operations are
// the same ones, and so are the bits of its results.
#pragma once

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

// Made within whatever calls it, for the registers of that.
#if defined(__GNUC__) || defined(__clang__)
#define WITHIN inline __attribute__((always_inline))
#else
#define WITHIN inline
#endif
