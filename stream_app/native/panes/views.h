// Arrays and tuples of Python as C++ sees them, checked; and how a function of the module ends.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// An array in C order, released at the end of its scope. Raises std::invalid_argument.
class View {
public:
    View(PyObject* object, const char* codes, Py_ssize_t itemsize, const char* name, bool writable = false)
        : name_(name) {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object, &view_, flags) < 0) {
            PyErr_Clear();
            fail(writable ? "must be a writable array in C order" : "must be an array in C order");
        }
        held_ = true;
        const char* format = view_.format ? view_.format : "B";
        if (std::strlen(format) != 1 || !std::strchr(codes, *format) || view_.itemsize != itemsize)
            fail("has elements of another type");
    }
    ~View() {
        if (held_) PyBuffer_Release(&view_);
    }
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    std::int64_t size() const { return view_.len / view_.itemsize; }
    void expect(std::int64_t size) {
        if (this->size() != size) fail("has another length");
    }
    void fail(const char* what) {
        if (held_) PyBuffer_Release(&view_);
        held_ = false;
        throw std::invalid_argument(std::string(name_) + " " + what);
    }

protected:
    const char* name_;
    Py_buffer view_{};
    bool held_ = false;
};

struct Ints : View {
    Ints(PyObject* object, const char* name, bool writable = false) : View(object, "lq", 8, name, writable) {}
    std::int64_t* data() const { return static_cast<std::int64_t*>(view_.buf); }
    std::int64_t operator[](std::int64_t i) const { return data()[i]; }
    // Each is a place among so many.
    void within(std::int64_t count) {
        for (std::int64_t i = 0; i < size(); ++i)
            if (data()[i] < 0 || data()[i] >= count) fail("has a place that is not there");
    }
};
struct Floats : View {
    Floats(PyObject* object, const char* name, bool writable = false) : View(object, "d", 8, name, writable) {}
    double* data() const { return static_cast<double*>(view_.buf); }
    double operator[](std::int64_t i) const { return data()[i]; }
};
struct Bools : View {
    Bools(PyObject* object, const char* name, bool writable = false) : View(object, "?", 1, name, writable) {}
    bool* data() const { return static_cast<bool*>(view_.buf); }
};
struct Shorts : View {
    Shorts(PyObject* object, const char* name) : View(object, "H", 2, name, true) {}
    std::uint16_t* data() const { return static_cast<std::uint16_t*>(view_.buf); }
};

// Calls f with the arguments, n of them, and gives None; turns a C++ exception into a Python one.
template <class F>
PyObject* called(Py_ssize_t count, Py_ssize_t n, F f) {
    try {
        if (count != n) throw std::invalid_argument("it takes " + std::to_string(n) + " arguments");
        f();
        Py_RETURN_NONE;
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

// Calls f without the GIL; it raises nothing.
template <class F>
void unlocked(F f) {
    Py_BEGIN_ALLOW_THREADS
    f();
    Py_END_ALLOW_THREADS
}

// The items of a tuple, at least so many.
inline std::vector<PyObject*> items(PyObject* tuple, Py_ssize_t least, const char* name) {
    if (!PyTuple_Check(tuple) || PyTuple_Size(tuple) < least)
        throw std::invalid_argument(std::string(name) + " is no tuple of what it is made of");
    std::vector<PyObject*> found;
    for (Py_ssize_t i = 0; i < PyTuple_Size(tuple); ++i) found.push_back(PyTuple_GetItem(tuple, i));
    return found;
}

}  // namespace
