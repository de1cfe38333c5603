"use strict";
// One incident: all of its last message, its thread, a picture, its members.

const REASONS = { opened: "opened", again: "came back", severity: "severity changed", kind: "kind changed", members: "members changed",
  reminder: "reminder", action: "somebody acted", ended: "ended" };

function showMissing(why) {
  $("incident-head").replaceChildren(make("h2", {}, "No such incident"), make("p", {}, why));
  $("incident-head").className = "panel";
  $("blamed-part").hidden = true;
  for (const id of ["thread", "measures", "picture-legend", "blamed"]) $(id).replaceChildren();
  for (const id of ["examples", "members"]) $(id).tBodies[0].replaceChildren();
}

function showWhole(found, overview, choose) {
  found.measure = state.measures?.[found.line.id] ?? found.measure;
  showHead(found, overview, choose);
  showThread(found);
  showBlamed(found);
  showPicture(found);
  showExamples(found.record);
  showMembers(found.record, choose);
}

function showHead({ line: i, record: r, silence, partitions }, overview, choose) {
  const fact = (name, ...words) => make("div", {}, make("dt", {}, name), make("dd", {}, ...words));
  const wide = (name, ...words) => make("div", { class: "wide" }, make("dt", {}, name), make("dd", {}, ...words));
  const lasted = i.end_ms === null ? `open for ${ageWords(overview.time_ms - i.opened_pane_ms)}` : `${i.ended}, ${moment(i.end_ms)} UTC`;
  $("incident-head").className = `panel incident ${i.silenced ? "silenced" : i.severity}`;
  $("incident-head").replaceChildren(
    make("p", { class: "facts" }, badge(i), " ", make("span", { class: "kind" }, kindWords(i)), make("span", { class: "soft" }, ` ${lasted}`)),
    make("h2", {}, r.summary || r.id), members(i, choose), ...figures(r.findings),
    make("dl", { class: "facts-list" },
      fact("Began", `${moment(r.since_ms)} UTC`), fact("Opened", `${moment(r.opened_pane_ms)} UTC`),
      fact("Acknowledged", r.acked_by ? `by ${r.acked_by}` : "by nobody"),
      ...(r.silenced_by ? [fact("Silenced", `by silence ${shortId(r.silenced_by)}`)] : []),
      fact("Rules", r.rules.join(", ")), fact("Model", r.model_id ? make("a", { href: hashOf({ view: "models" }) }, r.model_id) : "none", ...(r.successor_id ? [`, then ${r.successor_id}`] : [])),
      wide("Evidence", `${r.evidence ? `${r.evidence}: ` : ""}${figure(r.statistic)}; it opened at ${figure(r.threshold)}`), fact("Events since", count(r.events)),
      wide("Promise", r.promise || "none"), ...(r.next ? [wide("What happens next", ...sentence(r.next))] : []),
      ...(partitions.length ? [wide("Told by", partitions.map((p) => `${p.place}, ${p.end_ms === null ? "still so" : `until ${moment(p.end_ms)}`}`).join("; "))] : []),
      ...(r.marks.length ? [fact("Near its beginning", r.marks.map((m) => `${m.text} (${m.by}, ${moment(m.at_ms)})`).join("; "))] : []),
      fact("Id", make("code", {}, r.id))),
    answering({ ...i, silence }, [...links(r.links), make("small", { class: "soft" }, ...sentence(i.end_ms === null && !silence.possible ? silence.says : ""))]));
}

function showThread({ thread, answers, story, earlier, partitions }) {
  const several = partitions.length > 1;
  const said = answers.map((a) => ({ time_ms: a.time_ms, order: 1, node: make("li", { class: "person" },
    make("span", { class: "soft" }, `${moment(a.time_ms)} · `), make("b", {}, `${a.by}: ${a.verdict ? VERDICTS[a.verdict] ?? a.verdict : VERBS[a.verb] ?? a.verb}`),
    a.why ? ` – ${a.why}` : "") }));
  const told = thread.map((m) => ({ time_ms: m.time_ms, order: 0, node: make("li", { class: m.silenced ? "silenced" : m.severity },
    make("span", { class: "soft" }, `${moment(m.time_ms)} · `), make("b", {}, REASONS[m.reason] ?? m.reason), m.place && several ? ` · ${m.place}` : "", ` · ${m.silenced ? "silenced" : m.severity}${m.slice_count ? ` · ${many(m.slice_count, "slice")}` : ""}`,
    make("div", {}, m.summary)) }));
  const happened = story.map((s) => ({ time_ms: s.time_ms, order: 2, node: make("li", { class: "step" }, make("span", { class: "soft" }, `${moment(s.time_ms)} · `), s.says) }));
  $("thread").replaceChildren(...(earlier ? [make("li", {}, `${many(earlier, "earlier message")} not shown here`)] : []), ...[...told, ...said, ...happened].sort((a, b) => a.time_ms - b.time_ms || a.order - b.order).map(({ node }) => node));
}

// A plot or two of each blamed column; what no plot can show stays in words.
function showBlamed({ blamed }) {
  $("blamed-part").hidden = !blamed.length;
  replaceKeepingFocus($("blamed"), blamed.map((b, k) => make("figure", {}, make("figcaption", {}, ...(b.says.startsWith(b.feature) ? [] : [make("b", {}, `${b.feature}: `)]), b.says || b.measure),
    ...(b.told.t.length ? [make("div", { id: `told-${k}`, class: "chart low", role: "img", "aria-label": `${b.feature}: seen and usual ${b.measure}, message by message` }),
      make("ul", { class: "legend" }, make("li", {}, swatch("--bad"), `seen${b.unit ? `, ${b.unit}` : ""}`), make("li", {}, swatch("--soft"), "usual"))] : []),
    ...(b.places.t.length ? [make("div", { id: `places-${k}`, class: "chart low", role: "img", "aria-label": `${b.feature}: where its values fell in what the model predicted, day by day` })]
      : [make("p", { class: "hint" }, "No histograms of these days are stored: the first come after a full day of events.")]))));
}

function showPicture(found) {
  const { curves, line: i, record: r } = found;
  const [title, hint] = MEASURES[found.measure];
  const own = curves.some((c) => r.members.some((m) => m.slice === c.slice && m.slicing === c.slicing));
  $("picture-title").textContent = title;
  $("picture").hidden = !curves.length;
  $("picture-hint").textContent = !curves.length ? "It is about no slice that curves are kept of."
    : `${hint} ${own ? "" : "It is about all slices together: these are some of them. "}${own && i.slices > curves.length ? `${curves.length} of its ${count(i.slices)} slices.` : ""}`;
  const choose = (name) => { (state.measures ??= {})[i.id] = name; found.measure = name; showPicture(found); draw(); };
  replaceKeepingFocus($("measures"), curves.length ? Object.keys(MEASURES).map((name) => make("button",
    { type: "button", "aria-pressed": String(name === found.measure), onclick: () => choose(name) }, { log_prob: "likelihood", events: "events", missing: "missing values" }[name])) : []);
  $("picture-legend").replaceChildren(...curves.map((c, k) => make("li", {}, swatch(CURVES[k]), nameOf(c))));
}

function swatch(name) {
  const node = make("i", { class: "key curve" });
  node.style.borderTopColor = `var(${name})`;
  return node;
}

function showExamples({ examples }) {
  const rows = examples.map((e) => make("tr", {}, make("td", { class: "when" }, moment(e.event_time_ms)), make("td", {}, nameOf({ slicing: "x", slice: e.slice })),
    make("td", { class: "wrap" }, place(e)), make("td", { class: "tight" }, `p = ${e.p_value.toPrecision(2)}`),
    make("td", {}, e.blame.map((b) => `${b.feature} ${percent(b.weight, 0)}`).join(", "))));
  $("examples").tBodies[0].replaceChildren(...(rows.length ? rows : [make("tr", {}, make("td", { colspan: "5" }, "None was kept: it is about a change of many events, none of which is strange by itself."))]));
}

function showMembers({ members: all, member_count: n }, choose) {
  $("members-title").textContent = n > all.length ? `Members: ${count(all.length)} of ${count(n)}` : "Members";
  $("members").tBodies[0].replaceChildren(...all.map((m) => make("tr", { class: m.over ? "over" : "" },
    make("td", {}, m.slicing && !(m.slice in NO_SLICE) ? make("button", { type: "button", class: "link", onclick: () => choose(m) }, nameOf(m)) : nameOf(m)),
    make("td", { class: "when" }, moment(m.since_ms)),
    make("td", {}, [m.feature, m.detector.replace("_", " "), { up: "higher", down: "lower" }[m.direction] ?? ""].filter(Boolean).join(", "), make("small", {}, `rule ${m.rule}`)),
    make("td", { class: "tight" }, m.over ? "over" : "still so"))));
}
