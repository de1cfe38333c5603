"use strict";
// Asks every two seconds whether there is something new, and shows it.

const state = { etag: "", overview: null, detail: null, incident: null, chosen: null, span: "", find: "", polled: 0, asked: 0, text: "" };
const POLL_MS = 2000;

async function poll() {
  await refresh();
  setTimeout(poll, POLL_MS);
}

async function refresh() {
  const number = ++state.polled;
  try {
    const query = new URLSearchParams({ find: state.find });
    const answer = await fetch(`/api/overview?${query}`, { headers: state.etag ? { "If-None-Match": state.etag } : {}, cache: "no-store" });
    if (answer.status !== 200 && answer.status !== 304) throw new Error(`HTTP ${answer.status}`);
    const body = answer.status === 200 ? await answer.json() : null;
    if (number !== state.polled) return; // something else was looked for meanwhile
    if (body) await take(body, answer.headers.get("ETag") ?? "");
    else live("on", upTo());
  } catch (error) {
    failed(error);
  }
}

async function take({ overview, stream, why }, etag) {
  $("stream").textContent = stream;
  document.title = `driftflow – ${stream}`;
  if (overview) await show(overview);
  state.etag = overview ? etag : ""; // only now: what could not be shown is asked for again
  $("why").textContent = why;
  if (why && state.overview) live("off", why);
  else live("on", upTo());
}

const upTo = () => (state.overview ? `events up to ${moment(state.overview.time_ms)} UTC` : "waiting for the first windows");

function live(kind, text) {
  $("live").className = kind;
  $("live-text").textContent = text;
}

function failed(error) {
  state.etag = ""; // so that everything is asked for again
  if (error instanceof TypeError && error.message.includes("fetch")) live("off", "the console does not answer; trying again");
  else { live("off", `this page failed: ${error.message}; trying again`); console.error(error); }
}

const isChosen = (s) => Boolean(state.chosen) && s.slice === state.chosen.slice && s.slicing === state.chosen.slicing;

async function show(overview) {
  state.overview = overview;
  $("waiting").hidden = true;
  state.chosen ??= overview.slices[0]; // the worst comes first
  showVerdict(overview);
  keepingKey(() => showIncidents(overview, choose));
  showTiles(overview);
  showLeftOut(overview);
  showHealth(overview);
  showSlices(overview, isChosen, choose);
  showFeatures(overview.features);
  showModels(overview);
  showView();
  if (opened()) await showIncident();
  else if (state.chosen) await showDetail();
}

// Which of the two views: the page, or one incident, as the address says.
function showView() {
  $("main").hidden = Boolean(opened());
  $("incident").hidden = !opened();
}

async function showIncident() {
  const id = opened(), answer = await fetch(`/api/incident?${new URLSearchParams({ id })}`, { cache: "no-store" });
  const found = await answer.json();
  if (id !== opened()) return; // another one was chosen meanwhile
  state.incident = answer.ok ? found : null;
  if (answer.ok) keepingKey(() => showWhole(state.incident, state.overview, choose));
  else showMissing(found.error);
  draw();
}

function choose({ slicing, slice }) {
  state.chosen = { slicing, slice };
  if (opened()) { location.hash = ""; return; }
  showSlices(state.overview, isChosen, choose);
  showDetail().catch(failed);
}

async function showDetail() {
  const query = new URLSearchParams({ slicing: state.chosen.slicing, slice: state.chosen.slice, span: state.span });
  const number = ++state.asked;
  const answer = await fetch(`/api/slice?${query}`, { cache: "no-store" });
  const text = await answer.text();
  if (number !== state.asked) return; // another slice was chosen meanwhile
  if (!answer.ok) throw new Error(JSON.parse(text).error);
  if (text === state.text) return;
  state.text = text;
  state.detail = JSON.parse(text);
  $("slice-title").textContent = nameOf(state.detail);
  $("strange-span").textContent = lasting(state.detail.strange.span);
  showSpans(state.detail, (span) => { state.span = span; showDetail().catch(failed); });
  showCalibrationText(state.detail);
  draw();
}

function draw() {
  if (opened()) {
    if (state.incident) drawPicture(state.incident, state.overview.time_ms);
    return;
  }
  if (!state.detail) return;
  drawLikelihood(state.detail, state.overview.time_ms);
  drawStrange(state.detail, state.overview.time_ms);
  drawCalibration(state.detail);
}

let resizing = 0, finding = 0;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(draw, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
$("find").addEventListener("input", () => {
  clearTimeout(finding);
  finding = setTimeout(() => { state.find = $("find").value; state.etag = ""; refresh(); }, 200);
});
function showAgain() {
  if (state.overview) (opened() ? showIncident() : show(state.overview)).catch(failed);
}
addEventListener("hashchange", () => {
  if (!state.overview) return;
  showView();
  scrollTo(0, 0);
  showAgain();
});
rememberName();
followActing();
poll();
