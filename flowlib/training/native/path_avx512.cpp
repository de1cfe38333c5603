// Everything below the pragma is compiled for AVX-512 and called only where the processor has it. Standard headers come
// first: none of their functions may be compiled for more than the build asked for.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "../../engines/native/plan.h"
#include "plan.h"

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
#include "../../engines/native/vector_avx512.h"
#include "adam.h"
#include "normals.h"
#include "pass.h"

namespace gradients {
static void run(const Plan& plan, const Batch& batch) { run_batch<V16, 12>(plan, batch); }
static bool step(const Step& each) { return adam<V16>(each); }
static void draw(const std::uint64_t* words, float* out, std::ptrdiff_t n) { normals<V16>(words, out, n); }
#if defined(__clang__)
#pragma clang attribute pop
#endif
static bool available() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
extern const Path kAvx512 = {"avx512", available, run, step, draw};
}  // namespace gradients
#else
namespace gradients {
extern const Path kAvx512 = {"avx512", [] { return false; }, nullptr, nullptr, nullptr};
}
#endif
