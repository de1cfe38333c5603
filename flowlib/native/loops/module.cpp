// The extension flowlib.native._loops: see loops.h, over NumPy buffers, without copies and without the GIL.
//
// Built against Python's stable ABI and nothing else, so that it needs a compiler and no other package.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "loops.h"

namespace {

using loops::Size;

template <class T>
constexpr const char* codes_of();  // of struct, that elements may have
template <>
constexpr const char* codes_of<float>() { return "f"; }
template <>
constexpr const char* codes_of<double>() { return "d"; }
template <>
constexpr const char* codes_of<bool>() { return "?"; }
template <>
constexpr const char* codes_of<std::uint16_t>() { return "H"; }
template <>
constexpr const char* codes_of<std::int32_t>() { return "il"; }
template <>
constexpr const char* codes_of<std::int64_t>() { return "lq"; }
template <>
constexpr const char* codes_of<std::uint64_t>() { return "LQ"; }

// A buffer, released at the end of its scope; in C order but for its first axis where `apart`. None is an empty one.
// Raises std::invalid_argument.
template <class T>
class View {
public:
    View(PyObject* object, const char* name, bool writable = false, bool apart = false) : name_(name) {
        if (object == Py_None) return;
        const int order = apart ? PyBUF_STRIDES : PyBUF_C_CONTIGUOUS;
        if (PyObject_GetBuffer(object, &view_, order | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0)) < 0) {
            PyErr_Clear();
            fail(writable ? "must be a writable array in C order" : "must be an array in C order");
        }
        held_ = true;
        const char* format = view_.format ? view_.format : "B";
        if (std::strlen(format) != 1 || !std::strchr(codes_of<T>(), *format) || view_.itemsize != sizeof(T))
            fail("has elements of another type");
        if (apart && (view_.ndim != 2 || (view_.shape[1] > 1 && view_.strides[1] != sizeof(T)))) fail("must have rows in one piece");
    }
    ~View() { release(); }
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    Size size() const { return held_ ? view_.len / view_.itemsize : 0; }
    Size axis(int number) {
        if (number >= view_.ndim) fail("has too few axes");
        return view_.shape[number];
    }
    Size stride() const { return view_.strides[0] / static_cast<Size>(sizeof(T)); }
    T* data() const { return held_ ? static_cast<T*>(view_.buf) : nullptr; }
    T* of(Size size) {
        if (this->size() != size) fail("has another length");
        return data();
    }
    void fail(const char* what) {
        release();
        throw std::invalid_argument(std::string(name_) + " " + what);
    }

private:
    void release() {
        if (held_) PyBuffer_Release(&view_);
        held_ = false;
    }
    const char* name_;
    Py_buffer view_{};
    bool held_ = false;
};

// The buffers of a Ladders: (edges, low, scale, until).
template <class T>
struct Table {
    View<T> edges, low, scale;
    View<std::uint16_t> until;
    View<std::int32_t> wide;
    Table(PyObject* const* args, bool is_wide)
        : edges(args[0], "edges"),
          low(args[1], "low"),
          scale(args[2], "scale"),
          until(is_wide ? Py_None : args[3], "until"),
          wide(is_wide ? args[3] : Py_None, "until") {}
    explicit Table(PyObject* const* args) : Table(args, is_wide(args[3])) {}
    loops::Ladders<T> ladders() {
        const Size c = edges.axis(0), b = edges.axis(1), size = until.size() + wide.size();
        if (c < 1 || size % c || size < 2 * c) edges.fail("does not fit its cells");
        return {edges.data(), low.of(c), scale.of(c), until.data(), wide.data(), c, b, size / c - 2};
    }

private:
    static bool is_wide(PyObject* object) {
        Py_buffer view;
        if (PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0) throw std::runtime_error("");
        const bool wide = view.itemsize == sizeof(std::int32_t);
        PyBuffer_Release(&view);
        return wide;
    }
};

// Calls f without the GIL.
template <class F>
void unlocked(F f) {
    PyThreadState* state = PyEval_SaveThread();
    f();
    PyEval_RestoreThread(state);
}

PyObject* none() {
    Py_INCREF(Py_None);
    return Py_None;
}

// Calls f where there are as many arguments as it takes; turns a C++ exception into a Python one.
template <class F>
PyObject* guarded(Py_ssize_t count, Py_ssize_t expected, F f) {
    if (count != expected) {
        PyErr_Format(PyExc_TypeError, "%zd arguments expected, got %zd", expected, count);
        return nullptr;
    }
    try {
        return f();
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

// A number that is handed over; raises std::runtime_error with Python's error set.
double number(PyObject* object) {
    const double value = PyFloat_AsDouble(object);
    if (value == -1.0 && PyErr_Occurred()) throw std::runtime_error("");
    return value;
}

template <class T>
PyObject* places_of(PyObject* const* args) {
    Table<T> table(args);
    const loops::Ladders<T> ladders = table.ladders();
    View<T> values(args[4], "values");
    const bool upto = PyObject_IsTrue(args[5]);
    View<std::int32_t> out(args[6], "out", true);
    std::int32_t* to = out.of(values.size());
    unlocked([&] { loops::places(ladders, values.data(), values.size() / ladders.c, upto, to); });
    return none();
}

PyObject* places(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 8, [&] { return PyObject_IsTrue(args[7]) ? places_of<double>(args) : places_of<float>(args); });
}

PyObject* rarities(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 9, [&]() -> PyObject* {
        Table<double> table(args);
        const loops::Ladders<double> ladders = table.ladders();
        View<double> values(args[4], "values"), by_place(args[6], "by_place"), out(args[7], "out", true);
        View<std::int64_t> beyond(args[8], "beyond", true);
        const double sign = number(args[5]);
        const Size n = values.size();
        const double* from = by_place.of(ladders.b + 1);
        double* to = out.of(n);
        std::int64_t* far = beyond.of(n);
        Size found = 0;
        unlocked([&] { found = loops::looked_up(ladders, values.data(), n, sign, from, to, far); });
        return PyLong_FromSsize_t(found);
    });
}

PyObject* among(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 11, [&]() -> PyObject* {
        Table<double> table(args);
        const loops::Ladders<double> ladders = table.ladders();
        View<double> values(args[4], "values"), by_place(args[5], "by_place"), out(args[6], "out", true);
        View<std::int64_t> beyond(args[7], "beyond", true), tied(args[8], "tied", true);
        View<std::int64_t> below(args[9], "below", true), above(args[10], "above", true);
        const Size n = values.size();
        const double* from = by_place.of(ladders.b + 1);
        double* to = out.of(n);
        std::int64_t *far = beyond.of(n), *same = tied.of(n), *under = below.of(n), *over = above.of(n);
        loops::Among found{0, 0};
        unlocked([&] { found = loops::looked_up(ladders, values.data(), n, from, to, far, same, under, over); });
        return Py_BuildValue("nn", found.beyond, found.tied);
    });
}

PyObject* event_scores(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 12, [&]() -> PyObject* {
        View<float> edges(args[0], "edges"), low(args[1], "low"), scale(args[2], "scale"), z(args[6], "z");
        View<std::uint16_t> until(args[3], "until");
        View<std::int64_t> codes(args[4], "codes"), bins(args[5], "bins");
        const Size c = edges.axis(0), d = c - 1, width = edges.axis(1), cells = until.axis(1) - 2;
        if (c < 1 || width < 1 || cells < 0) edges.fail("has no edges");
        const loops::Steps steps{edges.data(),          low.of(c),          scale.of(c), until.of(c * (cells + 2)),
                                 codes.of(c * width), bins.of(d * width), c,           width - 1,
                                 cells};
        View<double> surprise(args[7], "surprise");
        View<bool> present(args[8], "present"), scorable(args[9], "scorable");
        View<std::int64_t> base(args[10], "base", true), pit(args[11], "pit", true);
        const Size n = surprise.size();
        const float* from = z.of(n * d);
        const bool *there = args[8] == Py_None ? nullptr : present.of(n * d),
                   *ok = args[9] == Py_None ? nullptr : scorable.of(n);
        std::int64_t *to = base.of(n * c), *into = pit.of(n * d);
        unlocked([&] { loops::event_scores(steps, from, surprise.data(), there, ok, n, to, into); });
        return none();
    });
}

PyObject* standardised(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 5, [&]() -> PyObject* {
        View<double> x(args[0], "x"), shift(args[1], "shift"), scale(args[2], "scale"), limit(args[3], "limit");
        View<float> features(args[4], "features", true);
        const Size d = shift.size(), n = d ? x.size() / d : 0;
        const double *by = scale.of(d), *most = limit.of(d);
        float* to = features.of(n * d);
        x.of(n * d);
        int other = 0;
        unlocked([&] { other = loops::standardised(x.data(), n, d, shift.data(), by, most, to); });
        return PyBool_FromLong(!other);
    });
}

PyObject* add_parts(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 12, [&]() -> PyObject* {
        View<float> z(args[0], "z"), ladj(args[1], "ladj"), base(args[8], "base", true);
        View<double> beside(args[2], "beside", false, true), category(args[3], "category"), parts(args[7], "parts", true);
        View<bool> ok(args[4], "ok"), missing(args[5], "missing"), scorable(args[11], "scorable", true);
        View<double> log_prob(args[9], "log_prob", true), distance(args[10], "distance", true);
        const double constant = number(args[6]);
        const Size n = z.axis(0), d = z.axis(1), k = n ? category.size() / n : 0;
        if (beside.axis(0) != n || beside.axis(1) != d) beside.fail("has another shape");
        const loops::Parts rows{z.data(),           ladj.of(n * d),  beside.data(),      beside.stride(), category.of(n * k),
                                ok.of(n),           missing.of(n * d), constant,         parts.of(n * (d + k)),
                                base.of(n * d),     log_prob.of(n),  distance.of(n),     scorable.of(n)};
        unlocked([&] { loops::add_parts(rows, n, d, k); });
        return none();
    });
}

PyObject* within_slices(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 6, [&]() -> PyObject* {
        View<double> rarity(args[0], "rarity"), edges(args[2], "edges"), hazard(args[3], "hazard");
        View<std::int64_t> codes(args[1], "codes");
        View<double> out(args[5], "out", true);
        const double step = number(args[4]);
        const Size n = rarity.size(), levels = edges.axis(1), slices = edges.axis(0);
        const std::int64_t* of = codes.of(n);
        for (Size i = 0; i < n; ++i)
            if (of[i] < 0 || of[i] >= slices) codes.fail("must be those of the slices");
        const double* by = hazard.of(edges.size());
        double* to = out.of(n);
        unlocked([&] { loops::within_slices(rarity.data(), of, edges.data(), by, levels, step, n, to); });
        return none();
    });
}

PyObject* counts(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 6, [&]() -> PyObject* {
        View<double> x(args[0], "x"), centre(args[1], "centre"), scale(args[2], "scale");
        const double most = number(args[3]), unit = number(args[4]);
        View<std::int64_t> out(args[5], "out", true);
        const Size d = centre.size(), n = d ? x.size() / d : 0;
        const double *from = x.of(n * d), *by = scale.of(d);
        std::int64_t* to = out.of(n * d);
        unlocked([&] { loops::counts(from, n, d, centre.data(), by, most, unit, to); });
        return none();
    });
}

PyObject* earlier(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 3, [&]() -> PyObject* {
        View<std::int64_t> codes(args[0], "codes"), counts(args[1], "counts", true), out(args[2], "out", true);
        const Size n = codes.size();
        std::int64_t* to = out.of(n);
        for (Size i = 0; i < n; ++i)
            if (codes.data()[i] < 0 || codes.data()[i] >= counts.size()) codes.fail("must be below the number of counts");
        loops::earlier(codes.data(), n, counts.data(), to);
        return none();
    });
}

PyObject* within(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 3, [&]() -> PyObject* {
        View<double> x(args[0], "x");
        const double smallest = number(args[1]), largest = number(args[2]);
        bool all = false;
        unlocked([&] { all = loops::within(x.data(), x.size(), smallest, largest); });
        return PyBool_FromLong(all);
    });
}

PyObject* draws(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded(count, 6, [&]() -> PyObject* {
        View<std::int64_t> rows(args[0], "rows"), time_ms(args[2], "time_ms");
        View<std::uint64_t> words(args[3], "words");
        View<double> numeric(args[4], "numeric"), out(args[5], "out", true);
        const std::uint64_t key = PyLong_AsUnsignedLongLong(args[1]);
        if (PyErr_Occurred()) throw std::runtime_error("");
        const Size m = rows.size(), n = numeric.axis(0), d = numeric.axis(1);
        const std::int64_t* at = time_ms.of(n);
        const std::uint64_t* slices = words.of(m);
        double* to = out.of(m);
        for (Size i = 0; i < m; ++i)
            if (rows.data()[i] < 0 || rows.data()[i] >= n) rows.fail("must be rows of the table");
        unlocked([&] { loops::draws(rows.data(), m, key, at, slices, numeric.data(), d, to); });
        return none();
    });
}

#define METHOD(name, says) \
    {#name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(name)), METH_FASTCALL, says}

PyMethodDef functions[] = {
    METHOD(places, "Places of values (n, c) among the edges of their columns."),
    METHOD(rarities, "by_place at the place of each value, times a sign, up to it; how many are beyond all edges, -1: not all finite."),
    METHOD(among, "by_place at the place below each value; how many are beyond all edges or equal to one, their rows."),
    METHOD(event_scores, "Base scores and bins of a PIT histogram of base coordinates and surprises."),
    METHOD(standardised, "(x - shift) / scale; False where a value is not finite or beyond its limit."),
    METHOD(add_parts, "Parts of the log-likelihood, their sums, base coordinates and their squares."),
    METHOD(within_slices, "Rarities within slices of rarities among all rows."),
    METHOD(counts, "Values in whole parts of a scale."),
    METHOD(earlier, "How many codes before each are the same."),
    METHOD(within, "Whether every number is 0, NaN, or has a size between two."),
    METHOD(draws, "Draws among equal scores."),
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_loops", "Loops over rows of columns.", -1, functions,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__loops() { return PyModule_Create(&module); }
