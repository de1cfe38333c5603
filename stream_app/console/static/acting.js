"use strict";
// What people answer: by buttons where this page has the token and the console can send, else by commands to type.

const VERDICTS = { useful: "useful", noise: "noise", "wrong-owner": "for somebody else" };
const VERBS = { ack: "acknowledged", accept: "accepted as the new normal", feedback: "answered", silence: "silenced" };
const ANSWERS = [
  ["ack", "", "Acknowledge", "Somebody looks at it: no more reminders."],
  ["accept", "", "This is the new normal", "It ends here, and what is seen now is taken for normal. Where drift hurts the model in service, a new one is asked for."],
  ["silence", "", "Silence", "For a time nobody is told; nothing is hidden from the audit, and what it hid is told after it, if it is still so."],
  ["feedback", "useful", "Useful", "It was worth telling."],
  ["feedback", "noise", "Noise", "It was not."],
  ["feedback", "wrong-owner", "Wrong owner", "It was, but not here."],
];
const ASKED = new Set(["accept", "silence", "approve", "reject", "rollback", "pin", "unpin", "unsilence"]);
const ACTING_MS = 60_000;
const acting = { ready: false, known: false, why: "", sent: {}, unfolded: new Set(), token: "" };
const shortId = (id) => id.slice(0, 8);
const plain = (token) => token.replace(/[^\x21-\x7e]/g, ""); // a header holds nothing else, and no token has anything else
const mayAct = () => acting.ready && acting.known;

async function followActing() {
  clearTimeout(acting.timer);
  const before = mayAct();
  try {
    const answer = await fetch("/api/acting", { cache: "no-store", headers: { "X-Driftflow-Token": plain(acting.token) } });
    if (answer.ok) Object.assign(acting, await answer.json());
    else acting.ready = false;
  } catch { acting.ready = false; } // the page says by itself that nobody answers
  $("answers-fields").hidden = !acting.ready;
  $("answers-say").textContent = mayAct() ? "This page has the token: what is answered here is signed with the operator's key and stands in the audit."
    : acting.ready && acting.token ? "That is not the token. It is printed when the console starts, or lies in the file that console.token_file names."
      : acting.ready ? "This page only shows, until it has the token that the console has printed at its start, or that lies in the file that console.token_file names."
        : `This page only shows. ${acting.why}`;
  if (mayAct() !== before) showAgain(); // what stands there has the other ways to answer
  acting.timer = setTimeout(followActing, ACTING_MS);
}

const command = (verb, verdict, id) => ["driftflow", verb, shortId(id), verdict].filter(Boolean).join(" ");

function answering(i, more) {
  const goesOn = i.end_ms === null && i.answerable !== false;
  const may = { ack: goesOn && !i.acked_by, accept: goesOn, silence: i.end_ms === null && Boolean(i.silence?.possible), feedback: true };
  const ways = ANSWERS.filter(([verb]) => may[verb]);
  if (!mayAct()) {
    return make("div", { class: "answering" }, ...more, commands(i.id, ways.filter(([verb]) => verb !== "silence")));
  }
  return make("div", { class: "answering choice" }, ...ways.map(([verb, verdict, words, says]) => make("button",
    { type: "button", title: says, "data-key": command(verb, verdict, i.id), onclick: () => decide(verb, { verdict, incident_id: i.id }, words,
      verb === "silence" ? `${says} It covers ${i.silence.says}.` : says) }, words)), ...more, note(i.id));
}

const note = (id) => make("small", { class: "sent", role: "status", "data-sent": id }, acting.sent[id] ?? "");

function commands(id, ways) {
  const unfold = make("summary", { "data-key": `unfold ${id}` }, "Answer from the command line");
  const node = make("details", acting.unfolded.has(id) ? { open: "" } : {}, unfold,
    ...ways.map(([verb, verdict, , says]) => make("div", {}, make("code", {}, command(verb, verdict, id)), make("small", {}, ` ${says}`))));
  node.ontoggle = () => (node.open ? acting.unfolded.add(id) : acting.unfolded.delete(id));
  return node;
}

function sent(id, words) {
  acting.sent[id] = words;
  for (const node of document.querySelectorAll(".sent")) if (node.dataset.sent === id) node.textContent = words;
}

// Before what cannot be taken back lightly, what follows from it is said, and a reason is asked for.
async function decide(verb, fields, words, says, about = fields.incident_id ?? fields.model) {
  const answer = ASKED.has(verb) ? await asked(verb, words, says) : {};
  if (answer) await act({ verb, ...fields, ...answer }, about);
}

function asked(verb, words, says) {
  const dialog = $("ask");
  $("ask-title").textContent = words;
  $("ask-says").textContent = says;
  $("ask-yes").textContent = words;
  $("ask-hours-label").hidden = verb !== "silence";
  $("ask-why").value = "";
  $("ask-why").required = verb === "silence";
  dialog.returnValue = "";
  dialog.showModal();
  $("ask-why").focus();
  return new Promise((done) => {
    dialog.onclose = () => done(dialog.returnValue !== "yes" ? null
      : { why: $("ask-why").value, ...(verb === "silence" ? { hours: Number($("ask-hours").value) } : {}) });
  });
}

// What comes of it stands beside what it is about.
async function act(answer, id) {
  sent(id, "sending …");
  try {
    const reply = await fetch("/api/act", { method: "POST", headers: { "Content-Type": "application/json", "X-Driftflow-Token": plain(acting.token) },
      body: JSON.stringify({ ...answer, by: $("by").value }) });
    const body = await reply.json();
    sent(id, reply.ok ? body.says?.join(" ") ?? "Sent. It shows here once the worker has taken it." : body.error);
  } catch {
    sent(id, "The console does not answer.");
  }
}

// The token comes with the address that the console prints, and leaves it at once; or people type it.
function rememberToken() {
  const given = address().get("token");
  if (given) {
    keep("driftflow token", given);
    history.replaceState(null, "", "#");
  }
  acting.token = kept("driftflow token");
  $("token").value = acting.token;
  $("token").onchange = () => { acting.token = $("token").value.trim(); keep("driftflow token", acting.token); followActing(); };
  $("answers-fields").onsubmit = (event) => { event.preventDefault(); $("token").onchange(); };
  $("by").value = kept("driftflow by");
  $("by").onchange = () => keep("driftflow by", $("by").value);
}

function kept(name) {
  try { return localStorage.getItem(name) ?? ""; } catch { return ""; } // a browser may keep nothing
}

function keep(name, value) {
  try { localStorage.setItem(name, value); } catch { /* then it is asked for again */ }
}
