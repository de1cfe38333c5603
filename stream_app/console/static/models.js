"use strict";
// Models: what was decided of each and why, how the candidate does, what a person may say and what follows from it.

const MODEL_WAYS = { approve: "Approve", reject: "Reject", rollback: "Roll back", pin: "Pin", unpin: "Unpin" };

async function showModelsView() {
  let found;
  try { found = await ask("/api/models"); } catch (error) {
    if (!error.said) throw error;
    $("models").replaceChildren(make("p", {}, error.message), noModels());
    $("fair-hint").textContent = "Figures come with the first panes that a model has scored.";
    return;
  }
  if (viewOf() !== "models") return;
  keepingKey(() => {
    $("models").replaceChildren(...(found.models.length ? found.models.map((m) => modelCard(m, found)) : [noModels()]));
    $("models-left").replaceChildren(...sentence(found.left ? `${many(found.left, "older model")} not listed: \`driftflow models list\` has all.` : ""));
    $("changes-part").hidden = !found.changes.length;
    $("changes").replaceChildren(...found.changes.map((c) => make("li", {}, make("span", { class: "soft" }, `${moment(c.time_ms)} · `),
      make("b", {}, `${c.verb} ${c.model_id}`), ` by ${c.by}${c.returns_to ? `, ${c.returns_to} returns` : ""}${c.why ? `: ${c.why}` : ""}`)));
  });
  await showFairness(found.service);
}

const noModels = () => make("p", { class: "hint" }, "No model has been recorded in this store or in the registry. ",
  make("code", {}, "driftflow trainer --bootstrap-until DATE"), " trains the first one from a topic, ",
  make("code", {}, "driftflow score FILE --bootstrap-until DATE"), " from a file.");

function modelCard(m, found) {
  const waits = ["waiting", "candidate"].includes(m.status);
  const shadow = found.candidate?.model_id === m.model_id ? [shadowPart(found.candidate)] : [];
  return make("article", { class: `model ${m.status.replace(" ", "-")}` },
    make("p", { class: "facts" }, make("span", { class: "badge" }, m.pinned ? "in service, pinned" : m.status), " ", make("code", {}, m.model_id)),
    make("p", { class: "hint" }, `${m.train_rows ? `trained on ${count(m.train_rows)} events` : "made"} for events up to ${moment(m.time_ms).slice(0, 10)}${m.parent_id ? `, after ${m.parent_id}` : ""}`),
    ...(m.reason ? [make("p", { class: "reason" }, m.reason)] : []), ...shadow,
    ...(m.gates.length ? [gateList(m, waits)] : []), ways(m));
}

function gateList(m, open) {
  const failed = m.gates.filter((g) => !g.passed).length, key = `gates ${m.model_id}`;
  const node = make("details", open && !acting.unfolded.has(`closed ${key}`) || acting.unfolded.has(key) ? { open: "" } : {},
    make("summary", { "data-key": key }, failed ? `${failed} of ${many(m.gates.length, "gate")} failed` : `all ${many(m.gates.length, "gate")} passed`),
    make("ul", {}, ...m.gates.map(gate)));
  node.ontoggle = () => {
    if (node.open) { acting.unfolded.add(key); acting.unfolded.delete(`closed ${key}`); } else { acting.unfolded.delete(key); acting.unfolded.add(`closed ${key}`); }
  };
  return node;
}

function gate(g) {
  const range = g.interval_95?.length === 2 ? ` (${figure(g.interval_95[0])} to ${figure(g.interval_95[1])})` : "";
  const figures = g.figure === null || g.figure === undefined ? "" : `${figure(g.figure)}${range}${g.threshold === null || g.threshold === undefined ? "" : `, held against ${figure(g.threshold)}`}`;
  return make("li", { class: g.passed ? "pass" : "fail" }, make("b", {}, g.name.replaceAll("_", " ")), ` ${g.passed ? "passed" : g.waits ? "failed, a person may open it" : "failed"}: ${g.says}`,
    ...(figures ? [make("small", {}, figures)] : []));
}

// How far the comparison on live events has come.
function shadowPart(c) {
  const f = c.figures, done = Math.min(f.events / c.events_max, 1);
  const bar = make("progress", { value: String(done), max: "1", "aria-label": "Events that were compared, of as many as the comparison takes at most" });
  const words = { shadow: "Compared on live events", waiting: "Waits for a person", closing: "Being decided" }[c.phase];
  const odds = (e, word) => `${word} ${figure(e)} of ${figure(f.e_needed)}`;
  return make("div", { class: "shadow" }, make("b", {}, `${words}, beside ${c.champion || "no model"}`), ...(c.phase === "shadow" ? [bar] : []),
    make("small", {}, `${count(f.events)} of at most ${count(c.events_max)} events, since ${moment(c.began_ms)} UTC (for ${ageWords(c.patience_ms)} at most); evidence: ${odds(f.e_better, "better")}, ${odds(f.e_worse, "worse")}`),
    make("small", {}, f.events ? c.says : "No event has been compared yet."));
}

function ways(m) {
  if (!m.may.length) return "";
  if (!mayAct()) {
    const typed = m.may.map(({ verb, says }) => make("div", {}, make("code", {}, ["driftflow models", verb, verb === "unpin" ? "" : m.model_id].filter(Boolean).join(" ")), make("small", {}, says)));
    return make("details", { class: "answering" }, make("summary", { "data-key": `ways ${m.model_id}` }, "What may be said of it"), ...typed);
  }
  return make("div", { class: "answering choice" }, ...m.may.map(({ verb, says }) => make("button", { type: "button", title: says, "data-key": `${verb} ${m.model_id}`,
    onclick: () => decide(verb, verb === "unpin" ? {} : { model: m.model_id }, MODEL_WAYS[verb], says, m.model_id) }, MODEL_WAYS[verb])), note(m.model_id));
}

async function showFairness(service) {
  const found = await ask("/api/fairness");
  if (viewOf() !== "models") return;
  const [first] = found.parts;
  $("fair-hint").textContent = !found.model_id ? `No model has scored anything yet${service ? "" : ", and none is in service"}: figures come with the first panes.`
    : `Model ${found.model_id}, events from ${moment(found.from_ms).slice(0, 10)} to ${moment(found.to_ms).slice(0, 10)}. Whether the model is to blame, or those events are stranger, no figure says: look at them. `
      + "Over or under is said only where it is sure for all parts together.";
  $("fair-said").replaceChildren(...(first ? found.said : []).map((words) => make("li", {}, words)));
  const rows = found.parts.map((p) => make("tr", {}, make("td", {}, p.name || "all", make("small", {}, p.grouping)),
    make("td", { class: "number" }, count(p.rows)), make("td", { class: "number" }, percent(p.share, 2)), make("td", { class: "number" }, `${percent(p.share_95[0])} to ${percent(p.share_95[1])}`),
    make("td", { class: "number" }, percent(p.others, 2)), make("td", {}, { over: "surely more", under: "surely fewer", alike: "no sure one", "too few": "too few events" }[p.judged])));
  $("fair").tBodies[0].replaceChildren(...(rows.length ? rows : [make("tr", {}, make("td", { colspan: "6" }, found.model_id
    ? "There is one slice only, and nothing to compare it with: event.slicings makes more." : "Nothing yet."))]));
  $("fair-left").textContent = found.left ? `${many(found.left, "part")} more are not listed.` : "";
}
