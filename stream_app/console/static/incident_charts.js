"use strict";
// The charts of one incident.

const MEASURES = {
  log_prob: ["How likely its events are", "Average log-likelihood of the events of each pane, in nats: lower means stranger. The curve breaks where a new model takes over."],
  events: ["Events a pane", "Events of each pane."],
  missing: ["Missing values", "Missing values an event, pane by pane."],
};
const CURVES = ["--accent", "--bad", "--swap", "--warn", "--good"];

// An incident: its slices before, in and after it; when it began, opened and ended; what people did meanwhile.
function drawPicture(found, end) {
  const { span, curves, marks, measure } = found;
  drawn.get("picture")?.destroy();
  drawn.delete("picture");
  if (!curves.length) return;
  const tables = curves.map((c) => (measure === "log_prob" ? broken(c) : [c.t.map((ms) => ms / 1000), c[measure]]));
  const data = uPlot.join(tables), xs = data[0];
  const edges = [{ at: Math.max(span.since_ms / 1000, xs[0]), text: span.since_ms / 1000 < xs[0] ? "since earlier" : "since", stroke: colour("--soft"), dash: [2, 3] },
    { at: span.opened_ms / 1000, text: "opened", stroke: colour("--bad"), dash: [] },
    ...(span.end_ms === null ? [] : [{ at: span.end_ms / 1000, text: "ended", stroke: colour("--good"), dash: [] }])];
  const range = measure === "log_prob" ? heights(data.slice(1).flat().filter((y) => y !== undefined))
    : [0, Math.max(0.05, ...data.slice(1).flat().filter((y) => y !== undefined && y !== null)) * 1.15];
  put("picture", {
    scales: { x: { range: period(xs) }, y: { range } },
    axes: [timeAxis(), axis({ size: 52 })],
    series: [{}, ...curves.map((_, k) => ({ stroke: colour(CURVES[k]), width: 1.4, spanGaps: false, points: dots(xs, colour(CURVES[k])) }))],
    hooks: { drawClear: [(u) => { drawBands(u, [span], end); }], draw: [(u) => flags(u, [...edges, ...markFlags(marks)])] },
  }, data, (k) => `${moments(xs[k])} UTC · ${curves.map((c, n) => [c, data[n + 1][k]]).filter(([, y]) => y !== null && y !== undefined)
    .map(([c, y]) => `${nameOf(c)}: ${figure(y)}`).join(" · ")}`);
}

// Of each blamed column: what was seen and what is usual, by the messages; and the quartiles of where its values fell.
function drawBlamed({ blamed, span }) {
  for (const id of [...drawn.keys()]) if (/^(told|places)-/.test(id) && !$(id)?.querySelector("canvas")) { drawn.get(id).destroy(); drawn.delete(id); }
  blamed.forEach((b, k) => {
    if (b.told.t.length) drawTold(`told-${k}`, b);
    if (b.places.t.length) drawPlaces(`places-${k}`, b, span);
  });
}

function drawTold(id, { told }) {
  const xs = told.t.map((ms) => ms / 1000), values = [...told.seen, ...told.expected].filter((y) => y !== null);
  const low = Math.min(...values), high = Math.max(...values), pad = (high - low || Math.abs(high) || 1) * 0.15;
  put(id, {
    scales: { x: { range: period(xs) }, y: { range: [low - pad, high + pad] } },
    axes: [timeAxis(), axis({ size: 58, space: 28, values: (_, ticks) => ticks.map(figure) })],
    series: [{}, { stroke: colour("--bad"), width: 1.6, points: dots(xs, colour("--bad")) }, { stroke: colour("--soft"), width: 1.6, dash: [5, 4], points: dots(xs, colour("--soft")) }],
  }, [xs, told.seen, told.expected]);
}

function drawPlaces(id, { places }, span) {
  const xs = places.t.map((ms) => ms / 1000), of = (k) => places.quartiles.map((q) => (q ? q[k] : null));
  const edge = { stroke: colour("--accent"), width: 0.5, points: { show: false } };
  const from = span.opened_ms / 1000, to = (span.end_ms ?? Infinity) / 1000;
  const [first, last] = period(xs);
  put(id, {
    scales: { x: { range: [first, last] }, y: { range: [0, 1] } },
    axes: [timeAxis(), axis({ size: 58, space: 28, splits: () => [0, 0.25, 0.5, 0.75, 1], values: (_, ticks) => ticks.map((v) => `${100 * v} %`) })],
    series: [{}, edge, { stroke: colour("--accent"), width: 1.8, points: dots(xs, colour("--accent")) }, edge],
    bands: [{ series: [3, 1], fill: colour("--strange-soft") }],
    hooks: { drawClear: [(u) => shade(u, from, Math.min(to, last), colour("--bad-band"))] },
  }, [xs, of(0), of(1), of(2)]);
}
