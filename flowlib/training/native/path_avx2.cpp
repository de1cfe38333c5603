// As path_avx512.cpp, for AVX2 with FMA.
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
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include "../../engines/native/vector_avx2.h"
#include "adam.h"
#include "normals.h"
#include "pass.h"

namespace gradients {
static void run(const Plan& plan, const Batch& batch) { run_batch<V8, 6>(plan, batch); }
static bool step(const Step& each) { return adam<V8>(each); }
static void draw(const std::uint64_t* words, float* out, std::ptrdiff_t n) { normals<V8>(words, out, n); }
#if defined(__clang__)
#pragma clang attribute pop
#endif
static bool available() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
extern const Path kAvx2 = {"avx2", available, run, step, draw};
}  // namespace gradients
#else
namespace gradients {
extern const Path kAvx2 = {"avx2", [] { return false; }, nullptr, nullptr, nullptr};
}
#endif
