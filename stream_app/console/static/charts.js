"use strict";
// The charts. Colours come from the style sheet, so light and dark need no second set.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const DAY_S = 86400;
const utc = (seconds, options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options }).format(new Date(seconds * 1000));

function axis(more) {
  return { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", ...more };
}

// Day before month in words: 3/4 is April for one reader and March for another.
function timeAxis() {
  const values = (_, splits, __, ___, step) => splits.map((t, k) => {
    if (step < DAY_S) return t % DAY_S ? utc(t, { hour: "2-digit", minute: "2-digit" }) : utc(t, { day: "numeric", month: "short" });
    const turn = k === 0 || utc(t, { year: "numeric" }) !== utc(splits[k - 1], { year: "numeric" });
    const text = utc(t, step < 28 * DAY_S ? { day: "numeric", month: "short" } : { month: "short" });
    return turn ? `${text}\n${utc(t, { year: "numeric" })}` : text;
  });
  return axis({ values, space: 60, size: 42 });
}

function shade(u, from, to, fill) {
  const left = Math.max(u.valToPos(from, "x", true), u.bbox.left);
  const right = Math.min(u.valToPos(to, "x", true), u.bbox.left + u.bbox.width);
  if (right <= left) return;
  u.ctx.fillStyle = fill;
  u.ctx.fillRect(left, u.bbox.top, Math.max(right - left, 1), u.bbox.height);
}

function dashed(u, at, stroke) {
  const x = Math.round(u.valToPos(at, "x", true)) + 0.5;
  if (x >= u.bbox.left && x <= u.bbox.left + u.bbox.width) line(u, x, stroke, [5, 4]);
}

function line(u, x, stroke, dash) {
  u.ctx.save();
  u.ctx.strokeStyle = stroke;
  u.ctx.lineWidth = 1.5 * devicePixelRatio;
  u.ctx.setLineDash(dash.map((n) => n * devicePixelRatio));
  u.ctx.beginPath();
  u.ctx.moveTo(x, u.bbox.top);
  u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
  u.ctx.restore();
}

// Not by colour alone: faults are hatched.
function hatch(u, from, to, stroke) {
  const left = Math.max(u.valToPos(from, "x", true), u.bbox.left), right = Math.min(u.valToPos(to, "x", true), u.bbox.left + u.bbox.width);
  if (right <= left) return;
  const { top, height } = u.bbox, step = 9 * devicePixelRatio;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, Math.max(right - left, 1), height);
  u.ctx.clip();
  u.ctx.strokeStyle = stroke;
  u.ctx.lineWidth = devicePixelRatio;
  u.ctx.globalAlpha = 0.5;
  u.ctx.beginPath();
  for (let x = Math.floor((left - height) / step) * step; x < right; x += step) {
    u.ctx.moveTo(x, top + height);
    u.ctx.lineTo(x + height, top);
  }
  u.ctx.stroke();
  u.ctx.restore();
}

const BANDS = [["silenced", "--chance"], ["info", "--info-band"], ["warning", "--warn-band"], ["critical", "--bad-band"]];

// Time in which people knew of incidents: those that overlap are one band, or the tint would add up.
function bands(spans, end) {
  const joined = [];
  for (const i of [...spans].sort((a, b) => a.opened_ms - b.opened_ms)) {
    const last = joined[joined.length - 1], to = i.end_ms ?? end;
    if (last && i.opened_ms <= last[1]) last[1] = Math.max(last[1], to);
    else joined.push([i.opened_ms, to]);
  }
  return joined;
}

function drawBands(u, spans, end) {
  for (const [severity, fill] of BANDS) {
    for (const [from, to] of bands(spans.filter((i) => i.severity === severity), end)) shade(u, from / 1000, to / 1000, colour(fill));
  }
  for (const [from, to] of bands(spans.filter((i) => i.kind === "fault"), end)) hatch(u, from / 1000, to / 1000, colour("--warn"));
}

// Lines with words at their heads, as many rows deep as they need not to lie on each other.
function flags(u, lines) {
  const size = 11 * devicePixelRatio, ends = [], right = u.bbox.left + u.bbox.width;
  u.ctx.save();
  u.ctx.font = `${size}px system-ui, sans-serif`;
  u.ctx.textBaseline = "top";
  u.ctx.textAlign = "left";
  for (const { at, text, stroke, dash } of [...lines].sort((a, b) => a.at - b.at)) {
    const x = Math.round(u.valToPos(at, "x", true)) + 0.5;
    if (x < u.bbox.left || x > right) continue;
    line(u, x, stroke, dash);
    const words = text.length > 28 ? `${text.slice(0, 27)}…` : text, width = u.ctx.measureText(words).width;
    const left = Math.min(x + 4 * devicePixelRatio, right - width);
    let row = ends.findIndex((taken) => taken < left);
    if (row < 0) row = ends.length;
    ends[row] = left + width + size / 2;
    const top = u.bbox.top + 2 * devicePixelRatio + row * size * 1.3;
    if (row > 5) continue;
    u.ctx.globalAlpha = 0.75; // what is drawn beneath shines through
    u.ctx.fillStyle = colour("--panel");
    u.ctx.fillRect(left - 2, top - 1, width + 4, size * 1.25);
    u.ctx.globalAlpha = 1;
    u.ctx.fillStyle = stroke;
    u.ctx.fillText(words, left, top);
  }
  u.ctx.restore();
}

const markFlags = (marks) => marks.map((m) => ({ at: m.at_ms / 1000, text: m.text || "mark", stroke: colour("--ink"), dash: [] }));

function overlay(detail, end) {
  return (u) => {
    drawBands(u, detail.incidents, end);
    for (const s of detail.swaps) dashed(u, s.time_ms / 1000, colour("--swap"));
    flags(u, markFlags(detail.marks));
  };
}

// A stream that has only begun: one pane is a dot in its day, not an empty frame.
function period(xs) {
  const first = xs[0], last = xs[xs.length - 1];
  return first === last ? [first - DAY_S / 2, last + DAY_S / 2] : [first, last];
}
const dots = (xs, fill) => ({ show: xs.length < 30, size: 6, fill });

const drawn = new Map();

function put(id, options, data, say) {
  const host = document.getElementById(id), read = document.getElementById(`${id}-read`);
  const pointed = drawn.get(id)?.cursor;
  drawn.get(id)?.destroy();
  const setCursor = (u) => {
    const k = u.cursor.idx;
    if (read) read.textContent = (k === null || k === undefined ? "" : say(k)) || "Point at the curve to read it.";
  };
  const hooks = { ...options.hooks, ...(say ? { setCursor: [setCursor] } : {}) };
  const basic = { width: host.clientWidth, height: host.clientHeight, legend: { show: false }, tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "Etc/UTC") };
  const chart = new uPlot({ cursor: { y: false, drag: { x: false, y: false } }, ...basic, ...options, hooks }, data, host);
  drawn.set(id, chart);
  if (say) chart.setCursor(pointed?.left >= 0 ? { left: pointed.left, top: pointed.top } : { left: -10, top: -10 }); // what was being read goes on
}

const moments = (seconds) => utc(seconds, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

function nameIncidents(detail, seconds) {
  return detail.incidents.filter((i) => i.opened_ms <= seconds * 1000 && seconds * 1000 <= (i.end_ms ?? Infinity))
    .map((i) => ` · ${KIND[i.kind]}: ${i.says}`).join("");
}

// The worst half per cent would flatten everything else: it runs off the lower edge.
function heights(values) {
  const sorted = values.filter((y) => y !== null).sort((a, b) => a - b);
  const low = sorted[Math.floor(sorted.length * 0.005)] ?? 0, high = sorted[sorted.length - 1] ?? 1;
  const pad = Math.max((high - low) * 0.06, 0.1);
  return [low - pad, high + pad];
}

// Two models are not on one scale: the curve breaks between them.
function broken({ t, log_prob: values, model_id: models }) {
  const xs = [], ys = [];
  for (let k = 0; k < t.length; k++) {
    if (k && models[k] !== models[k - 1]) { xs.push((t[k - 1] + t[k]) / 2000); ys.push(null); }
    xs.push(t[k] / 1000);
    ys.push(values[k] ?? null);
  }
  return [xs, ys];
}

function drawLikelihood(detail, end) {
  const [xs, ys] = broken(detail.panes);
  put("likelihood", {
    scales: { x: { range: period(xs) }, y: { range: heights(ys) } },
    axes: [timeAxis(), axis({ size: 52 })],
    series: [{}, { stroke: colour("--accent"), width: 1.4, points: dots(xs, colour("--accent")) }],
    hooks: { drawClear: [overlay(detail, end)] },
  }, [xs, ys], (k) => (ys[k] === null ? "" : `${moments(xs[k])} UTC · ${ys[k].toFixed(1)} nats${nameIncidents(detail, xs[k])}`));
}

function drawStrange(detail, end) {
  const { t, share } = detail.strange;
  const xs = t.map((ms) => ms / 1000);
  const top = Math.max(0.03, ...share.filter((s) => s !== null)) * 1.1;
  put("strange", {
    scales: { x: { range: period(xs) }, y: { range: [0, top] } },
    axes: [timeAxis(), axis({ size: 52, space: 28, values: (_, ticks) => ticks.map((v) => `${+(v * 100).toFixed(1)} %`) })],
    series: [{}, { stroke: colour("--strange"), width: 1.6, points: dots(xs, colour("--strange")), fill: colour("--strange-soft") },
      { stroke: colour("--soft"), width: 1, points: { show: false } }],
    hooks: { drawClear: [overlay(detail, end)] },
  }, [xs, share, xs.map(() => 0.01)],
  (k) => (share[k] === null ? "" : `${moments(xs[k])} UTC · ${percent(share[k])} strange${nameIncidents(detail, xs[k])}`));
}

// The band is what is allowed; a point beyond it has the colour that the sentence at the top has for it.
function drawCalibration(detail) {
  const { alpha, share, allowed, tones } = detail.calibration;
  const floor = 1e-4, decades = [1e-4, 1e-3, 1e-2, 1e-1, 1];
  const labels = (_, ticks) => ticks.map((v) => `${+(v * 100).toFixed(2)} %`);
  const log = { distr: 3, range: [floor * 0.7, 1.3] };
  const seen = (values) => values.map((s) => (s > 0 ? Math.max(s, floor * 0.7) : null));
  const edge = { stroke: "transparent", points: { show: false } };
  const of = (tone) => seen(share.map((s, k) => (tones[k] === tone ? s : null)));
  const points = (name) => ({ stroke: "transparent", points: { show: true, size: 9, fill: colour(name), stroke: colour(name) } });
  put("calibration", {
    cursor: { show: false },
    scales: { x: { ...log, time: false }, y: log },
    axes: [axis({ splits: () => decades, values: labels }), axis({ size: 58, splits: () => decades, values: labels })],
    series: [{}, edge, edge, { stroke: colour("--soft"), width: 1, dash: [4, 4], points: { show: false } },
      { stroke: colour("--accent"), width: 2, points: { show: true, size: 7, fill: colour("--accent") } }, points("--warn"), points("--info"), points("--soft")],
    bands: [{ series: [2, 1], fill: colour("--chance") }],
  }, [alpha, allowed.map(([low]) => Math.max(low, floor * 0.7)), allowed.map(([, high]) => Math.max(high, floor * 0.7)), alpha, seen(share),
    of("warning"), of("info"), of("silenced")]);
}
