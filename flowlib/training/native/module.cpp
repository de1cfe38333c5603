// The extension flowlib.training._gradients: values and gradients of a batch over PyTorch's buffers, without the GIL.
#include "../../engines/native/buffers.h"
#include "plan.h"

namespace {

const gradients::Path* const kPaths[] = {&gradients::kAvx512, &gradients::kAvx2, &gradients::kPortable};

struct PassObject {
    PyObject_HEAD
    gradients::Plan* plan;
    const gradients::Path* path;
};

gradients::Layer layer_of(PyObject* item) {
    gradients::Layer layer;
    Py_ssize_t weight, bias;
    PyObject* stops;
    if (!PyArg_ParseTuple(item, "iiinnO", &layer.in, &layer.groups, &layer.each, &weight, &bias, &stops))
        throw std::runtime_error("");
    if (weight < 0 || bias < 0) throw std::invalid_argument("an offset is negative");
    layer.weight = weight;
    layer.bias = bias;
    layer.stops = ints_of(stops, "stops");
    return layer;
}

gradients::Block block_of(PyObject* item) {
    PyObject *inputs, *features, *layers;
    if (!PyArg_ParseTuple(item, "OOO", &inputs, &features, &layers)) throw std::runtime_error("");
    gradients::Block block;
    block.inputs = ints_of(inputs, "inputs");
    block.features = ints_of(features, "features");
    const Py_ssize_t n = PySequence_Size(layers);
    if (n < 0) throw std::runtime_error("");
    for (Py_ssize_t i = 0; i < n; ++i) block.layers.push_back(layer_of(Owned(PySequence_GetItem(layers, i)).object));
    return block;
}

const gradients::Path* path_named(const char* name) {
    for (const gradients::Path* path : kPaths)
        if (path->available() && (!*name || !std::strcmp(path->name, name))) return path;
    throw std::invalid_argument(std::string("this processor has no path ") + name);
}

PyObject* pass_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"d", "context", "size", "blocks", "path", nullptr};
    int d, context;
    Py_ssize_t size;
    PyObject* blocks;
    const char* path_name = "";
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "iinO|s", const_cast<char**>(names), &d, &context, &size, &blocks,
                                     &path_name))
        return nullptr;
    return guarded([&]() -> PyObject* {
        auto plan = std::make_unique<gradients::Plan>();
        plan->d = d, plan->context = context, plan->size = size < 0 ? 0 : size;
        const Py_ssize_t n = PySequence_Size(blocks);
        if (n < 0) throw std::runtime_error("");
        for (Py_ssize_t i = 0; i < n; ++i) plan->blocks.push_back(block_of(Owned(PySequence_GetItem(blocks, i)).object));
        gradients::complete(*plan);
        const gradients::Path* path = path_named(path_name);
        auto allocate = reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc));
        auto* self = reinterpret_cast<PassObject*>(allocate(type, 0));
        if (!self) throw std::runtime_error("");
        self->plan = plan.release();
        self->path = path;
        return reinterpret_cast<PyObject*>(self);
    });
}

void pass_free(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<PassObject*>(self)->plan;
    reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyObject* pass_run(PyObject* object, PyObject* args) {
    PyObject *parameters, *features, *context, *share, *values, *out;
    float clip;
    if (!PyArg_ParseTuple(args, "OOOOfOO", &parameters, &features, &context, &share, &clip, &values, &out))
        return nullptr;
    return guarded([&]() -> PyObject* {
        const auto* self = reinterpret_cast<PassObject*>(object);
        const gradients::Plan& plan = *self->plan;
        View p(parameters, 1, 'f', false, "parameters"), x(features, 2, 'f', false, "features");
        View c(context, 2, 'f', false, "context"), s(share, 1, 'f', false, "share"), v(values, 1, 'f', true, "values");
        std::unique_ptr<View> g(out == Py_None ? nullptr : new View(out, 1, 'f', true, "gradients"));
        const Py_ssize_t n = x.shape(0), size = static_cast<Py_ssize_t>(plan.size);
        if (p.shape(0) != size || (g && g->shape(0) != size) || x.shape(1) != plan.d || c.shape(1) != plan.context ||
            c.shape(0) != n || s.shape(0) != n || v.shape(0) != n)
            throw std::invalid_argument("this pass takes " + std::to_string(size) + " parameters, features (n, " +
                                        std::to_string(plan.d) + ") and context (n, " + std::to_string(plan.context) +
                                        "), share and values (n,)");
        const gradients::Batch batch{p.floats(), x.floats(), c.floats(), s.floats(), n, clip, v.writable(),
                                     g ? g->writable() : nullptr};
        bool enough = true;
        Py_BEGIN_ALLOW_THREADS
        try {
            self->path->run(plan, batch);
        } catch (const std::bad_alloc&) {
            enough = false;
        }
        Py_END_ALLOW_THREADS
        if (!enough) throw std::bad_alloc();
        Py_INCREF(Py_None);
        return Py_None;
    });
}

PyObject* pass_step(PyObject* object, PyObject* args) {
    PyObject *weights, *gradients_, *first, *second, *average;
    gradients::Step step{};
    if (!PyArg_ParseTuple(args, "OOOOOLffff", &weights, &gradients_, &first, &second, &average, &step.number, &step.rate,
                          &step.decay, &step.clip, &step.forget))
        return nullptr;
    return guarded([&]() -> PyObject* {
        const auto* self = reinterpret_cast<PassObject*>(object);
        View w(weights, 1, 'f', true, "weights"), g(gradients_, 1, 'f', false, "gradients");
        View m(first, 1, 'f', true, "first"), v(second, 1, 'f', true, "second"), a(average, 1, 'f', true, "average");
        const Py_ssize_t size = static_cast<Py_ssize_t>(self->plan->size);
        for (const View* each : {&w, &g, &m, &v, &a})
            if (each->shape(0) != size)
                throw std::invalid_argument("a step takes vectors of " + std::to_string(size) + " numbers");
        if (step.number < 1) throw std::invalid_argument("steps count from 1");
        step.weights = w.writable(), step.gradients = g.floats(), step.average = a.writable();
        step.first = m.writable(), step.second = v.writable(), step.size = self->plan->size;
        bool done;
        Py_BEGIN_ALLOW_THREADS
        done = self->path->step(step);
        Py_END_ALLOW_THREADS
        return PyBool_FromLong(done);
    });
}

PyObject* pass_path(PyObject* self, void*) {
    return PyUnicode_FromString(reinterpret_cast<PassObject*>(self)->path->name);
}

PyObject* paths(PyObject*, PyObject*) {
    PyObject* names = PyList_New(0);
    for (const gradients::Path* path : kPaths) {
        if (!names || !path->available()) continue;
        PyObject* name = PyUnicode_FromString(path->name);
        if (!name || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

PyMethodDef pass_methods[] = {
    {"run", pass_run, METH_VARARGS, "run(parameters, features, context, share, clip, values, gradients): one batch."},
    {"step", pass_step, METH_VARARGS,
     "step(weights, gradients, first, second, average, number, rate, decay, clip, forget): AdamW."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef pass_attributes[] = {{"path", pass_path, nullptr, "Name of the instruction set in use.", nullptr},
                                 {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot pass_slots[] = {{Py_tp_new, reinterpret_cast<void*>(pass_new)},
                            {Py_tp_dealloc, reinterpret_cast<void*>(pass_free)},
                            {Py_tp_methods, pass_methods},
                            {Py_tp_getset, pass_attributes},
                            {Py_tp_doc, const_cast<char*>("Pass(d, context, size, blocks, path=''): of a flow.")},
                            {0, nullptr}};

PyType_Spec pass_spec = {"flowlib.training._gradients.Pass", sizeof(PassObject), 0, Py_TPFLAGS_DEFAULT, pass_slots};

PyObject* normals(PyObject*, PyObject* args) {
    Py_buffer words{};
    PyObject* out;
    if (!PyArg_ParseTuple(args, "y*O", &words, &out)) return nullptr;
    PyObject* done = guarded([&]() -> PyObject* {
        View z(out, 1, 'f', true, "out");
        if (words.len != 8 * z.shape(0)) throw std::invalid_argument("a normal takes eight bytes");
        path_named("")->normals(static_cast<const std::uint64_t*>(words.buf), z.writable(), z.shape(0));
        Py_INCREF(Py_None);
        return Py_None;
    });
    PyBuffer_Release(&words);
    return done;
}

PyMethodDef functions[] = {{"normals", normals, METH_VARARGS, "normals(words, out): from eight random bytes each."},
                           {"paths", paths, METH_NOARGS, "Instruction sets this processor has, fastest first."},
                           {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_gradients", "Likelihoods of a batch and their gradients.", -1,
                      functions, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__gradients() {
    PyObject* extension = PyModule_Create(&module);
    if (!extension) return nullptr;
    PyObject* type = PyType_FromSpec(&pass_spec);
    if (!type || PyModule_AddObject(extension, "Pass", type) < 0) {
        Py_XDECREF(type);
        Py_DECREF(extension);
        return nullptr;
    }
    return extension;
}
