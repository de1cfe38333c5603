"use strict";
// What people are told: open incidents on the overview, the list of all, single strange events, silences.

function measured(finding, x) {
  if (x === null || x === undefined) return "–";
  if (!finding.unit && finding.measure.startsWith("share")) return percent(x);
  return finding.unit ? `${figure(x)} ${finding.unit}` : figure(x);
}

const badge = ({ severity, silenced }) => make("span", { class: `severity ${silenced ? "silenced" : severity}` }, silenced ? "silenced" : severity);
const kindWords = ({ kind }) => `${MARK[kind]} ${KIND[kind]}`;
const link = ({ id, summary }) => make("a", { href: hashOf({ incident: id }), class: "sentence", "data-key": `read ${id}` }, summary || id);

function showOpen(o, choose) {
  $("open").replaceChildren(...(o.open.length ? o.open.map((i) => card(i, o, choose)) : [make("p", { class: "none" }, noneWords(o))]));
  const more = o.open_count - o.open.length;
  $("open-more").replaceChildren(...(more > 0 ? [`The worst ${count(o.open.length)} of ${count(o.open_count)}. `] : []),
    ...(o.open_count + o.past_count ? [make("a", { href: "#view=incidents" }, `All ${many(o.open_count + o.past_count, "incident")}, with filters`)] : []));
}

function noneWords(o) {
  const ended = o.last_ended;
  return ended ? `None open. The last one ended on ${moment(ended.end_ms)} UTC, ${ageWords(o.time_ms - ended.end_ms)} ago: ${ended.ended}.`
    : "None open, and none so far. What is found here opens by itself; thresholds and the promise stand under [alerts] of driftflow.toml.";
}

function card(i, o, choose) {
  return make("article", { class: `incident ${i.silenced ? "silenced" : i.severity}`, "data-id": i.id },
    make("p", { class: "facts" }, badge(i), " ", make("span", { class: "kind" }, kindWords(i)),
      make("span", { class: "soft" }, ` began ${moment(i.since_ms)} UTC, open for ${ageWords(o.time_ms - i.opened_pane_ms)}`),
      ...(i.acked_by ? [make("span", { class: "soft" }, ` · acknowledged by ${i.acked_by}`)] : []),
      ...(o.verdicts[i.id] ? [make("span", { class: "soft" }, ` · said to be ${VERDICTS[o.verdicts[i.id]] ?? o.verdicts[i.id]}`)] : [])),
    make("h3", {}, link(i)), members(i, choose), ...figures(i.findings, i.more_findings),
    ...(i.next ? [make("p", { class: "hint" }, ...sentence(i.next))] : []), answering(i, links(i.links)));
}

const NAMED = 5;

function members(i, choose) {
  const shown = i.names.slice(0, NAMED), more = i.slices - shown.filter((place) => !(place.slice in NO_SLICE)).length;
  const names = shown.flatMap((place, k) => [k ? ", " : "", place.slicing && !(place.slice in NO_SLICE)
    ? make("button", { type: "button", class: "link", onclick: () => choose(place) }, nameOf(place)) : nameOf(place)]);
  const rest = more > 0 && shown.length >= NAMED ? ` and ${count(more)} more` : "";
  const share = i.share > 0 ? `${names.length || rest ? " · " : ""}${percent(i.share, 0)} of the events` : "";
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
  const head = ["what", "seen", "usual", "size", "evidence"].map((word, k) => make("th", k ? { class: "number" } : {}, word));
  return [make("table", { class: "figures" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)),
    ...(more ? [make("p", { class: "hint" }, `and ${count(more)} more`)] : [])];
}

// Links come from messages: only what leads to a page is one.
function links(table) {
  return Object.entries(table).filter(([name, url]) => name !== "console" && /^https?:\/\//i.test(url))
    .map(([name, url]) => make("a", { href: url, rel: "noreferrer", target: "_blank" }, name[0].toUpperCase() + name.slice(1)));
}

// The list: what is meant stands in the address, so that it can be sent to others; the server looks for it.
const FILTERS = ["state", "severity", "kind", "silenced", "slice", "find", "from", "to"];

async function showList() {
  const at = address(), query = Object.fromEntries([...FILTERS, "page"].map((name) => [name, at.get(name) ?? ""]).filter(([, value]) => value));
  for (const name of FILTERS) {
    const field = $("filters").elements[name];
    if (document.activeElement !== field) field.value = query[name] ?? (name === "state" ? "all" : "");
  }
  const number = ++state.asked;
  let found;
  try { found = await ask("/api/incidents", query); } catch (error) {
    if (!error.said) throw error;
    found = { incidents: [], found: 0, page: 0, pages: 1, why: error.message };
  }
  if (number !== state.asked || viewOf() !== "incidents") return; // something else was asked for meanwhile
  const filtered = Object.keys(query).some((name) => name !== "page" && !(name === "state" && query[name] === "all"));
  $("list-count").textContent = found.why ?? `${many(found.found, "incident")}${filtered ? " that fit" : ""}: open ones first, the worst of these first; then the newest.`;
  $("list-count").className = found.why ? "hint wrong" : "hint";
  const none = found.why ? "" : filtered ? "None fits: clear a filter." : "None so far. What is found opens by itself, and stays here after it has ended.";
  keepingKey(() => $("list").tBodies[0].replaceChildren(...(found.incidents.length ? found.incidents.map((i) => listRow(i, found))
    : [make("tr", {}, make("td", { colspan: "5" }, none))])));
  pager($("list-pager"), found, (page) => { location.hash = hashOf({ view: "incidents", ...query, page }); });
}

function listRow(i, found) {
  const [place] = i.names, more = i.slices - 1, open = i.end_ms === null, verdict = found.verdicts[i.id];
  const where = !place ? "" : place.slicing && !(place.slice in NO_SLICE)
    ? make("a", { href: hashOf({ slice: place.slice, slicing: place.slicing }) }, nameOf(place)) : nameOf(place);
  return make("tr", { class: i.silenced ? "silenced" : "" },
    make("td", { class: "when" }, moment(i.since_ms), make("small", {}, ageWords((open ? found.time_ms : i.end_ms) - i.since_ms))),
    make("td", { class: "until" }, open ? make("b", {}, "open") : i.ended, make("small", {}, open ? (i.acked_by ? `acknowledged by ${i.acked_by}` : "") : moment(i.end_ms))),
    make("td", { class: "tight" }, badge(i), make("small", {}, kindWords(i))),
    make("td", { class: "tight" }, where, ...(more > 0 ? [make("small", {}, `and ${count(more)} more`)] : [])),
    make("td", { class: "says" }, link(i), ...(verdict ? [make("small", {}, `said to be ${VERDICTS[verdict] ?? verdict}`)] : [])));
}

// Typed or chosen: the address says it a moment later.
function followFilters() {
  let waiting = 0;
  const say = () => {
    const fields = new FormData($("filters"));
    const chosen = Object.fromEntries(FILTERS.map((name) => [name, String(fields.get(name) ?? "")]).filter(([name, value]) => value && !(name === "state" && value === "all")));
    history.replaceState(null, "", hashOf({ view: "incidents", ...chosen }));
    showList().catch(failed);
  };
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(say, 200); };
  $("filters").oninput = soon;
  $("filters").onreset = () => setTimeout(say, 0);
  $("filters").onsubmit = (event) => { event.preventDefault(); say(); };
}

function showStrange({ strange }) {
  $("strange-part").hidden = !strange.length;
  if (!strange.length) return;
  $("strange-hint").textContent = `In no incident. While nothing changes ${figure(strange[0].per_day)} a day are expected to be told, or fewer.`;
  $("strange-events").replaceChildren(...strange.map((s) => make("li", {}, make("span", { class: "soft" }, `${moment(s.pane_end_ms)} · `), s.summary,
    ...s.events.slice(0, 3).map((e) => make("small", {}, `${nameOf({ slicing: "x", slice: e.slice })}, ${moment(e.event_time_ms)}: ${place(e)}, p = ${e.p_value.toPrecision(2)}`)),
    mayAct() ? answering({ id: s.id, end_ms: s.pane_end_ms, acked_by: "" }, []) : make("small", {}, make("code", {}, `driftflow feedback ${shortId(s.id)} useful|noise`)))));
}

const place = ({ topic, partition, offset }) => `${topic}, partition ${partition}, offset ${offset}`;

function showSilences({ silences, time_ms: now }) {
  $("silences-part").hidden = !silences.length;
  $("silences").replaceChildren(...silences.map((s) => make("li", {}, make("b", {}, silenced(s)),
    ` ${s.from_ms <= now ? "until" : `from ${moment(s.from_ms)} to`} ${moment(s.to_ms)} UTC, by ${s.by}${s.why ? `: ${s.why}` : ""} `,
    mayAct() ? make("div", { class: "answering choice" }, make("button", { type: "button", "data-key": `unsilence ${s.id}`, onclick: () => decide("unsilence",
      { incident_id: s.id }, "Take it back", "Incidents that it has covered, and that are open, reach people again.") }, "Take it back"), note(s.id))
      : make("small", {}, make("code", {}, `driftflow unsilence ${shortId(s.id)}`)))));
}

function silenced({ slices, channel, direction, below_sd: below }) {
  return [slices.join(" and ") || "every slice", channel, direction, below > 0 ? `below ${figure(below)} σ` : ""].filter(Boolean).join(", ");
}
