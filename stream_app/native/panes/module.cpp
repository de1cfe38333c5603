// The extension stream_app.native._panes: what is done for each event or each slice of a pane, without the GIL.
//
// Built against Python's stable ABI and nothing else, so that it needs a compiler and no other package.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "evidence.h"
#include "panes.h"
#include "peaks.h"
#include "views.h"

namespace {

PyObject* add(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return called(count, 16, [&] {
        Ints rows(args[0], "rows", true), which(args[1], "which"), place(args[2], "place"), first(args[3], "first");
        Ints pairs(args[4], "pairs");
        Floats alphas(args[5], "alphas"), scales(args[6], "scales"), log_prob(args[7], "log_prob");
        Floats p_value(args[8], "p_value"), numeric(args[9], "numeric");
        Bools adaptive(args[10], "adaptive"), missing(args[11], "missing");
        Ints base(args[12], "base"), group(args[13], "group"), value(args[14], "value"), width(args[15], "width");
        first.expect(13);
        scales.expect(3);
        width.expect(2);
        const std::int64_t m = log_prob.size(), n = which.size(), w = width[0], groups = width[1];
        if (m < 1 || w < 1 || groups < 1) which.fail("must be of some events");
        const std::int64_t d = numeric.size() / m, k = group.size() / m, p = pairs.size() / 2;
        place.expect(n);
        p_value.expect(m);
        numeric.expect(m * d);
        adaptive.expect(m);
        missing.expect(m * d);
        base.expect(m * (d + 1));
        group.expect(m * k);
        value.expect(m * d);
        rows.expect(rows.size() / w * w);
        which.within(m);
        place.within(rows.size() / w);
        pairs.within(d + 1);
        group.within(groups);
        const panes::Layout layout{first[0], first[1], first[2],  first[3],  first[4],  first[5], first[6],
                                   first[7], first[8], first[9], first[10], first[11], first[12]};
        const std::int64_t ends[] = {1, d, d, d, 1, 2, alphas.size(), 1, d + 1, d + 1, p, k * groups, d};
        for (int i = 0; i < 13; ++i)
            if (first[i] < 0 || first[i] + ends[i] > w) first.fail("has a column beyond the row");
        const panes::Shape shape{d,         k,           p,         w,        groups, alphas.size(), pairs.data(),
                                 alphas.data(), scales[0], scales[1], scales[2]};
        const panes::Events events{log_prob.data(), p_value.data(), numeric.data(), adaptive.data(),
                                   missing.data(),  base.data(),    group.data(),   value.data()};
        unlocked([&] {
            panes::add(layout, shape, events, which.data(), place.data(), static_cast<std::size_t>(n), rows.data());
        });
    });
}

PyObject* deviate(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return called(count, 7, [&] {
        Ints rows(args[0], "rows"), known(args[1], "known"), first(args[2], "first");
        PyObject* of[7];
        if (!PyTuple_Check(args[3]) || PyTuple_Size(args[3]) != 7)
            throw std::invalid_argument("what is normal has seven arrays");
        for (int i = 0; i < 7; ++i) of[i] = PyTuple_GetItem(args[3], i);
        Ints pairs(of[0], "pairs");
        Bools varies(of[1], "varies");
        Floats mean(of[2], "mean"), sd(of[3], "sd"), product(of[4], "product"), square_sd(of[5], "square_sd");
        Floats product_sd(of[6], "product_sd"), unit(args[4], "unit");
        Floats events(args[5], "events", true), deviation(args[6], "deviation", true);
        const std::int64_t n = known.size(), d = varies.size(), p = pairs.size() / 2, each = d + 1;
        const std::int64_t slices = mean.size() / each, w = n ? rows.size() / n : 0, all = 2 * each + p;
        first.expect(5);
        rows.expect(n * w);
        pairs.within(d);
        mean.expect(slices * each);
        sd.expect(slices * each);
        product.expect(slices * p);
        square_sd.expect(each);
        product_sd.expect(p);
        unit.expect(1);
        events.expect(n * all);
        deviation.expect(n * all);
        known.within(slices);
        const std::int64_t ends[] = {d, 1, each, each, p};
        for (int i = 0; n && i < 5; ++i)
            if (first[i] < 0 || first[i] + ends[i] > w) first.fail("has a column beyond the row");
        const panes::Normal normal{mean.data(),       sd.data(),    product.data(), square_sd.data(),
                                   product_sd.data(), pairs.data(), varies.data(),  d, p};
        const panes::Sums sums{first[0], first[1], first[2], first[3], first[4], w, unit[0]};
        std::vector<double> room(static_cast<std::size_t>(2 * each));
        unlocked([&] {
            panes::deviate(normal, sums, rows.data(), known.data(), static_cast<std::size_t>(n), room.data(),
                           events.data(), deviation.data());
        });
    });
}

PyObject* moments(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return called(count, 11, [&] {
        Floats events(args[0], "events"), deviation(args[1], "deviation");
        Ints known(args[2], "known"), place(args[3], "place");
        Floats bet(args[4], "bet"), up(args[5], "up"), down(args[6], "down"), slack(args[7], "slack");
        Floats inflation(args[8], "inflation"), log_e(args[9], "log_e", true);
        Bools news(args[10], "news", true);
        place.expect(3);
        const std::int64_t n = known.size(), channels = place[1], all = place[2], b = bet.size();
        if (place[0] < 0 || channels < 0 || all < 1 || place[0] + channels > all) place.fail("has channels beyond all");
        events.expect(n * all);
        deviation.expect(n * all);
        up.expect(all * b);
        down.expect(all * b);
        inflation.expect(slack.size());
        known.within(slack.size() / all);
        log_e.expect(n * channels * 2 * b);
        news.expect(n * channels);
        const panes::Bets bets{place[0],  channels,    all,          b,               bet.data(),
                               up.data(), down.data(), slack.data(), inflation.data()};
        unlocked([&] {
            panes::moments(bets, events.data(), deviation.data(), known.data(), static_cast<std::size_t>(n),
                           log_e.data(), news.data());
        });
    });
}

PyObject* count_(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return called(count, 9, [&] {
        Floats hits(args[0], "hits"), trials(args[1], "trials");
        Ints row(args[2], "row");
        Floats hit(args[3], "hit"), trial(args[4], "trial"), worth(args[5], "worth");
        Bools none(args[6], "none");
        Floats no_bet(args[7], "no_bet"), log_e(args[8], "log_e", true);
        const std::int64_t n = row.size(), b = hit.size(), of = b ? trial.size() / b : 0;
        hits.expect(n);
        trials.expect(n);
        trial.expect(of * b);
        worth.expect(of * b);
        if (none.size()) none.expect(of);
        no_bet.expect(1);
        log_e.expect(n * b);
        row.within(of);
        const panes::Odds odds{hit.data(), trial.data(), worth.data(), none.size() ? none.data() : nullptr, b,
                               no_bet[0]};
        unlocked([&] {
            panes::count(odds, hits.data(), trials.data(), row.data(), static_cast<std::size_t>(n), log_e.data());
        });
    });
}

// The arrays of a part that is given to a rule, held until it has been gone through.
struct Given {
    Ints at, edges;
    std::vector<std::unique_ptr<Floats>> log_e;
    std::vector<std::unique_ptr<Bools>> news;
    panes::Given given;

    // `of`: slices, edges, whether slices may be found after it, and the evidence of each detector with its place:
    // the first column and how many bets a channel has.
    Given(const std::vector<PyObject*>& of, std::int64_t width, std::int64_t slices, std::int64_t panes)
        : at(of[0], "at"), edges(of[1], "edges") {
        const std::int64_t n = at.size();
        at.within(slices);
        edges.expect(panes + 1);
        for (std::int64_t k = 0; k <= panes; ++k)
            if (edges[k] < (k ? edges[k - 1] : 0) || edges[k] > n) edges.fail("are not ascending places of rows");
        given.at = at.data();
        given.edges = edges.data();
        given.looks = PyObject_IsTrue(of[2]) == 1;
        for (std::size_t i = 3; i < of.size(); ++i) add(items(of[i], 4, "evidence"), width, n);
    }
    void add(const std::vector<PyObject*>& of, std::int64_t width, std::int64_t n) {
        const std::int64_t first = PyLong_AsLongLong(of[0]), bets = PyLong_AsLongLong(of[1]);
        if (PyErr_Occurred()) PyErr_Clear();
        log_e.push_back(std::make_unique<Floats>(of[2], "log_e"));
        news.push_back(std::make_unique<Bools>(of[3], "news"));
        const std::int64_t channels = n ? news.back()->size() / n : 0;
        if (bets < 1 || first < 0 || first + channels * bets > width) at.fail("has bets beyond the row");
        news.back()->expect(n * channels);
        log_e.back()->expect(n * channels * bets);
        given.evidence.push_back({first, channels, bets, log_e.back()->data(), news.back()->data()});
    }
};

PyObject* walk(PyObject*, PyObject* const* args, Py_ssize_t count) {
    std::int64_t stopped = -1;
    PyObject* done = called(count, 9, [&] {
        Shorts steps(args[0], "steps"), calm(args[1], "calm");
        Bools seen(args[2], "seen", true);
        Ints place(args[3], "place"), number(args[4], "number"), followed(args[6], "followed");
        Shorts traced(args[7], "traced"), calm_then(args[8], "calm_then");
        place.expect(6);  // width, steps that say nothing, the same at rest, of what may be found, first pane, its end
        const std::int64_t width = place[0], slices = seen.size(), panes = number.size();
        if (width < 0 || place[4] < 0 || place[5] > panes) place.fail("must be of the panes");
        steps.expect(slices * width);
        calm.expect(slices * width);
        followed.within(slices);
        const std::int64_t each = followed.size() * width, some = std::max<std::int64_t>(place[5] - place[4], 0);
        traced.expect(some * each);
        calm_then.expect(some * each);
        std::vector<std::unique_ptr<Given>> held;
        std::vector<panes::Given> given;
        for (PyObject* of : items(args[5], 0, "given")) {
            held.push_back(std::make_unique<Given>(items(of, 3, "given"), width, slices, panes));
            given.push_back(held.back()->given);
        }
        std::vector<char> is_followed(static_cast<std::size_t>(slices), 0);
        for (std::int64_t i = 0; i < followed.size(); ++i) is_followed[followed[i]] = 1;
        const panes::Rule rule{steps.data(), calm.data(), seen.data(), is_followed.data(), width, place[3],
                               static_cast<std::uint16_t>(place[1]), static_cast<std::uint16_t>(place[2])};
        const panes::Trace trace{followed.data(), followed.size(), traced.data(), calm_then.data()};
        unlocked([&] { stopped = panes::walk(rule, given, number.data(), place[4], place[5], trace); });
    });
    if (!done) return nullptr;
    Py_DECREF(done);
    return PyLong_FromLongLong(stopped);
}

PyObject* remain(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return called(count, 14, [&] {
        Floats now(args[0], "now"), parts(args[1], "parts");
        Ints steps(args[2], "steps"), first(args[3], "first"), place(args[4], "place");
        Floats limits(args[5], "limits"), mixed(args[6], "mixed", true);
        Ints bet(args[7], "bet", true), level(args[8], "level", true), since(args[9], "since", true);
        Ints before(args[10], "before", true), against(args[11], "against", true);
        Floats fallen(args[12], "fallen", true), peak(args[13], "peak", true);
        place.expect(4);  // width, panes without a word after which it is over, steps of what is smaller, of a nat
        limits.expect(2);
        const std::int64_t m = against.size(), c = first.size(), w = place[0], n = m && c ? now.size() / (m * c) : 0;
        if (w < 1 || c < 1) first.fail("must be of channels");
        first.within(w);
        for (std::int64_t k = 0; k < c; ++k)
            if (k ? first[k] <= first[k - 1] : first[0] != 0) first.fail("are not ascending from 0 on");
        now.expect(n * m * c);
        parts.expect(n * m * w);
        steps.expect(n * m * w);
        mixed.expect(m * c);
        bet.expect(m * c);
        bet.within(w);
        for (Ints* of : {&level, &since, &before}) of->expect(m * w);
        fallen.expect(n * m);
        peak.expect(n * m * c);
        const panes::Followed of{first.data(), c, w, place[1], place[2], static_cast<double>(place[3]),
                                 limits[0], limits[1]};
        const panes::Peaks peaks{mixed.data(), bet.data(), level.data(), since.data(), before.data(), against.data()};
        unlocked([&] {
            for (std::int64_t k = 0; k < n; ++k)
                for (std::int64_t i = 0; i < m; ++i) {
                    const std::int64_t row = k * m + i;
                    fallen.data()[row] = panes::remain(of, peaks, i, now.data() + row * c, parts.data() + row * w,
                                                       steps.data() + row * w);
                    std::copy_n(mixed.data() + i * c, c, peak.data() + row * c);
                }
        });
    });
}

// Kafka's 32-bit murmur2 of a text in UTF-8 behind another one, unsigned.
std::uint32_t murmur2(const std::string& key) {
    constexpr std::uint32_t kMix = 0x5BD1E995;
    const auto* at = reinterpret_cast<const unsigned char*>(key.data());
    const std::size_t size = key.size(), whole = size & ~std::size_t{3};
    std::uint32_t hash = 0x9747B28C ^ static_cast<std::uint32_t>(size);
    for (std::size_t i = 0; i < whole; i += 4) {
        std::uint32_t word = (at[i] | at[i + 1] << 8 | at[i + 2] << 16 | std::uint32_t{at[i + 3]} << 24) * kMix;
        hash = hash * kMix ^ (word ^ word >> 24) * kMix;
    }
    std::uint32_t rest = 0;
    for (std::size_t i = size; i > whole; --i) rest = rest << 8 | at[i - 1];
    if (size != whole) hash = (hash ^ rest) * kMix;
    hash = (hash ^ hash >> 13) * kMix;
    return hash ^ hash >> 15;
}

PyObject* hash_names(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return called(count, 3, [&] {
        char* bytes;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(args[0], &bytes, &size) < 0 || !PyList_Check(args[1])) {
            PyErr_Clear();
            throw std::invalid_argument("hash_names takes bytes, a list of texts and an array");
        }
        Ints hashes(args[2], "hashes", true);
        hashes.expect(PyList_Size(args[1]));
        const std::string before(bytes, static_cast<std::size_t>(size));
        for (std::int64_t i = 0; i < hashes.size(); ++i) {
            const char* name = PyUnicode_AsUTF8AndSize(PyList_GetItem(args[1], i), &size);
            if (!name) {
                PyErr_Clear();
                throw std::invalid_argument("a name is no text");
            }
            hashes.data()[i] = murmur2(before + std::string(name, static_cast<std::size_t>(size)));
        }
    });
}

// Every text is an object somewhere in memory: those that come next are fetched meanwhile.
PyObject* look_up(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return called(count, 4, [&] {
        if (!PyDict_Check(args[0]) || !PyList_Check(args[1]))
            throw std::invalid_argument("look_up takes a dict, a list of texts, a number and an array");
        Ints found(args[3], "found", true);
        found.expect(PyList_Size(args[1]));
        const std::int64_t none = PyLong_AsLongLong(args[2]), n = found.size();
        for (std::int64_t i = 0; i < n && !PyErr_Occurred(); ++i) {
            if (i + 8 < n) __builtin_prefetch(PyList_GetItem(args[1], i + 8));
            PyObject* number = PyDict_GetItemWithError(args[0], PyList_GetItem(args[1], i));
            found.data()[i] = number ? PyLong_AsLongLong(number) : none;
        }
        if (PyErr_Occurred()) {
            PyErr_Clear();
            throw std::invalid_argument("look_up takes texts and whole numbers");
        }
    });
}

template <PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)>
constexpr PyCFunction fast() {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef functions[] = {
    {"add", fast<add>(), METH_FASTCALL, "Add events to the rows of their slices in a pane."},
    {"deviate", fast<deviate>(), METH_FASTCALL, "Events and deviations of the moment channels of rows."},
    {"moments", fast<moments>(), METH_FASTCALL, "Log e-values of some moment channels."},
    {"count", fast<count_>(), METH_FASTCALL, "Log e-values of hits among trials."},
    {"walk", fast<walk>(), METH_FASTCALL, "Take log e-values of panes into the sums of a rule."},
    {"remain", fast<remain>(), METH_FASTCALL, "How far evidence that was found has fallen since it was largest."},
    {"hash_names", fast<hash_names>(), METH_FASTCALL, "murmur2 of each of some names behind a prefix."},
    {"look_up", fast<look_up>(), METH_FASTCALL, "Of some texts the whole numbers that a dict has, or another one."},
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_panes", "Columns of panes, and evidence of them.", -1, functions,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__panes() { return PyModule_Create(&module); }
