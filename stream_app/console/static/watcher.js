"use strict";
// The watcher itself: what arrives and what becomes of it, how far behind it is, what waits, what fails.

async function showWatcher() {
  let w;
  try { w = await ask("/api/watcher"); } catch (error) {
    if (!error.said) throw error;
    $("watcher").replaceChildren(panel("Nothing to show yet", make("p", {}, error.message), make("p", { class: "hint" }, "It comes with the first pane that a worker closes. ",
      make("code", {}, "driftflow status"), " says what the workers do, ", make("code", {}, "driftflow doctor"), " what stands in the way.")));
    return;
  }
  if (viewOf() !== "watcher") return;
  const live = w.live, recent = live?.recent;
  const parts = [nowPart(w, live, recent), droppedPart(w, live, recent), partitionPart(w), sinkPart(w, live), requestPart(w), failingPart(w, live)];
  keepingKey(() => $("watcher").replaceChildren(...parts.filter(Boolean)));
}

const panel = (title, ...nodes) => make("section", { class: "panel" }, make("h2", {}, title), ...nodes);

function nowPart(w, live, recent) {
  if (!live) return panel("Now", make("p", { class: "hint" }, "No worker has written its state here. This store is of another machine or was written by ",
    make("code", {}, "driftflow score"), "; start ", make("code", {}, "driftflow worker"), " with this configuration to see it live."));
  const rate = recent.per_second.received;
  const tiles = [
    tile(live.alive ? "alive" : "not alive", live.alive ? "workers" : `the last one wrote ${moment(live.at_ms)} UTC`, live.alive ? "ok" : "warning"),
    tile(rate === null ? "–" : figure(rate), "events a second"),
    tile(live.lag === null ? "not known" : count(live.lag), "events that wait in Kafka (lag)"),
    tile(live.event_time_ms ? moment(live.event_time_ms) : "–", "event time (UTC)"),
    tile(live.service || "none", "model that scores"),
    tile(live.waits_for.length ? live.waits_for.join(", ") : "none", "models that events wait for", live.waits_for.length ? "warning" : "ok"),
  ];
  const behind = Object.entries(live.lags).filter(([, lag]) => lag).sort((a, b) => b[1] - a[1]).slice(0, 8);
  return panel("Now", make("div", { class: "tiles" }, ...tiles),
    make("p", { class: "hint" }, recent.seconds ? `Rates are of the last ${Math.round(recent.seconds)} s.` : "Rates come with the next look.",
      behind.length ? ` Furthest behind: ${behind.map(([name, lag]) => `${name} ${count(lag)}`).join(", ")}.` : ""));
}

// What was dropped, and why: of the last minute, and since the workers started.
function droppedPart(w, live, recent) {
  const c = w.counters, letters = Object.entries(live?.dead_letters ?? {}).sort((a, b) => b[1] - a[1]);
  const shares = [["windowed", "scored and in a window"], ["rejected", "could not be read or used"], ["late", "came after their pane had closed"],
    ["duplicate", "have an id that came before"], ["held", "wait until their time comes"]];
  const tone = recent?.tone ?? "ok";
  return panel("What becomes of events",
    ...(recent && tone !== "ok" ? [make("p", { class: `alarm ${tone}` }, `${percent((recent.rejected + recent.late) / recent.events, 0)} of the last ${count(recent.events)} events are dropped.`)] : []),
    make("table", { class: "figures" }, make("thead", {}, make("tr", {}, ...["what", "in all", "share", "last minute"].map((word, k) => make("th", k ? { class: "number" } : {}, word)))),
      make("tbody", {}, ...shares.map(([name, words]) => make("tr", { class: (name === "rejected" || name === "late") && recent?.[name] ? tone : "" }, make("td", {}, make("b", {}, name), ` ${words}`),
        make("td", { class: "number" }, count(c[name])), make("td", { class: "number" }, c.received ? percent(c[name] / c.received) : "–"),
        make("td", { class: "number" }, recent?.per_second?.[name] === undefined || recent.per_second[name] === null ? "–" : `${figure(recent.per_second[name])} /s`))))),
    make("h3", {}, "Dead letters by reason"),
    letters.length ? make("ul", { class: "plain" }, ...letters.slice(0, 20).map(([reason, n]) => make("li", {}, make("b", {}, reason), ` ${count(n)} since the workers started`,
      ...(recent.reasons[reason] ? [`, ${count(recent.reasons[reason])} in the last minute`] : []), make("small", {}, make("code", {}, `driftflow dead-letters list --reason ${reason}`)))))
      : make("p", { class: "hint" }, ...sentence(live ? "None since the workers started." : "Only running workers say it; `driftflow dead-letters list` reads their topic.")));
}

function partitionPart(w) {
  const rows = w.partitions.map((p) => make("tr", { class: p.tone }, make("td", {}, p.partition), make("td", { class: "number" }, count(p.totals.received)),
    make("td", { class: "number" }, count(p.totals.windowed)), make("td", { class: "number" }, `${count(p.rejected + p.late)} of ${count(p.events)}`),
    make("td", { class: "number" }, percent(p.share), p.tone === "ok" ? "" : make("b", { class: "tone" }, ` ${p.tone}`)), make("td", { class: "when" }, moment(p.time_ms))));
  const head = ["Partition", "Received", "In windows", "Dropped lately", "Share", "As of (UTC)"].map((word, k) => make("th", k && k < 5 ? { class: "number" } : {}, word));
  return panel("Source partitions, by the store", rows.length
    ? make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Source partitions" }, make("table", { id: "partitions" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)))
    : make("p", { class: "hint" }, "None has reported yet: that comes with the first pane that closes, or after 1,000 events that are in none."),
  ...(w.more_partitions ? [make("p", { class: "hint" }, `and ${count(w.more_partitions)} more, of which less is dropped`)] : []));
}

function sinkPart(w, live) {
  const aside = live?.set_aside ?? 0;
  return panel("Store and sink", make("div", { class: "tiles" },
    tile(bytes(w.bytes), "size of the store"), tile(w.written_ms ? moment(w.written_ms) : "–", "written last (UTC)"),
    ...(live ? [tile(count(live.spooled), "points that wait for the sink"), tile(count(aside), "points set aside: the sink will not take them"), tile(count(live.sink_errors), "tries that failed and were made again")] : []),
    tile(count(w.left_out), "damaged points left out here")),
  ...(aside ? [make("p", { class: "hint" }, make("code", {}, "driftflow sink list"), " says which, and why.")] : []));
}

function requestPart(w) {
  const waits = w.requests.filter((r) => r.state === "waits").length;
  return panel("The trainer's queue", make("p", { class: "hint" }, waits ? `${many(waits, "request")} without an answer. The trainer takes one after the other; while a candidate is compared they wait.` : "No request waits."),
    w.requests.length ? make("ul", { class: "plain" }, ...w.requests.map((r) => make("li", {}, make("span", { class: "soft" }, `${moment(r.time_ms)} · `), make("b", {}, r.state),
      r.model_id ? ` ${r.model_id}` : "", `: ${r.reason}`)))
      : make("p", { class: "hint" }, "No model has been asked for: that follows where the one in service is hurt, or from \"this is the new normal\" on an incident."));
}

function failingPart(w, live) {
  const known = new Set(w.health.map((h) => h.part));
  const rows = [...w.health.map((h) => [h.part, ` since ${moment(h.time_ms)} UTC (${h.source}): ${h.says}`]),
    ...Object.entries(live?.failing ?? {}).filter(([part]) => !known.has(part)).map(([part, says]) => [part, ` now: ${says}`])];
  return panel("What fails in the processes", rows.length ? make("ul", {}, ...rows.map(([part, says]) => make("li", { class: "failing" }, make("b", {}, part), says)))
    : make("p", { class: "hint" }, "Nothing that they know of."));
}
