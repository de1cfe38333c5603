"use strict";
// Asks the store what is new every two seconds and shows it. Text only ever enters the page as text.

const $ = (id) => document.getElementById(id);
const percent = (x, digits = 1) => `${(100 * x).toFixed(digits)} %`;
const count = (n) => Number(n ?? 0).toLocaleString("en");
const day = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const state = { etag: "", overview: null, chosen: null, span: "" };
const POLL_MS = 2000;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.onclick = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

async function poll() {
  try {
    const answer = await fetch("/api/overview", { headers: state.etag ? { "If-None-Match": state.etag } : {}, cache: "no-store" });
    if (answer.status === 200) {
      state.etag = answer.headers.get("ETag") ?? "";
      const { overview, stream } = await answer.json();
      $("stream").textContent = stream;
      document.title = `driftflow – ${stream}`;
      if (overview) await show(overview);
    }
    live("on", state.overview ? `events up to ${day(state.overview.time_ms)} UTC` : "waiting for data");
  } catch (error) {
    live("off", "the console does not answer; trying again");
  }
  setTimeout(poll, POLL_MS);
}

function live(kind, text) {
  $("live").className = kind;
  $("live-text").textContent = text;
}

async function show(overview) {
  state.overview = overview;
  $("waiting").hidden = true;
  $("main").hidden = false;
  const known = (s) => state.chosen && s.slice === state.chosen.slice && s.slicing === state.chosen.slicing;
  if (!overview.slices.some(known)) {
    state.chosen = overview.slices.find((s) => s.rules.includes("drift")) ?? overview.slices[0];
  }
  showTiles(overview);
  showSlices(overview);
  showAlerts(overview.alerts);
  showModels(overview);
  await showDetail();
}

function showTiles(o) {
  const c = o.counters;
  const open = o.slices.filter((s) => s.rules.includes("drift")).length;
  const tiles = [
    [count(c.received), "events, to the last closed pane"],
    [`${open} of ${o.slices.length}`, "slices drifted now"],
    [count(o.opened), "alerts opened"],
    [count(o.retrains.length), "retrain requests"],
    [count(o.swaps.length), "models swapped in"],
    [`${count(c.late)} / ${count(c.rejected)} / ${count(c.duplicate)}`, "late / rejected / duplicate"],
  ];
  $("tiles").replaceChildren(...tiles.map(([value, label]) => make("div", { class: "tile" }, make("b", {}, value), make("span", {}, label))));
}

function showSlices(o) {
  const several = new Set(o.slices.map((s) => s.slicing)).size > 1;
  $("slices").replaceChildren(...o.slices.map((s) => {
    const kind = s.rules.includes("drift") ? "bad" : s.rules.length ? "warn" : "ok";
    const chosen = s.slice === state.chosen.slice && s.slicing === state.chosen.slicing;
    const says = s.rules.length ? s.rules.join(", ") : "as expected";
    return make("button", { class: `slice ${kind}`, type: "button", "aria-pressed": String(chosen), "data-slice": s.slice,
      onclick: () => { state.chosen = s; showSlices(state.overview); showDetail(); } },
    make("b", {}, s.slice || "all"), make("span", { class: "share" }, percent(s.share)),
    make("small", {}, several ? `${s.slicing}: ${says}` : says));
  }));
}

async function showDetail() {
  const query = new URLSearchParams({ slicing: state.chosen.slicing, slice: state.chosen.slice, span: state.span });
  const answer = await fetch(`/api/slice?${query}`, { cache: "no-store" });
  if (!answer.ok) return;
  const detail = await answer.json();
  state.detail = detail;
  $("slice-title").textContent = detail.slice || "all";
  $("strange-span").textContent = detail.strange.span;
  showSpans(detail);
  showFeatures(detail.features);
  draw();
}

function draw() {
  if (!state.detail) return;
  const end = state.overview.time_ms;
  drawLikelihood(state.detail, state.overview.swaps, end);
  drawStrange(state.detail, state.overview.swaps, end);
  drawCalibration(state.detail);
  const { share, alpha, seen } = state.detail.calibration;
  const at = share[alpha.indexOf(0.01)];
  $("calibration-text").textContent =
    `In the last ${state.detail.span}: ${percent(at, 2)} of ${count(seen)} events had p ≤ 1 %, ${(at / 0.01).toFixed(1)} times what is expected.`;
}

function showSpans(detail) {
  $("spans").replaceChildren(...detail.spans.map((span) => make("button",
    { type: "button", "aria-pressed": String(span === detail.span), onclick: () => { state.span = span; showDetail(); } }, span)));
}

function histogram(counts) {
  const ns = "http://www.w3.org/2000/svg", total = counts.reduce((a, b) => a + b, 0) || 1;
  const top = Math.max(3 / counts.length, ...counts.map((c) => c / total));
  const svg = document.createElementNS(ns, "svg");
  const add = (tag, attributes) => {
    const node = document.createElementNS(ns, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    svg.append(node);
  };
  svg.setAttribute("viewBox", "0 0 100 50");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "hist");
  svg.setAttribute("role", "img");
  const width = 100 / counts.length;
  counts.forEach((c, k) => {
    const height = (50 * c) / total / top;
    add("rect", { x: k * width + 0.4, y: 50 - height, width: width - 0.8, height });
  });
  const level = 50 - 50 / counts.length / top;
  add("line", { x1: 0, x2: 100, y1: level, y2: level });
  return svg;
}

function showFeatures(features) {
  if (!features.length) {
    $("features").replaceChildren(make("p", { class: "hint" }, "The first histograms are stored after the first full day."));
    return;
  }
  $("features").replaceChildren(...features.map((f) => {
    const bar = make("i");
    bar.style.width = `${Math.min(100, 100 * f.moved)}%`;
    const box = make("div", { class: f.moved >= 0.25 ? "feature far" : "feature" },
      make("header", {}, make("b", {}, f.feature), make("span", { class: "moved" }, f.moved.toFixed(2))),
      make("div", { class: "track" }, bar), histogram(f.counts));
    return box;
  }));
}

function showAlerts(alerts) {
  const rows = alerts.map((a) => {
    const blame = JSON.parse(a.blame).map((b) => `${b.feature} ${percent(b.weight, 0)}`).join(", ");
    return make("tr", {}, make("td", { class: "when" }, day(a.time_ms)), make("td", { class: "tight" }, make("span", { class: `state ${a.state}` }, a.state)),
      make("td", { class: "tight" }, a.slice || "all"), make("td", { class: "tight" }, a.rule), make("td", {}, a.summary), make("td", {}, blame));
  });
  if (!rows.length) rows.push(make("tr", {}, make("td", { colspan: "6" }, "No alerts so far.")));
  $("alerts").tBodies[0].replaceChildren(...rows);
}

function showModels(o) {
  $("models").replaceChildren(...[...o.models].reverse().map((m) => {
    const serving = m.model_id === o.service;
    const gates = Object.entries(m.gates).map(([name, g]) => make("li", { class: g.passed ? "pass" : "fail" }, `${name}: ${g.says}`));
    return make("div", { class: `model ${serving ? "service" : m.status}` },
      make("span", { class: "badge" }, serving ? "in service" : m.status), make("code", {}, m.model_id),
      make("p", { class: "hint" }, `trained on ${count(m.train_rows)} rows up to ${day(m.time_ms)}`), make("ul", {}, ...gates));
  }));
}

let resizing = 0;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(draw, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
poll();
