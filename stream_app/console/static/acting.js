"use strict";
// What people answer: by buttons where the console may sign and reach the broker, else by commands to type.

const VERDICTS = { useful: "useful", noise: "noise", "wrong-owner": "for somebody else" };
const VERBS = { ack: "acknowledged", accept: "accepted as the new normal", feedback: "answered" };
const ANSWERS = [
  ["ack", "", "Acknowledge", "Somebody looks at it: no more reminders."],
  ["accept", "", "This is the new normal", "It ends here, and what is seen now is taken for normal."],
  ["feedback", "useful", "Useful", "It was worth telling."],
  ["feedback", "noise", "Noise", "It was not."],
  ["feedback", "wrong-owner", "Wrong owner", "It was, but not here."],
];
const ACTING_MS = 60_000;
const acting = { ready: false, token: "", why: "", sent: {}, unfolded: new Set() };
const shortId = (id) => id.slice(0, 8);

async function followActing() {
  const before = acting.ready;
  try {
    const answer = await fetch("/api/acting", { cache: "no-store" });
    if (answer.ok) Object.assign(acting, await answer.json());
    else acting.ready = false;
  } catch { acting.ready = false; } // the page says by itself that nobody answers
  $("by").hidden = !acting.ready;
  if (acting.ready !== before) showAgain(); // what stands there has the other ways to answer
  setTimeout(followActing, ACTING_MS);
}

const command = (verb, verdict, id) => ["driftflow", verb, shortId(id), verdict].filter(Boolean).join(" ");

function answering(i, more) {
  const may = { ack: i.end_ms === null && !i.acked_by, accept: i.end_ms === null, feedback: true };
  const ways = ANSWERS.filter(([verb]) => may[verb]);
  if (!acting.ready) {
    return make("div", { class: "answering" }, ...more, commands(i.id, ways));
  }
  return make("div", { class: "answering choice" }, ...ways.map(([verb, verdict, words, says]) => make("button",
    { type: "button", title: says, "data-key": command(verb, verdict, i.id), onclick: () => act(verb, verdict, i.id) }, words)), ...more, make("small", { class: "sent", "data-sent": i.id }, acting.sent[i.id] ?? ""));
}

function commands(id, ways) {
  const unfold = make("summary", { "data-key": `unfold ${id}` }, "Answer from the command line");
  const node = make("details", acting.unfolded.has(id) ? { open: "" } : {}, unfold, make("p", { class: "hint" }, acting.why),
    ...ways.map(([verb, verdict, , says]) => make("div", {}, make("code", {}, command(verb, verdict, id)), make("small", {}, ` ${says}`))));
  node.ontoggle = () => (node.open ? acting.unfolded.add(id) : acting.unfolded.delete(id));
  return node;
}

function sent(id, words) {
  acting.sent[id] = words;
  for (const node of document.querySelectorAll(".sent")) if (node.dataset.sent === id) node.textContent = words;
}

function rememberName() {
  $("by").value = localStorage.getItem("driftflow by") ?? "";
  $("by").onchange = () => localStorage.setItem("driftflow by", $("by").value);
}

async function act(verb, verdict, id) {
  if (verb === "accept" && !confirm("Take what is seen now for normal, and end this incident?")) return;
  sent(id, "sending …");
  try {
    const answer = await fetch("/api/act", { method: "POST", headers: { "Content-Type": "application/json", "X-Driftflow-Token": acting.token },
      body: JSON.stringify({ verb, verdict, incident_id: id, by: $("by").value }) });
    const body = await answer.json();
    sent(id, answer.ok ? "Sent. It shows here once the worker has taken it." : `${body.error} – or type: ${command(verb, verdict, id)}`);
  } catch (error) {
    sent(id, `The console does not answer – type: ${command(verb, verdict, id)}`);
  }
}
