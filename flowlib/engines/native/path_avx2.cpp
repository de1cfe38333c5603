// As path_avx512.cpp, for AVX2 with FMA.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

#include "plan.h"

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include "vector_avx2.h"
#include "run.h"

namespace fused {
static void run(const Plan& plan, const float* x, const float* c, float* z, float* ladj, std::ptrdiff_t n) {
    run_plan<V8, V8, 3>(plan, x, c, z, ladj, n);
}
#if defined(__clang__)
#pragma clang attribute pop
#endif
static bool available() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
extern const Path kAvx2 = {"avx2", 8, available, run};
}  // namespace fused
#else
namespace fused {
extern const Path kAvx2 = {"avx2", 8, [] { return false; }, nullptr};
}
#endif
