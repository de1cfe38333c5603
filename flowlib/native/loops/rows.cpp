#include <cmath>
#include <cstring>
#include <vector>

#include "loops.h"
#include "wide.h"

namespace loops {

namespace {

// The sum of m numbers in the order in which NumPy adds up a row that lies in one piece (pairwise_sum of its loops).
double pairwise(const double* x, Size m);

// That of m up to 128.
WITHIN double short_sum(const double* x, Size m) {
    if (m < 8) {
        double sum = 0.0;
        for (Size i = 0; i < m; ++i) sum += x[i];
        return sum;
    }
    double r[8];
    for (int k = 0; k < 8; ++k) r[k] = x[k];
    Size i = 8;
    for (; i < m - m % 8; i += 8)
        for (int k = 0; k < 8; ++k) r[k] += x[i + k];
    double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < m; ++i) sum += x[i];
    return sum;
}

double pairwise(const double* x, Size m) {
    if (m <= 128) return short_sum(x, m);
    Size half = m / 2;
    half -= half % 8;
    return pairwise(x, half) + pairwise(x + half, m - half);
}

WITHIN double row_sum(const double* x, Size m) { return 0.0 + (m <= 128 ? short_sum(x, m) : pairwise(x, m)); }

std::uint64_t mixed(std::uint64_t word) {
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ULL;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBULL;
    return word ^ (word >> 31);
}

std::uint64_t bits_of(double x) {
    if (x != x) return 0x7FF8ULL << 48;
    x += 0.0;  // -0 becomes 0
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

}  // namespace

WIDE int standardised(const double* x, Size n, Size d, const double* shift, const double* scale, const double* limit,
                      float* features) {
    int other = 0;
    for (Size i = 0; i < n; ++i, x += d, features += d)
        for (Size j = 0; j < d; ++j) {
            const double value = (x[j] - shift[j]) / scale[j];
            other |= !(std::fabs(value) <= limit[j]);  // nor NaN
            features[j] = static_cast<float>(value);
        }
    return other;
}

// Parts of one row, and the squares of its base coordinates.
WITHIN void parts_of(const float* z, const float* ladj, const double* beside, double constant, Size d, double* parts,
                   double* squares) {
    for (Size j = 0; j < d; ++j) {
        const double wide = z[j], square = wide * wide;
        squares[j] = square;
        parts[j] = ((static_cast<double>(ladj[j]) - 0.5 * square) - constant) + beside[j];
    }
}

WIDE void add_parts(const Parts& rows, Size n, Size d, Size k) {
    const Size width = d + k;
    std::vector<double> of_row(d);
    double* squares = of_row.data();
    for (Size i = 0; i < n; ++i) {
        const float* z = rows.z + i * d;
        const bool* missing = rows.missing + i * d;
        double* parts = rows.parts + i * width;
        float* base = rows.base + i * d;
        parts_of(z, rows.ladj + i * d, rows.beside + i * rows.stride, rows.constant, d, parts, squares);
        for (Size j = 0; j < k; ++j) parts[d + j] = rows.category[i * k + j];
        double sum = row_sum(parts, width);
        // A sum is finite where its terms are; where it is not, they may be so all the same.
        bool ok = rows.ok[i];
        if (!std::isfinite(sum))
            for (Size j = 0; j < width; ++j) ok = ok && std::isfinite(parts[j]);
        bool gaps = false;
        for (Size j = 0; j < d; ++j) gaps |= missing[j];
        if (ok && !gaps) {
            std::memcpy(base, z, d * sizeof(float));
        } else {
            if (!ok) {
                std::memset(parts, 0, width * sizeof(double));
                sum = 0.0;
            }
            for (Size j = 0; j < d; ++j) {
                base[j] = !ok || missing[j] ? 0.0f : z[j];
                squares[j] = static_cast<double>(base[j]) * base[j];
            }
        }
        rows.log_prob[i] = sum;
        rows.distance[i] = row_sum(squares, d);
        rows.scorable[i] = ok;
    }
}

WIDE void within_slices(const double* rarity, const std::int64_t* codes, const double* edges, const double* hazard,
                        Size levels, double step, Size n, double* out) {
    for (Size i = 0; i < n; ++i) {
        const double* edge = edges + codes[i] * levels;
        const double value = rarity[i];
        std::int64_t level = 0;  // edges ascend: no jump at the first that lies beyond
        for (Size l = 1; l < levels; ++l) level += value >= edge[l];
        out[i] = step * static_cast<double>(level) + (value - edge[level]) * hazard[codes[i] * levels + level];
    }
}

WIDE void counts(const double* x, Size n, Size d, const double* centre, const double* scale, double most, double unit,
                 std::int64_t* out) {
    // Added to a number of less than 2^51 it leaves a whole one, rounded to even, in the lower bits.
    const double whole = 6755399441055744.0;
    std::int64_t zero;
    std::memcpy(&zero, &whole, sizeof zero);
    for (Size i = 0; i < n; ++i, x += d, out += d)
        for (Size j = 0; j < d; ++j) {
            double value = (x[j] - centre[j]) / scale[j];
            value = value < -most ? -most : value;
            value = value > most ? most : value;
            value = x[j] == x[j] ? value : 0.0;
            value = value * unit + whole;
            std::int64_t bits;
            std::memcpy(&bits, &value, sizeof bits);
            out[j] = bits - zero;
        }
}

void earlier(const std::int64_t* codes, Size n, std::int64_t* counts, std::int64_t* out) {
    for (Size i = 0; i < n; ++i) out[i] = counts[codes[i]]++;
}

WIDE bool within(const double* x, Size n, double smallest, double largest) {
    int other = 0;
    for (Size i = 0; i < n; ++i) {
        const double far = std::fabs(x[i]);
        other |= (far > largest) | ((far < smallest) & (far > 0.0));
    }
    return !other;
}

void draws(const std::int64_t* rows, Size m, std::uint64_t key, const std::int64_t* time_ms,
           const std::uint64_t* words, const double* numeric, Size d, double* out) {
    constexpr Size kTogether = 4;  // rows that are mixed side by side: one by one each step would wait for the last
    for (Size start = 0; start < m; start += kTogether) {
        const Size some = m - start < kTogether ? m - start : kTogether;
        std::uint64_t word[kTogether];
        const double* x[kTogether];
        for (Size i = 0; i < kTogether; ++i) {
            const Size at = start + (i < some ? i : 0), row = rows[at];
            word[i] = mixed(mixed(key * 3 + static_cast<std::uint64_t>(time_ms[row])) * 3 + words[at]);
            x[i] = numeric + row * d;
        }
        for (Size j = 0; j < d; ++j)
            for (Size i = 0; i < kTogether; ++i) word[i] = mixed(word[i] * 3 + bits_of(x[i][j]));
        for (Size i = 0; i < some; ++i) out[start + i] = (static_cast<double>(word[i] >> 11) + 0.5) * 0x1p-53;
    }
}

}  // namespace loops
