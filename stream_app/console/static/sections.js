"use strict";
// The overview's parts that are not charts.

// The sentences are the server's: they follow from the same figures as everything that is in colour below.
function showVerdict({ verdict, last_ended: ended }) {
  $("verdict").hidden = false;
  $("verdict").className = verdict.tone;
  $("verdict-says").textContent = verdict.says + (verdict.tone === "ok" && ended
    ? ` The last one ended on ${moment(ended.end_ms).slice(0, 10)}: ${ended.ended}.` : "");
  $("signs").replaceChildren(...verdict.signs.map((sign) => make("li", { class: sign.tone }, make("b", {}, sign.tone), " ",
    make("a", { href: sign.about in PLACES ? "#" : "#view=watcher", "data-key": `sign ${sign.about}`, onclick: () => reveal(sign.about) }, sign.says))));
}

// Where the overview shows what a sign is about; the rest is in the watcher's view.
const PLACES = { slices: "slices-part", features: "features-part", health: "health-panel" };

function reveal(about) {
  state.reveal = PLACES[about] ?? "";
  if (viewOf() === "overview") revealed();
}

function revealed() {
  if (!state.reveal) return;
  $(state.reveal).scrollIntoView();
  state.reveal = "";
}

function showHealth({ health }) {
  $("health-panel").hidden = !health.length;
  $("health").replaceChildren(...health.map((h) =>
    make("li", {}, make("b", {}, h.part), ` since ${moment(h.time_ms)} UTC (${h.source}): `, ...sentence(h.says))));
}

function showLeftOut({ left_out: n }) {
  $("left-out").hidden = !n;
  $("left-out").textContent = `${many(n, "point")} of the store ${n === 1 ? "is" : "are"} damaged and left out here.`;
}

const tile = (value, label, tone = "ok") => make("div", { class: `tile ${tone}` }, make("b", {}, value), make("span", {}, label));

function showTiles(o) {
  const c = o.counters;
  $("tiles").replaceChildren(
    tile(count(c.received), "events received"),
    tile(count(o.open_count + o.past_count), "incidents so far"),
    tile(count(o.retrains), "times a new model was asked for"),
    tile(count(o.swaps), "models swapped in"),
    tile(`${count(c.late)} / ${count(c.rejected)} / ${count(c.duplicate)}`, "events late / rejected / duplicate", o.arrivals),
    tile(count(c.held), "events held until their time comes"));
}

const FIND_FROM = 24;

// A page of the slices: the first of the overview, or another that was asked for.
function showSlices(o, listed, isChosen, choose, go) {
  const all = Object.values(o.states).reduce((a, b) => a + b, 0);
  $("find").hidden = all < FIND_FROM;
  $("slices-span").textContent = listed.slices.length ? lasting(listed.slices[0].span) : "window";
  if (!listed.slices.length) $("slices").replaceChildren(make("p", { class: "hint" }, all ? "No slice has that in its name." : "None yet: no pane has been closed."));
  else replaceKeepingFocus($("slices"), listed.slices.map((s) => sliceCard(s, o, isChosen(s), choose)));
  pager($("slices-pager"), listed, go);
}

function sliceCard(s, o, chosen, choose) {
  const found = s.incidents.map((i) => make("small", { class: `says ${i.severity}` }, `${MARK[i.kind]} ${i.severity}: ${i.says}`));
  found.push(...s.off.slice(0, 1).map((off) => make("small", { class: `says ${s.rate_tone}` }, offWords(off))));
  if (!found.length) found.push(make("small", {}, o.unlisted ? "in no incident that names its slices" : "in no incident"));
  const range = s.interval ? make("small", { class: "range" }, `${percent(s.interval[0])} to ${percent(s.interval[1])}`) : "";
  return make("button", { class: `slice ${s.tone}`, type: "button", "aria-pressed": String(chosen), "data-slice": s.slice, title: s.slice, onclick: () => choose(s) },
    make("b", {}, s.slice || "all"), make("span", { class: "share" }, percent(s.share)), range,
    ...(o.slicings > 1 ? [make("small", {}, s.slicing)] : []), ...found, ...showShifts(s.shifts));
}

function offWords({ span, alpha, times, side }) {
  const level = alpha === 0.01 ? "" : ` at p ≤ ${+(100 * alpha).toFixed(2)} %`;
  if (side < 0) return `↓ less than half of what was promised in ${spanWords(span)}${level}`;
  return `↑ ${times >= 10 ? count(Math.round(times)) : times.toFixed(1)} × what was promised in ${spanWords(span)}${level}`;
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
  const { share, alpha, scored, tones, interval } = detail.calibration;
  const k = alpha.indexOf(0.01), at = share[k], off = tones.filter((tone) => tone !== "ok").length;
  $("calibration-text").className = tones[k];
  $("calibration-text").textContent = at === null || at === undefined ? "The model in service has scored nothing in this window yet."
    : `In the last ${lasting(detail.span)}, ${percent(at, 2)} of the ${count(scored)} events scored by the model in service had p ≤ 1 % `
      + `(95 % interval ${percent(interval[0], 2)} to ${percent(interval[1], 2)}): ${(at / 0.01).toFixed(1)} times what was promised. `
      + (off ? `${many(off, "level")} of ${alpha.length} ${off === 1 ? "lies" : "lie"} outside the band.` : "All levels lie within the band.");
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
    $("features").replaceChildren(make("p", { class: "hint" }, "The first histograms are stored after the first full day of events that a model has scored."));
    return;
  }
  $("features").replaceChildren(...entries.map(featureCard));
}

function featureCard({ feature, moved, counts, tone }) {
  const bar = make("i"), none = counts.every((c) => c === 0); // nothing arrived: nothing is known of where it would have fallen
  bar.style.width = none ? "0" : `${Math.min(100, 100 * moved)}%`;
  return make("div", { class: `feature ${tone}` },
    make("header", {}, make("b", { title: feature }, feature), make("span", { class: "moved" }, none ? "no values" : moved.toFixed(2))),
    make("div", { class: "track" }, bar), histogram(feature, counts));
}
