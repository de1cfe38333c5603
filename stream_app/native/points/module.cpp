// The extension stream_app.native._points: columns of points as rows of text, one call for all of them.
//
// Built against Python's stable ABI and nothing else, so that it needs a compiler and no other package.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// An array of int64 in C order, released at the end of its scope.
class Ints {
public:
    explicit Ints(PyObject* object) {
        if (PyObject_GetBuffer(object, &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) {
            PyErr_Clear();
            throw std::invalid_argument("a column must be an array in C order");
        }
        const char* format = view_.format ? view_.format : "B";
        if (view_.itemsize != 8 || std::strlen(format) != 1 || !std::strchr("lq", *format)) {
            PyBuffer_Release(&view_);
            throw std::invalid_argument("a column must be of int64");
        }
    }
    ~Ints() { PyBuffer_Release(&view_); }
    Ints(const Ints&) = delete;
    Ints& operator=(const Ints&) = delete;
    Py_ssize_t size() const { return view_.len / 8; }
    std::int64_t operator[](Py_ssize_t i) const { return static_cast<const std::int64_t*>(view_.buf)[i]; }

private:
    Py_buffer view_{};
};

// Bytes that Python holds as long as the arguments live.
struct Piece {
    const char* at;
    Py_ssize_t size;
    explicit Piece(PyObject* object) {
        char* data;
        if (PyBytes_AsStringAndSize(object, &data, &size) < 0) {
            PyErr_Clear();
            throw std::invalid_argument("a text must be bytes");
        }
        at = data;
    }
};

// One column: whole numbers, places among texts, or numbers that are written already: "[1.5,null,2.0]".
class Column {
public:
    Column(PyObject* object, Py_ssize_t n) {
        if (PyBytes_Check(object)) {
            const Piece whole(object);
            if (whole.size < 2 || *whole.at != '[' || whole.at[whole.size - 1] != ']') fail();
            at_ = whole.at + 1;
            end_ = whole.at + whole.size - 1;
            Py_ssize_t values = 1;
            for (const char* c = at_; c < end_; ++c) values += *c == ',';
            if (values != n) fail();
            return;
        }
        if (!PyTuple_Check(object)) {
            numbers_ = std::make_unique<Ints>(object);
        } else {
            if (PyTuple_Size(object) != 2 || !PyList_Check(PyTuple_GetItem(object, 1))) fail();
            numbers_ = std::make_unique<Ints>(PyTuple_GetItem(object, 0));
            PyObject* texts = PyTuple_GetItem(object, 1);
            for (Py_ssize_t i = 0; i < PyList_Size(texts); ++i) texts_.emplace_back(PyList_GetItem(texts, i));
            for (Py_ssize_t i = 0; i < numbers_->size(); ++i)
                if ((*numbers_)[i] < 0 || (*numbers_)[i] >= static_cast<std::int64_t>(texts_.size())) fail();
            coded_ = true;
        }
        if (numbers_->size() != n) fail();
    }

    void put(Py_ssize_t i, std::string& out) {
        if (coded_) {
            const Piece& text = texts_[static_cast<std::size_t>((*numbers_)[i])];
            out.append(text.at, static_cast<std::size_t>(text.size));
        } else if (numbers_) {
            char room[24];
            out.append(room, std::to_chars(room, room + sizeof room, (*numbers_)[i]).ptr);
        } else {
            const char* first = at_;
            while (at_ < end_ && *at_ != ',') ++at_;
            out.append(first, at_);
            ++at_;
        }
    }

private:
    [[noreturn]] static void fail() { throw std::invalid_argument("a column is not of as many values as there are rows"); }
    std::unique_ptr<Ints> numbers_;
    std::vector<Piece> texts_;
    bool coded_ = false;
    const char *at_ = nullptr, *end_ = nullptr;
};

PyObject* rows_(Py_ssize_t n, PyObject* befores, PyObject* columns) {
    if (n < 0 || !PyList_Check(befores) || !PyList_Check(columns) || PyList_Size(befores) != PyList_Size(columns) + 1)
        throw std::invalid_argument("rows takes a number, texts, and columns, one fewer than texts");
    std::vector<Piece> before;
    std::vector<Column> column;
    for (Py_ssize_t j = 0; j < PyList_Size(befores); ++j) before.emplace_back(PyList_GetItem(befores, j));
    for (Py_ssize_t j = 0; n && j < PyList_Size(columns); ++j) column.emplace_back(PyList_GetItem(columns, j), n);
    struct Drop {
        void operator()(PyObject* object) const { Py_XDECREF(object); }
    };
    std::unique_ptr<PyObject, Drop> made(PyList_New(n));
    if (!made) throw std::bad_alloc();
    std::string out;
    for (Py_ssize_t i = 0; i < n; ++i) {
        out.clear();
        for (std::size_t j = 0; j < column.size(); ++j) {
            out.append(before[j].at, static_cast<std::size_t>(before[j].size));
            column[j].put(i, out);
        }
        out.append(before.back().at, static_cast<std::size_t>(before.back().size));
        PyObject* text = PyUnicode_DecodeUTF8(out.data(), static_cast<Py_ssize_t>(out.size()), nullptr);
        if (!text) return nullptr;
        PyList_SetItem(made.get(), i, text);
    }
    return made.release();
}

PyObject* rows(PyObject*, PyObject* args) {
    Py_ssize_t n;
    PyObject *befores, *columns;
    if (!PyArg_ParseTuple(args, "nOO", &n, &befores, &columns)) return nullptr;
    try {
        return rows_(n, befores, columns);
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    }
    return nullptr;
}

PyMethodDef functions[] = {
    {"rows", rows, METH_VARARGS,
     "rows(n, befores, columns): n texts in UTF-8, each of which has what stands before each column, its value, and at "
     "last\nwhat stands behind all. A column is int64 (n,), or a pair of places (n,) and a list of bytes, or bytes of n "
     "numbers in\nJSON: b\"[1.5,null]\"."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_points", "Points as texts.", -1, functions,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__points() { return PyModule_Create(&module); }
