// For any processor: aarch64 gets NEON from the compiler, older x86 gets SSE.
#include "../../engines/native/vector_portable.h"
#include "adam.h"
#include "normals.h"
#include "pass.h"

namespace gradients {
static void run(const Plan& plan, const Batch& batch) {
#ifdef __aarch64__
    run_batch<V8, 6>(plan, batch);
#else
    run_batch<V8, 2>(plan, batch);
#endif
}
static bool step(const Step& each) { return adam<V8>(each); }
static void draw(const std::uint64_t* words, float* out, std::ptrdiff_t n) { normals<V8>(words, out, n); }
extern const Path kPortable = {"portable", [] { return true; }, run, step, draw};
}  // namespace gradients
