// The extension flowlib.engines._fused: plans over NumPy buffers, without copies and without the GIL.
//
// Built against Python's stable ABI and nothing else, so that it needs a compiler and no other package.
#include "buffers.h"
#include "plan.h"

namespace {

const fused::Path* const kPaths[] = {&fused::kAvx512, &fused::kAvx2, &fused::kPortable};

struct PlanObject {
    PyObject_HEAD
    fused::Plan* plan;
    const fused::Path* path;
};

fused::DenseLayer layer_of(PyObject* pair) {
    PyObject *weight, *bias;
    if (!PyArg_ParseTuple(pair, "OO", &weight, &bias)) throw std::runtime_error("");
    View w(weight, 2, 'f', false, "a weight"), b(bias, 1, 'f', false, "a bias");
    fused::DenseLayer layer;
    layer.out = static_cast<int>(w.shape(0));
    layer.in = static_cast<int>(w.shape(1));
    layer.weight.assign(w.floats(), w.floats() + w.shape(0) * w.shape(1));
    layer.bias.assign(b.floats(), b.floats() + b.shape(0));
    return layer;
}

fused::DenseBlock block_of(PyObject* item) {
    const char* kind;
    PyObject *inputs, *features, *layers;
    fused::DenseBlock block;
    fused::Spline& s = block.spline;
    if (!PyArg_ParseTuple(item, "s(ifffff)OOO", &kind, &s.bins, &s.bound, &s.min_width, &s.min_height, &s.min_slope,
                          &s.slope_shift, &inputs, &features, &layers))
        throw std::runtime_error("");
    block.kind = kind;
    block.inputs = ints_of(inputs, "inputs");
    block.features = ints_of(features, "features");
    const Py_ssize_t n = PySequence_Size(layers);
    if (n < 0) throw std::runtime_error("");
    for (Py_ssize_t i = 0; i < n; ++i) {
        Owned each(PySequence_GetItem(layers, i));
        block.layers.push_back(layer_of(each.object));
    }
    return block;
}

const fused::Path* path_named(const char* name) {
    for (const fused::Path* path : kPaths)
        if (path->available() && (!*name || !std::strcmp(path->name, name))) return path;
    throw std::invalid_argument(std::string("this processor has no path ") + name + "; see fused.paths()");
}

PyObject* plan_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"d", "context", "blocks", "path", nullptr};
    int d, context;
    PyObject* blocks;
    const char* path_name = "";
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "iiO|s", const_cast<char**>(names), &d, &context, &blocks,
                                     &path_name))
        return nullptr;
    return guarded([&]() -> PyObject* {
        const fused::Path* path = path_named(path_name);
        if (d < 1 || context < 0) throw std::invalid_argument("d must be at least 1 and context at least 0");
        std::vector<fused::DenseBlock> dense;
        const Py_ssize_t n = PySequence_Size(blocks);
        if (n < 0) throw std::runtime_error("");
        for (Py_ssize_t i = 0; i < n; ++i) {
            Owned each(PySequence_GetItem(blocks, i));
            dense.push_back(block_of(each.object));
        }
        auto plan = fused::pack(d, context, path->lanes, dense);
        auto allocate = reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc));
        auto* self = reinterpret_cast<PlanObject*>(allocate(type, 0));
        if (!self) throw std::runtime_error("");
        self->plan = plan.release();
        self->path = path;
        return reinterpret_cast<PyObject*>(self);
    });
}

void plan_free(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<PlanObject*>(self)->plan;
    reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyObject* plan_run(PyObject* object, PyObject* const* args, Py_ssize_t count) {
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "run takes features, context, z and ladj");
        return nullptr;
    }
    return guarded([&]() -> PyObject* {
        const auto* self = reinterpret_cast<PlanObject*>(object);
        const fused::Plan& plan = *self->plan;
        View x(args[0], 2, 'f', false, "features"), c(args[1], 2, 'f', false, "context");
        View z(args[2], 2, 'f', true, "z"), ladj(args[3], 2, 'f', true, "ladj");
        const Py_ssize_t n = x.shape(0);
        if (x.shape(1) != plan.d || c.shape(1) != plan.context || c.shape(0) != n || z.shape(0) != n ||
            z.shape(1) != plan.d || ladj.shape(0) != n || ladj.shape(1) != plan.d)
            throw std::invalid_argument("this plan takes features, z and ladj (n, " + std::to_string(plan.d) +
                                        ") and context (n, " + std::to_string(plan.context) + ")");
        bool enough = true;
        Py_BEGIN_ALLOW_THREADS
        try {
            self->path->run(plan, x.floats(), c.floats(), z.writable(), ladj.writable(), n);
        } catch (const std::bad_alloc&) {
            enough = false;
        }
        Py_END_ALLOW_THREADS
        if (!enough) throw std::bad_alloc();
        Py_INCREF(Py_None);
        return Py_None;
    });
}

PyObject* plan_path(PyObject* self, void*) {
    return PyUnicode_FromString(reinterpret_cast<PlanObject*>(self)->path->name);
}

PyObject* paths(PyObject*, PyObject*) {
    PyObject* names = PyList_New(0);
    for (const fused::Path* path : kPaths) {
        if (!names || !path->available()) continue;
        PyObject* name = PyUnicode_FromString(path->name);
        if (!name || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

PyMethodDef plan_methods[] = {
    {"run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(plan_run)), METH_FASTCALL,
     "run(features, context, z, ladj): write the base coordinates and log-Jacobians of n rows."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef plan_attributes[] = {{"path", plan_path, nullptr, "Name of the instruction set in use.", nullptr},
                                 {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot plan_slots[] = {{Py_tp_new, reinterpret_cast<void*>(plan_new)},
                            {Py_tp_dealloc, reinterpret_cast<void*>(plan_free)},
                            {Py_tp_methods, plan_methods},
                            {Py_tp_getset, plan_attributes},
                            {Py_tp_doc, const_cast<char*>("Plan(d, context, blocks, path=''): a flow, packed.")},
                            {0, nullptr}};

PyType_Spec plan_spec = {"flowlib.engines._fused.Plan", sizeof(PlanObject), 0, Py_TPFLAGS_DEFAULT, plan_slots};

PyMethodDef functions[] = {{"paths", paths, METH_NOARGS, "Instruction sets this processor has, fastest first."},
                           {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fused", "Flows in one pass over the rows.", -1, functions,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__fused() {
    PyObject* extension = PyModule_Create(&module);
    if (!extension) return nullptr;
    PyObject* type = PyType_FromSpec(&plan_spec);
    if (!type || PyModule_AddObject(extension, "Plan", type) < 0) {
        Py_XDECREF(type);
        Py_DECREF(extension);
        return nullptr;
    }
    return extension;
}
