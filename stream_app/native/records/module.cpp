// The extension stream_app.native._records: Kafka's record batches as columns, without an object for a record.
//
// Built against Python's stable ABI and nothing else, so that it needs a compiler and no other package.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstring>
#include <exception>
#include <stdexcept>

#include "batches.h"
#include "crc32c.h"

namespace {

// A buffer of bytes or of int64 in C order, released at the end of its scope. Raises std::invalid_argument.
class View {
public:
    View(PyObject* object, Py_ssize_t itemsize, bool writable, const char* name) {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object, &view_, flags) < 0) {
            PyErr_Clear();
            throw std::invalid_argument(std::string(name) + " must lie in one piece, and be writable where it is written");
        }
        const char* format = view_.format ? view_.format : "B";
        const bool right = itemsize == 1 || !std::strcmp(format, "l") || !std::strcmp(format, "q");
        if (view_.itemsize != itemsize || !right) {
            PyBuffer_Release(&view_);
            throw std::invalid_argument(std::string(name) + (itemsize == 1 ? " must be bytes" : " must be int64"));
        }
    }
    ~View() { PyBuffer_Release(&view_); }
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    Py_ssize_t items() const { return view_.len / view_.itemsize; }
    records::Bytes bytes() const { return {static_cast<const std::uint8_t*>(view_.buf), view_.len}; }
    std::int64_t* ints() const { return static_cast<std::int64_t*>(view_.buf); }

private:
    Py_buffer view_{};
};

// Calls f; turns a C++ exception into a Python one.
template <class F>
PyObject* guarded(F f) {
    try {
        return f();
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

PyObject* scan(PyObject*, PyObject* args) {
    PyObject* data;
    int check;
    if (!PyArg_ParseTuple(args, "Op", &data, &check)) return nullptr;
    return guarded([&]() -> PyObject* {
        View view(data, 1, false, "the bytes of a fetch");
        std::vector<std::int64_t> table;
        bool enough = true;
        Py_BEGIN_ALLOW_THREADS
        try {
            table = records::scan(view.bytes(), check);
        } catch (const std::bad_alloc&) {
            enough = false;
        }
        Py_END_ALLOW_THREADS
        if (!enough) throw std::bad_alloc();
        return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(table.data()),
                                         static_cast<Py_ssize_t>(table.size() * sizeof(std::int64_t)));
    });
}

PyObject* unpack(PyObject*, PyObject* args) {
    PyObject *data, *table, *offset, *time, *first, *size;
    long long from;
    if (!PyArg_ParseTuple(args, "OOLOOOO", &data, &table, &from, &offset, &time, &first, &size)) return nullptr;
    return guarded([&]() -> PyObject* {
        View bytes(data, 1, false, "the bytes"), heads(table, 8, false, "the heads of the batches");
        View offsets(offset, 8, true, "offsets"), times(time, 8, true, "times");
        View firsts(first, 8, true, "firsts"), sizes(size, 8, true, "sizes");
        const Py_ssize_t room = offsets.items();
        if (times.items() != room || firsts.items() != room || sizes.items() != room)
            throw std::invalid_argument("offsets, times, firsts and sizes must have the same length");
        if (heads.items() % records::kColumns)
            throw std::invalid_argument("the heads of the batches must have " + std::to_string(records::kColumns) +
                                        " columns");
        const records::Columns columns{offsets.ints(), times.ints(), firsts.ints(), sizes.ints(), room};
        records::Unpacked done;
        Py_BEGIN_ALLOW_THREADS
        done = records::unpack(bytes.bytes(), heads.ints(), heads.items() / records::kColumns, from, columns);
        Py_END_ALLOW_THREADS
        if (done.fault) throw std::invalid_argument(done.fault);
        return Py_BuildValue("LL", static_cast<long long>(done.rows), static_cast<long long>(done.next));
    });
}

PyObject* crc32c(PyObject*, PyObject* args) {
    PyObject* data;
    int portable = 0;
    if (!PyArg_ParseTuple(args, "O|p", &data, &portable)) return nullptr;
    return guarded([&]() -> PyObject* {
        View view(data, 1, false, "the bytes");
        const records::Bytes bytes = view.bytes();
        const auto size = static_cast<std::size_t>(bytes.size);
        return PyLong_FromUnsignedLong(portable ? records::crc32c_portable(bytes.data, size)
                                                : records::crc32c(bytes.data, size));
    });
}

PyMethodDef functions[] = {
    {"scan", scan, METH_VARARGS, "scan(data, check) -> bytes: the heads of the whole batches of a fetch, int64."},
    {"unpack", unpack, METH_VARARGS,
     "unpack(data, heads, next, offsets, times, firsts, sizes) -> (rows, next): records into columns."},
    {"crc32c", crc32c, METH_VARARGS, "crc32c(data, portable=False) -> int."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_records", "Kafka's record batches as columns.", -1, functions,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__records() { return PyModule_Create(&module); }
