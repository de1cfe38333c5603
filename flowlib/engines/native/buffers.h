// NumPy's buffers without copies, and C++ exceptions as Python's: what the extensions of the kernels share.
//
// For Python's stable ABI and nothing else, so that building needs a compiler and no other package.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// A buffer of float32 or int32 in C order, released at the end of its scope. Raises std::invalid_argument.
class View {
public:
    View(PyObject* object, int ndim, char kind, bool writable, const char* name) {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object, &view_, flags) < 0) {
            PyErr_Clear();
            fail(name, writable ? "must be a writable array in C order" : "must be an array in C order");
        }
        held_ = true;
        const char* format = view_.format ? view_.format : "B";
        const auto is = [&](const char* code) { return !std::strcmp(format, code); };
        const bool right = kind == 'f' ? is("f") : is("i") || is("l");
        if (!right || view_.itemsize != 4) fail(name, kind == 'f' ? "must be float32" : "must be int32");
        if (view_.ndim != ndim) fail(name, ndim == 2 ? "must have two axes" : "must have one axis");
    }
    ~View() { release(); }
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    Py_ssize_t shape(int axis) const { return view_.shape[axis]; }
    const float* floats() const { return static_cast<const float*>(view_.buf); }
    float* writable() const { return static_cast<float*>(view_.buf); }
    const std::int32_t* ints() const { return static_cast<const std::int32_t*>(view_.buf); }

private:
    void fail(const char* name, const char* what) {
        release();
        throw std::invalid_argument(std::string(name) + " " + what);
    }
    void release() {
        if (held_) PyBuffer_Release(&view_);
        held_ = false;
    }
    Py_buffer view_{};
    bool held_ = false;
};

// A new reference, dropped at the end of its scope.
struct Owned {
    PyObject* object;
    explicit Owned(PyObject* reference) : object(reference) {
        if (!reference) throw std::runtime_error("");
    }
    ~Owned() { Py_DECREF(object); }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
};

std::vector<std::int32_t> ints_of(PyObject* object, const char* name) {
    View view(object, 1, 'i', false, name);
    return {view.ints(), view.ints() + view.shape(0)};
}

// Calls f; turns a C++ exception into a Python one (an empty message: Python's own error is set already).
template <class F>
auto guarded(F f) -> decltype(f()) {
    try {
        return f();
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return {};
}

}  // namespace
