// The extension stream_app.native._rows: bodies in JSON, as they lie in a buffer, into NumPy columns, without the GIL.
//
// Built against Python's stable ABI and nothing else, so that it needs a compiler and no other package.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>

#include "fixed.h"
#include "reader.h"

namespace {

using rows::Byte;

struct ReaderObject {
    PyObject_HEAD
    rows::Reader* reader;
    bool busy;  // another thread reads
};

// A buffer in C order, released at the end of its scope. Raises std::invalid_argument.
class View {
public:
    // Codes of struct that its elements may have; any one dimension of bytes where they are "".
    View(PyObject* object, const char* codes, Py_ssize_t itemsize, bool writable, const char* name) {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object, &view_, flags) < 0) {
            PyErr_Clear();
            fail(name, writable ? "must be a writable array in C order" : "must be an array in C order");
        }
        held_ = true;
        const char* format = view_.format ? view_.format : "B";
        const bool right = !*codes || (std::strlen(format) == 1 && std::strchr(codes, *format));
        if (!right || view_.itemsize != itemsize) fail(name, "has elements of another type");
    }
    ~View() { release(); }
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    Py_ssize_t size() const { return view_.len / view_.itemsize; }
    template <class T>
    T* as() const {
        return static_cast<T*>(view_.buf);
    }
    void expect(Py_ssize_t size, const char* name) {
        if (this->size() != size) fail(name, "has another length");
    }

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
    ~Owned() { Py_XDECREF(object); }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    PyObject* release() {
        PyObject* given = object;
        object = nullptr;
        return given;
    }
};

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

std::string bytes_of(PyObject* object) {
    char* data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(object, &data, &size) < 0) throw std::runtime_error("");
    return {data, static_cast<std::size_t>(size)};
}

void add_field(rows::Reader* reader, PyObject* item) {
    const char* kind;
    PyObject *name, *path;
    int column;
    if (!PyArg_ParseTuple(item, "siSO", &kind, &column, &name, &path)) throw std::runtime_error("");
    const rows::Field field{static_cast<rows::Field::Kind>(*kind), column};
    const int columns = field.kind == rows::Field::kNumber ? reader->options.numbers
                        : field.kind == rows::Field::kText ? reader->options.texts
                                                           : 1;
    if (!std::strchr("tnxi", *kind) || column < 0 || column >= columns) throw std::invalid_argument("no such column");
    std::vector<std::string> steps;
    const Py_ssize_t n = PySequence_Size(path);
    if (n < 0) throw std::runtime_error("");
    for (Py_ssize_t i = 0; i < n; ++i) {
        Owned each(PySequence_GetItem(path, i));
        steps.push_back(bytes_of(each.object));
    }
    reader->add(field, bytes_of(name), steps);
}

bool epoch_of(const char* format, rows::Options* options) {
    static const struct {
        const char* name;
        std::uint64_t times, by;
    } epochs[] = {{"epoch_s", 1'000, 1}, {"epoch_ms", 1, 1}, {"epoch_us", 1, 1'000}, {"epoch_ns", 1, 1'000'000}};
    for (const auto& epoch : epochs) {
        if (std::strcmp(format, epoch.name)) continue;
        options->times = epoch.times;
        options->by = epoch.by;
        return true;
    }
    return false;
}

PyObject* reader_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"fields", "numbers", "texts", "time", "utc", "max_bytes", "seed", nullptr};
    PyObject* fields;
    const char* time;
    long long max_bytes;
    unsigned long long seed;
    int utc;
    rows::Options options;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OiispLK", const_cast<char**>(names), &fields, &options.numbers,
                                     &options.texts, &time, &utc, &max_bytes, &seed))
        return nullptr;
    return guarded([&]() -> PyObject* {
        if (options.numbers < 0 || options.texts < 0) throw std::invalid_argument("numbers and texts must be >= 0");
        options.epoch = epoch_of(time, &options);
        options.utc = utc != 0;
        options.max_bytes = max_bytes;
        auto reader = std::make_unique<rows::Reader>(options, seed);
        const Py_ssize_t n = PySequence_Size(fields);
        if (n < 0) throw std::runtime_error("");
        for (Py_ssize_t i = 0; i < n; ++i) {
            Owned each(PySequence_GetItem(fields, i));
            add_field(reader.get(), each.object);
        }
        reader->ready();
        auto allocate = reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc));
        auto* self = reinterpret_cast<ReaderObject*>(allocate(type, 0));
        if (!self) throw std::runtime_error("");
        self->reader = reader.release();
        self->busy = false;
        return reinterpret_cast<PyObject*>(self);
    });
}

void reader_free(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<ReaderObject*>(self)->reader;
    reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

// Gives an item that may be none away to a list.
void put(PyObject* list, Py_ssize_t i, PyObject* item) {
    if (!item || PyList_SetItem(list, i, item) < 0) throw std::runtime_error("");
}

// Texts from one number on, as they are written in JSON.
PyObject* texts_since(const rows::Interner& texts, std::size_t first) {
    Owned list(PyList_New(static_cast<Py_ssize_t>(texts.size() - first)));
    for (std::size_t code = first; code < texts.size(); ++code) {
        const auto size = static_cast<Py_ssize_t>(texts.size_of(code));
        put(list.object, static_cast<Py_ssize_t>(code - first), PyBytes_FromStringAndSize(texts.bytes(code), size));
    }
    return list.release();
}

// Of each column the numbers of its texts, as bytes of int64.
PyObject* distinct_of(const std::vector<rows::Distinct>& columns) {
    Owned list(PyList_New(static_cast<Py_ssize_t>(columns.size())));
    for (std::size_t j = 0; j < columns.size(); ++j) {
        const auto& codes = columns[j].codes;
        const auto size = static_cast<Py_ssize_t>(codes.size() * sizeof codes[0]);
        const auto* bytes = reinterpret_cast<const char*>(codes.data());
        put(list.object, static_cast<Py_ssize_t>(j), PyBytes_FromStringAndSize(bytes, size));
    }
    return list.release();
}

void check_bounds(const View& buffer, const std::int64_t* first, const std::int64_t* size, Py_ssize_t n) {
    const std::int64_t whole = buffer.size();
    for (Py_ssize_t i = 0; i < n; ++i)
        if (size[i] > 0 && (first[i] < 0 || first[i] > whole || size[i] > whole - first[i]))
            throw std::invalid_argument("a body lies beyond the buffer");
}

PyObject* reader_read(PyObject* object, PyObject* const* args, Py_ssize_t count) {
    if (count != 11) {
        PyErr_SetString(PyExc_TypeError, "read takes a number of texts, buffer, first, size and seven columns");
        return nullptr;
    }
    return guarded([&]() -> PyObject* {
        auto* self = reinterpret_cast<ReaderObject*>(object);
        rows::Reader& reader = *self->reader;
        std::size_t known = PyLong_AsSize_t(args[0]);
        if (PyErr_Occurred()) throw std::runtime_error("");
        View buffer(args[1], "", 1, false, "buffer");
        View first(args[2], "lq", 8, false, "first"), size(args[3], "lq", 8, false, "size");
        View read(args[4], "?", 1, true, "read"), local(args[5], "?", 1, true, "local");
        View time_ms(args[6], "lq", 8, true, "time_ms"), numeric(args[7], "d", 8, true, "numeric");
        View codes(args[8], "lq", 8, true, "codes");
        View id_first(args[9], "lq", 8, true, "id_first"), id_size(args[10], "lq", 8, true, "id_size");
        const Py_ssize_t n = first.size();
        size.expect(n, "size");
        read.expect(n, "read");
        local.expect(n, "local");
        time_ms.expect(n, "time_ms");
        numeric.expect(n * reader.options.numbers, "numeric");
        codes.expect(n * reader.options.texts, "codes");
        id_first.expect(n, "id_first");
        id_size.expect(n, "id_size");
        check_bounds(buffer, first.as<std::int64_t>(), size.as<std::int64_t>(), n);
        if (self->busy) throw std::invalid_argument("a reader reads one batch after the other");
        known = reader.begin(known);
        self->busy = true;
        bool enough = true;
        Py_BEGIN_ALLOW_THREADS
        try {
            reader.read(buffer.as<const Byte>(), first.as<std::int64_t>(), size.as<std::int64_t>(), n,
                        {read.as<bool>(), local.as<bool>(), time_ms.as<std::int64_t>(), numeric.as<double>(),
                         codes.as<std::int64_t>(), id_first.as<std::int64_t>(), id_size.as<std::int64_t>()});
        } catch (const std::bad_alloc&) {
            enough = false;
        }
        Py_END_ALLOW_THREADS
        self->busy = false;
        if (!enough) throw std::bad_alloc();
        Owned fresh(texts_since(reader.texts, known)), distinct(distinct_of(reader.distinct));
        return Py_BuildValue("nOO", static_cast<Py_ssize_t>(known), fresh.object, distinct.object);
    });
}

// The text that a value of JSON is as it stands there: one without escapes, or a whole number; null and what is not
// there are missing.
enum class Looks { kMissing, kText, kWhole, kOther };

Looks looks_of(const char* at, std::int64_t size) {
    if (size < 1 || *at == 'n') return Looks::kMissing;
    if (*at == '"') return std::memchr(at, '\\', static_cast<std::size_t>(size)) ? Looks::kOther : Looks::kText;
    const bool whole = std::all_of(at, at + size, [](char c) { return c >= '0' && c <= '9'; });
    return whole && size <= 18 ? Looks::kWhole : Looks::kOther;
}

PyObject* plain_texts(PyObject*, PyObject* args) {
    PyObject *whole, *firsts, *sizes;
    if (!PyArg_ParseTuple(args, "OOO", &whole, &firsts, &sizes)) return nullptr;
    return guarded([&]() -> PyObject* {
        View buffer(whole, "", 1, false, "buffer");
        View first(firsts, "lq", 8, false, "first"), size(sizes, "lq", 8, false, "size");
        const Py_ssize_t n = first.size();
        size.expect(n, "size");
        check_bounds(buffer, first.as<std::int64_t>(), size.as<std::int64_t>(), n);
        Owned list(PyList_New(n)), others(PyList_New(0));
        for (Py_ssize_t i = 0; i < n; ++i) {
            const auto bytes = static_cast<Py_ssize_t>(size.as<std::int64_t>()[i]);
            const char* at = buffer.as<const char>() + (bytes > 0 ? first.as<std::int64_t>()[i] : 0);
            const Looks looks = looks_of(at, bytes);
            if (looks == Looks::kText || looks == Looks::kWhole) {
                const int quote = looks == Looks::kText;
                put(list.object, i, PyUnicode_DecodeUTF8(at + quote, bytes - 2 * quote, nullptr));
                continue;
            }
            Py_INCREF(Py_None);
            put(list.object, i, Py_None);
            if (looks == Looks::kMissing) continue;
            Owned other(Py_BuildValue("ny#", i, at, bytes));
            if (PyList_Append(others.object, other.object) < 0) throw std::runtime_error("");
        }
        return Py_BuildValue("OO", list.object, others.object);
    });
}

PyObject* read_fixed(PyObject*, PyObject* args) {
    PyObject *whole, *firsts, *sizes, *of_numbers, *of_texts, *reads, *times, *numerics, *all_codes;
    long long body, end_ms;
    unsigned long long seed;
    if (!PyArg_ParseTuple(args, "OOOLOOLKOOOO", &whole, &firsts, &sizes, &body, &of_numbers, &of_texts, &end_ms, &seed,
                          &reads, &times, &numerics, &all_codes))
        return nullptr;
    return guarded([&]() -> PyObject* {
        View buffer(whole, "", 1, false, "buffer"), first(firsts, "lq", 8, false, "first"), size(sizes, "lq", 8, false, "size");
        View numbers(of_numbers, "lq", 8, false, "numbers"), texts(of_texts, "lq", 8, false, "texts");
        View read(reads, "?", 1, true, "read"), time_ms(times, "lq", 8, true, "time_ms");
        View numeric(numerics, "d", 8, true, "numeric"), codes(all_codes, "lq", 8, true, "codes");
        const Py_ssize_t n = first.size(), d = numbers.size(), k = texts.size();
        size.expect(n, "size"), read.expect(n, "read"), time_ms.expect(n, "time_ms");
        numeric.expect(n * d, "numeric"), codes.expect(k * n, "codes");
        for (const View* words : {&numbers, &texts})
            for (Py_ssize_t i = 0; i < words->size(); ++i)
                if (words->as<std::int64_t>()[i] < 0 || 4 * words->as<std::int64_t>()[i] > body - 4)
                    throw std::invalid_argument("words must lie within a body");
        if (body >= 0 && body < 8) throw std::invalid_argument("a body must have room for its time");
        const rows::Fixed bodies{buffer.as<const Byte>(),  buffer.size(), first.as<std::int64_t>(), size.as<std::int64_t>(), n,
                                 body, numbers.as<std::int64_t>(), texts.as<std::int64_t>(), d, k, end_ms, seed};
        std::vector<std::vector<std::int32_t>> different;
        Py_BEGIN_ALLOW_THREADS
        different = rows::read_fixed(bodies, {read.as<bool>(), time_ms.as<std::int64_t>(), numeric.as<double>(),
                                              codes.as<std::int64_t>()});
        Py_END_ALLOW_THREADS
        Owned list(PyList_New(k));
        for (Py_ssize_t i = 0; i < k; ++i)
            put(list.object, i, PyBytes_FromStringAndSize(reinterpret_cast<const char*>(different[i].data()),
                                                          static_cast<Py_ssize_t>(4 * different[i].size())));
        return list.release();
    });
}

PyMethodDef functions[] = {
    {"read_fixed", read_fixed, METH_VARARGS,
     "read_fixed(buffer, first, size, body, numbers, texts, end_ms, seed, read, time_ms, numeric, codes): fill the columns "
     "of\nbodies of one length. Return of each text column its different whole numbers, as int32."},
    {"plain_texts", plain_texts, METH_VARARGS,
     "plain_texts(buffer, first, size): values of JSON as texts, None for null, for a negative size, and for those\nthat "
     "have to be read; and the rows and the bytes of these."},
    {nullptr, nullptr, 0, nullptr}};

PyMethodDef reader_methods[] = {
    {"read", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(reader_read)), METH_FASTCALL,
     "read(known, buffer, first, size, read, local, time_ms, numeric, codes, id_first, id_size): fill the columns of n "
     "rows.\nReturn from which number on texts are not known, these texts, and of each text column the numbers of its "
     "texts."},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot reader_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(reader_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(reader_free)},
    {Py_tp_methods, reader_methods},
    {Py_tp_doc, const_cast<char*>("Reader(fields, numbers, texts, time, utc, max_bytes, seed): of a stream.")},
    {0, nullptr}};

PyType_Spec reader_spec = {"stream_app.native._rows.Reader", sizeof(ReaderObject), 0, Py_TPFLAGS_DEFAULT, reader_slots};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rows", "Bodies in JSON as columns.", -1, functions,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__rows() {
    PyObject* extension = PyModule_Create(&module);
    if (!extension) return nullptr;
    PyObject* type = PyType_FromSpec(&reader_spec);
    if (!type || PyModule_AddObject(extension, "Reader", type) < 0) {
        Py_XDECREF(type);
        Py_DECREF(extension);
        return nullptr;
    }
    return extension;
}
