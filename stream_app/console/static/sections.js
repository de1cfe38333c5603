"use strict";
// The parts of the page that are not charts. Data only ever enters the page as text.

const $ = (id) => document.getElementById(id);
const percent = (x, digits = 1) => (x === null || x === undefined ? "–" : `${(100 * x).toFixed(digits)} %`);
const count = (n) => Number(n ?? 0).toLocaleString("en");
const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const KIND = { drift: "drift", fault: "data fault" };
const MARK = { drift: "▲", fault: "◆" };
const NO_SLICE = { __all__: "all slices together", __other__: "slices without a place of their own" };
const nameOf = ({ slicing, slice }) => NO_SLICE[slice] ?? (slice || (slicing ? "all" : "all events"));

function spanWords(span) {
  const words = { s: "second", m: "minute", h: "hour", d: "day" };
  const n = parseInt(span, 10), unit = words[span.replace(/^\d+/, "")];
  return unit ? `${n} ${unit}${n === 1 ? "" : "s"}` : span;
}

const lasting = (span) => spanWords(span).replace(/^1 /, "");

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.onclick = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// Buttons are made anew at every refresh: whoever is on one with the keyboard stays there.
function replaceKeepingFocus(host, nodes) {
  const at = [...host.children].indexOf(document.activeElement);
  host.replaceChildren(...nodes);
  if (at >= 0) (nodes.find((n) => n.getAttribute("aria-pressed") === "true") ?? nodes[at])?.focus({ preventScroll: true });
}

// The same for what lies deeper: it has a key.
function keepingKey(replace) {
  const key = document.activeElement?.dataset?.key;
  replace();
  if (key) document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

// The sentence is the server's: it follows from the incidents that are open, and from nothing else.
function showVerdict({ headline, last_ended: ended }) {
  $("verdict").className = headline.tone;
  $("verdict").textContent = headline.says + (headline.tone === "ok" && ended
    ? ` The last one ended on ${moment(ended.end_ms).slice(0, 10)}: ${ended.ended}.` : "");
}

function showHealth({ health }) {
  $("health-panel").hidden = !health.length;
  $("health").replaceChildren(...health.map((h) =>
    make("li", {}, make("b", {}, h.part), ` since ${moment(h.time_ms)} UTC (${h.source}): ${h.says}`)));
}

function showLeftOut({ left_out: n }) {
  $("left-out").hidden = !n;
  $("left-out").textContent = `${count(n)} point${n === 1 ? "" : "s"} of the store ${n === 1 ? "is" : "are"} damaged and left out here.`;
}

function showTiles(o) {
  const c = o.counters;
  const tiles = [
    [count(c.received), "events received"],
    [count(o.open_count + o.past_count), "incidents so far"],
    [count(o.retrains), "times a new model was asked for"],
    [count(o.swaps), "models swapped in"],
    [`${count(c.late)} / ${count(c.rejected)} / ${count(c.duplicate)}`, "events late / rejected / duplicate"],
    [count(c.held), "events held until their time comes"],
  ];
  $("tiles").replaceChildren(...tiles.map(([value, label]) => make("div", { class: "tile" }, make("b", {}, value), make("span", {}, label))));
}

const FIND_FROM = 24;

function showSlices(o, isChosen, choose) {
  const all = Object.values(o.states).reduce((a, b) => a + b, 0);
  $("find").hidden = all < FIND_FROM;
  $("slices-span").textContent = o.slices.length ? lasting(o.slices[0].span) : "window";
  $("slices-more").textContent = !all ? "None yet: no pane has been closed." : !o.found ? "No slice has that in its name."
    : o.found > o.slices.length ? `The worst ${count(o.slices.length)} of ${count(o.found)}. Find the others by name.` : "";
  replaceKeepingFocus($("slices"), o.slices.map((s) => {
    const found = s.incidents.map((i) => make("small", { class: `says ${i.severity}` }, `${MARK[i.kind]} ${i.severity}: ${i.says}`));
    if (!found.length) found.push(make("small", {}, o.unlisted ? "in no incident that names its slices" : "in no incident"));
    return make("button", { class: `slice ${s.state}`, type: "button", "aria-pressed": String(isChosen(s)), "data-slice": s.slice, title: s.slice, onclick: () => choose(s) },
      make("b", {}, s.slice || "all"), make("span", { class: "share" }, percent(s.share)),
      ...(o.slicings > 1 ? [make("small", {}, s.slicing)] : []), ...found, ...showShifts(s.shifts));
  }));
}

const SHIFTS_TITLE = "Smallest shift noticed in a day / a week: how far the mean of one feature has to move, in standard deviations "
  + "of a single event, to be found within that time at the rate of events here; – where no shift would be.";

function showShifts(shifts) {
  if (shifts.every((s) => s === null || s === undefined)) return [];
  const [day, week] = shifts.map((s) => (s === null || s === undefined ? "–" : s.toFixed(2)));
  return [make("small", { class: "shifts", title: SHIFTS_TITLE }, `notices ${day} / ${week} sd`)];
}

function showSpans(detail, choose) {
  replaceKeepingFocus($("spans"), detail.spans.map((span) => make("button",
    { type: "button", "aria-pressed": String(span === detail.span), onclick: () => choose(span) }, spanWords(span))));
}

function showCalibrationText(detail) {
  const { share, alpha, scored } = detail.calibration;
  const at = share[alpha.indexOf(0.01)];
  $("calibration-text").textContent = at === null || at === undefined ? "The model in service has scored nothing in this window yet."
    : `In the last ${lasting(detail.span)}, ${percent(at, 2)} of the ${count(scored)} events scored by the model in service had p ≤ 1 %: `
      + `${(at / 0.01).toFixed(1)} times what was promised.`;
}

function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function histogram(feature, counts) {
  const total = counts.reduce((a, b) => a + b, 0) || 1, width = 100 / counts.length;
  const top = Math.max(3 / counts.length, ...counts.map((c) => c / total));
  const node = svg("svg", { viewBox: "0 0 100 50", preserveAspectRatio: "none", class: "hist", role: "img",
    "aria-label": `Where the values of ${feature} fell in the model's prediction` });
  counts.forEach((c, k) => {
    const height = (50 * c) / total / top;
    node.append(svg("rect", { x: k * width + 0.4, y: 50 - height, width: width - 0.8, height }));
  });
  const level = 50 - 50 / counts.length / top;
  node.append(svg("line", { x1: 0, x2: 100, y1: level, y2: level }));
  return node;
}

function showFeatures({ entries, from_ms: from }) {
  const since = entries.length ? ` since ${moment(from).slice(0, 10)}` : "";
  $("features-title").textContent = `Which features moved${since}, in all slices together`;
  if (!entries.length) {
    $("features").replaceChildren(make("p", { class: "hint" }, "The first histograms are stored after the first full day."));
    return;
  }
  $("features").replaceChildren(...entries.map(featureCard));
}

const FAR = 0.25;

function featureCard({ feature, moved, counts }) {
  const bar = make("i"), none = counts.every((c) => c === 0); // nothing arrived: nothing is known of where it would have fallen
  bar.style.width = none ? "0" : `${Math.min(100, 100 * moved)}%`;
  return make("div", { class: moved >= FAR ? "feature far" : "feature" },
    make("header", {}, make("b", { title: feature }, feature), make("span", { class: "moved" }, none ? "no values" : moved.toFixed(2))),
    make("div", { class: "track" }, bar), histogram(feature, counts));
}

function showModels(o) {
  const cards = [...o.models].reverse().map((m) => {
    const serving = m.model_id === o.service;
    const gates = Object.entries(m.gates).map(([name, g]) => make("li", { class: g.passed ? "pass" : "fail" },
      make("b", {}, name), ` ${g.passed ? "passed" : "failed"}: ${g.says}`));
    return make("div", { class: `model ${serving ? "service" : m.status}` },
      make("span", { class: "badge" }, serving ? "in service" : m.status), make("code", {}, m.model_id),
      make("p", { class: "hint" }, `trained on ${count(m.train_rows)} events up to ${moment(m.time_ms).slice(0, 10)}`), make("ul", {}, ...gates));
  });
  $("models").replaceChildren(...(cards.length ? cards : [make("p", { class: "hint" }, "No model has been recorded yet.")]));
}
