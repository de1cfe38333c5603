"use strict";
// What people are told: open incidents, past ones, single strange events, silences.

const DAY_MS = 86_400_000;
const filters = { state: "all", kind: "", slice: "", silenced: false };
const STATES = { all: "all", open: "open", past: "past" };

// The incident that the address names, "" for none.
const opened = () => new URLSearchParams(location.hash.slice(1)).get("incident") ?? "";

function figure(x) {
  if (x === null || x === undefined) return "–";
  const size = Math.abs(x);
  if (size >= 1e7) {
    const [digits, power] = x.toExponential(1).split("e+");
    return `${digits} · 10${[...power].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}`;
  }
  if (size >= 1000) return Math.round(x).toLocaleString("en");
  return String(Number(x.toPrecision(3)));
}

function measured(finding, x) {
  if (x === null || x === undefined) return "–";
  if (!finding.unit && finding.measure.startsWith("share")) return percent(x);
  return finding.unit ? `${figure(x)} ${finding.unit}` : figure(x);
}

function ageWords(ms) {
  const hours = Math.max(ms, 0) / 3_600_000;
  const [n, word] = hours >= 48 ? [hours / 24, "day"] : hours >= 1 ? [hours, "hour"] : [hours * 60, "minute"];
  return `${Math.round(n)} ${word}${Math.round(n) === 1 ? "" : "s"}`;
}

const badge = ({ severity, silenced }) => make("span", { class: `severity ${silenced ? "silenced" : severity}` }, silenced ? "silenced" : severity);
const kindWords = ({ kind }) => `${MARK[kind]} ${KIND[kind]}`;
const link = ({ id, summary }) => make("a", { href: `#${new URLSearchParams({ incident: id })}`, class: "sentence", "data-key": `read ${id}` }, summary || id);

const isMeant = (i) => (!filters.kind || i.kind === filters.kind) && (!filters.slice
  || i.names.some((place) => nameOf(place).toLowerCase().includes(filters.slice.toLowerCase())));

function showIncidents(o, choose) {
  const meant = o.open.filter(isMeant), hushed = meant.filter((i) => i.silenced);
  const open = meant.filter((i) => filters.silenced || !i.silenced), past = o.past.filter((i) => isMeant(i) && (filters.silenced || !i.silenced));
  showFilters(o, choose, hushed.length + o.past.filter((i) => isMeant(i) && i.silenced).length);
  $("incidents-hint").textContent = "Drift: the world has changed, and a newer model may learn it. Data fault: values are missing or stuck, events are "
    + "too few or too many, or cannot be used as they arrive; no model is asked for. The worst first, then the oldest.";
  $("open").hidden = filters.state === "past";
  $("open").replaceChildren(...(open.length ? open.map((i) => card(i, o, choose)) : [make("p", { class: "none" }, noneWords(o, meant.length - open.length))]),
    ...(o.open_count > o.open.length ? [make("p", { class: "hint" }, `The worst ${count(o.open.length)} of ${count(o.open_count)}.`)] : []));
  $("past-part").hidden = filters.state === "open";
  $("past").tBodies[0].replaceChildren(...(past.length ? past.map((i) => pastRow(i, o, choose))
    : [make("tr", {}, make("td", { colspan: "5" }, o.past_count ? "None of them fits." : "None so far."))]));
  $("past-more").textContent = o.past_count > o.past.length ? `The newest ${count(o.past.length)} of ${count(o.past_count)}.` : "";
  showStrange(o);
  showSilences(o);
}

function noneWords(o, hidden) {
  if (hidden) return `None is open but ${count(hidden)} that ${hidden === 1 ? "is" : "are"} silenced.`;
  if (o.open.length) return "None that is open fits.";
  const ended = o.last_ended;
  return ended ? `None open. The last one ended on ${moment(ended.end_ms)} UTC, ${ageWords(o.time_ms - ended.end_ms)} ago: ${ended.ended}.` : "None open, and none so far.";
}

function showFilters(o, choose, hushed) {
  const again = () => showIncidents(o, choose);
  replaceKeepingFocus($("filter-state"), Object.entries(STATES).map(([name, word]) => make("button",
    { type: "button", "aria-pressed": String(filters.state === name), onclick: () => { filters.state = name; again(); } }, word)));
  $("filter-silenced-label").hidden = !hushed && !filters.silenced;
  $("filter-silenced-text").textContent = `show silenced (${count(hushed)})`;
  $("filter-kind").onchange = () => { filters.kind = $("filter-kind").value; again(); };
  $("filter-slice").oninput = () => { filters.slice = $("filter-slice").value; again(); };
  $("filter-silenced").onchange = () => { filters.silenced = $("filter-silenced").checked; again(); };
}

function card(i, o, choose) {
  return make("article", { class: `incident ${i.silenced ? "silenced" : i.severity}`, "data-id": i.id },
    make("p", { class: "facts" }, badge(i), " ", make("span", { class: "kind" }, kindWords(i)),
      make("span", { class: "soft" }, ` began ${moment(i.since_ms)} UTC, open for ${ageWords(o.time_ms - i.opened_pane_ms)}`),
      ...(i.acked_by ? [make("span", { class: "soft" }, ` · acknowledged by ${i.acked_by}`)] : []),
      ...(o.verdicts[i.id] ? [make("span", { class: "soft" }, ` · said to be ${VERDICTS[o.verdicts[i.id]] ?? o.verdicts[i.id]}`)] : [])),
    make("h3", {}, link(i)), members(i, choose), ...figures(i.findings, i.more_findings),
    ...(i.next ? [make("p", { class: "hint" }, i.next)] : []), answering(i, links(i.links)));
}

const NAMED = 5;

function members(i, choose) {
  const shown = i.names.slice(0, NAMED), more = i.slices - shown.filter((place) => !(place.slice in NO_SLICE)).length;
  const names = shown.flatMap((place, k) => [k ? ", " : "", place.slicing && !(place.slice in NO_SLICE)
    ? make("button", { type: "button", class: "link", onclick: () => choose(place) }, nameOf(place)) : nameOf(place)]);
  const rest = more > 0 && shown.length >= NAMED ? ` and ${count(more)} more` : "";
  const share = i.share > 0 ? ` · ${percent(i.share, 0)} of the events` : "";
  return make("p", { class: "members" }, ...names, `${rest}${share}`);
}

// What was found, in figures; without figures, in words.
function figures(findings, more = 0) {
  if (!findings.length) return [];
  const rows = findings.map((f) => make("tr", {}, make("td", {}, make("b", {}, f.feature || f.detector), f.measure ? ` ${f.measure}` : ""),
    ...(f.seen === null && f.expected === null ? [make("td", { colspan: "3", class: "words" }, f.says)]
      : [make("td", { class: "number" }, measured(f, f.seen)), make("td", { class: "number" }, measured(f, f.expected)),
        make("td", { class: "number" }, f.size_sd === null ? "–" : `${f.size_sd > 0 ? "+" : ""}${figure(f.size_sd)} σ`)]),
    make("td", { class: "number soft" }, percent(f.weight, 0))));
  const head = ["", "seen", "usual", "size", "evidence"].map((word, k) => make("th", k ? { class: "number" } : {}, word));
  return [make("table", { class: "figures" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)),
    ...(more ? [make("p", { class: "hint" }, `and ${count(more)} more`)] : [])];
}

// Links come from messages: only what leads to a page is one.
function links(table) {
  return Object.entries(table).filter(([name, url]) => name !== "console" && /^https?:\/\//i.test(url))
    .map(([name, url]) => make("a", { href: url, rel: "noreferrer", target: "_blank" }, name[0].toUpperCase() + name.slice(1)));
}

function pastRow(i, o, choose) {
  const [place] = i.names, more = i.slices - 1;
  const where = !place ? "" : place.slicing && !(place.slice in NO_SLICE)
    ? make("button", { type: "button", class: "link", onclick: () => choose(place) }, nameOf(place)) : nameOf(place);
  const verdict = o.verdicts[i.id];
  return make("tr", { class: i.silenced ? "silenced" : "" }, make("td", { class: "when" }, moment(i.since_ms), make("small", {}, ageWords(i.end_ms - i.since_ms))),
    make("td", { class: "until" }, i.ended, make("small", {}, moment(i.end_ms))),
    make("td", { class: "tight" }, badge(i), make("small", {}, kindWords(i))),
    make("td", { class: "tight" }, where, ...(more > 0 ? [make("small", {}, `and ${count(more)} more`)] : [])),
    make("td", { class: "says" }, link(i), ...(verdict ? [make("small", {}, `said to be ${VERDICTS[verdict] ?? verdict}`)] : [])));
}

function showStrange({ strange }) {
  $("strange-part").hidden = !strange.length;
  if (!strange.length) return;
  $("strange-hint").textContent = `In no incident. While nothing changes ${figure(strange[0].per_day)} a day are expected to be told, or fewer.`;
  $("strange-events").replaceChildren(...strange.map((s) => make("li", {}, make("span", { class: "soft" }, `${moment(s.pane_end_ms)} · `), s.summary,
    ...s.events.slice(0, 3).map((e) => make("small", {}, `${nameOf({ slicing: "x", slice: e.slice })}, ${moment(e.event_time_ms)}: ${place(e)}, p = ${e.p_value.toPrecision(2)}`)),
    acting.ready ? answering({ id: s.id, end_ms: s.pane_end_ms, acked_by: "" }, []) : make("small", {}, make("code", {}, `driftflow feedback ${shortId(s.id)} useful|noise`)))));
}

const place = ({ topic, partition, offset }) => `${topic}, partition ${partition}, offset ${offset}`;

function showSilences({ silences, time_ms: now }) {
  $("silences-part").hidden = !silences.length;
  $("silences").replaceChildren(...silences.map((s) => make("li", {}, make("b", {}, silenced(s)),
    ` ${s.from_ms <= now ? "until" : `from ${moment(s.from_ms)} to`} ${moment(s.to_ms)} UTC, by ${s.by}${s.why ? `: ${s.why}` : ""} `,
    make("small", {}, `driftflow unsilence ${shortId(s.id)}`))));
}

function silenced({ slices, channel, direction, below_sd: below }) {
  return [slices.join(" and ") || "every slice", channel, direction, below > 0 ? `below ${figure(below)} σ` : ""].filter(Boolean).join(", ");
}
