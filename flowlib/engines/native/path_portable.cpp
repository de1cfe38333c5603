// For any processor: aarch64 gets NEON from the compiler, older x86 gets SSE.
#include "plan.h"
#include "vector_portable.h"
#include "run.h"

namespace fused {
static void run(const Plan& plan, const float* x, const float* c, float* z, float* ladj, std::ptrdiff_t n) {
#ifdef __aarch64__
    run_plan<V8, V8, 3>(plan, x, c, z, ladj, n);  // 24 of 32 registers hold sums
#else
    run_plan<V8, V8, 1>(plan, x, c, z, ladj, n);
#endif
}
extern const Path kPortable = {"portable", 8, [] { return true; }, run};
}  // namespace fused
