"use strict";
// The three charts. Colours come from the style sheet, so light and dark need no second set.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const DAY_S = 86400;

function axis(more) {
  return { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif", ...more };
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
  if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
  u.ctx.save();
  u.ctx.strokeStyle = stroke;
  u.ctx.lineWidth = 1.5;
  u.ctx.setLineDash([5, 4]);
  u.ctx.beginPath();
  u.ctx.moveTo(x, u.bbox.top);
  u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
  u.ctx.restore();
}

// Incidents behind the curve: drift in front of the others, so that it is never hidden.
function overlay(incidents, swaps, end) {
  return (u) => {
    const order = (i) => (i.rule === "drift" ? 1 : 0);
    for (const i of [...incidents].sort((a, b) => order(a) - order(b))) {
      shade(u, i.start_ms / 1000, (i.end_ms ?? end) / 1000, colour(i.rule === "drift" ? "--bad-soft" : "--warn-soft"));
    }
    for (const s of swaps) dashed(u, s.time_ms / 1000, colour("--accent"));
  };
}

// Empty once, then filled: a chart that is redrawn in place does not flicker.
const drawn = new Map();

function put(id, options, data) {
  const host = document.getElementById(id);
  const old = drawn.get(id);
  if (old) old.destroy();
  const size = { width: host.clientWidth, height: host.clientHeight };
  drawn.set(id, new uPlot({ ...size, legend: { show: false }, cursor: { y: false }, ...options }, data, host));
}

function drawLikelihood(detail, swaps, end) {
  const { t, log_prob: values, model_id: models } = detail.panes;
  // A gap where the model changes: likelihoods of two models are not on one scale.
  const xs = [], ys = [];
  for (let k = 0; k < t.length; k++) {
    if (k && models[k] !== models[k - 1]) { xs.push((t[k - 1] + t[k]) / 2000); ys.push(null); }
    xs.push(t[k] / 1000);
    ys.push(values[k] ?? null);
  }
  const sorted = ys.filter((y) => y !== null).sort((a, b) => a - b);
  // The worst half per cent would flatten everything else: it is clipped at the lower edge.
  const low = sorted[Math.floor(sorted.length * 0.005)] ?? 0, high = sorted[sorted.length - 1] ?? 1;
  const pad = Math.max((high - low) * 0.06, 0.1);
  put("likelihood", {
    scales: { y: { range: [low - pad, high + pad] } },
    axes: [axis(), axis({ size: 52 })],
    series: [{}, { stroke: colour("--accent"), width: 1.4, points: { show: false } }],
    hooks: { drawClear: [overlay(detail.incidents, swaps, end)] },
  }, [xs, ys]);
}

function drawStrange(detail, swaps, end) {
  const xs = detail.strange.t.map((t) => t / 1000);
  const top = Math.max(0.03, ...detail.strange.share) * 1.1;
  put("strange", {
    scales: { y: { range: [0, top] } },
    axes: [axis(), axis({ size: 52, values: (_, ticks) => ticks.map((v) => `${+(v * 100).toFixed(1)} %`) })],
    series: [{}, { stroke: colour("--bad"), width: 1.6, points: { show: false }, fill: colour("--bad-soft") },
      { stroke: colour("--soft"), width: 1, points: { show: false } }],
    hooks: { drawClear: [overlay([], swaps, end)] },
  }, [xs, detail.strange.share, xs.map(() => 0.01)]);
}

function drawCalibration(detail) {
  const { alpha, share } = detail.calibration;
  const floor = 1e-4;
  const label = (v) => (v >= 0.01 ? `${+(v * 100).toFixed(0)} %` : `${+(v * 100).toFixed(2)} %`);
  const decades = [1e-4, 1e-3, 1e-2, 1e-1, 1];
  const log = { distr: 3, range: [floor * 0.7, 1.3] };
  put("calibration", {
    cursor: { show: false },
    scales: { x: { ...log, time: false }, y: log },
    axes: [axis({ splits: () => decades, values: (_, ticks) => ticks.map(label) }),
      axis({ size: 58, splits: () => decades, values: (_, ticks) => ticks.map(label) })],
    series: [{}, { stroke: colour("--soft"), width: 1, dash: [4, 4], points: { show: false } },
      { stroke: colour("--accent"), width: 2, points: { show: true, size: 7, fill: colour("--accent") } }],
  }, [alpha, alpha, share.map((s) => (s > 0 ? Math.max(s, floor) : null))]);
}
