"use strict";
// Asks every two seconds whether there is something new, and shows it.

const state = { etag: "", overview: null, listed: null, detail: null, incident: null, chosen: null, span: "", find: "", page: 0, polled: 0, asked: 0, text: "", reveal: "" };
const POLL_MS = 2000;
const NARROW = matchMedia("(max-width: 900px)"); // one column: what is chosen is shown below the list, out of sight
const VIEWS = { overview: "main", incidents: "incidents", incident: "incident", watcher: "watcher", models: "models-view" };

async function poll() {
  await refresh();
  setTimeout(poll, POLL_MS);
}

async function refresh() {
  const number = ++state.polled;
  try {
    const answer = await fetch("/api/overview", { headers: state.etag ? { "If-None-Match": state.etag } : {}, cache: "no-store" });
    if (answer.status !== 200 && answer.status !== 304) throw new Error(`HTTP ${answer.status}`);
    const body = answer.status === 200 ? await answer.json() : null;
    if (number !== state.polled) return;
    if (body) await take(body, answer.headers.get("ETag") ?? "");
    else live("on", upTo());
    if (!body && viewOf() === "watcher") await showWatcher(); // it tells of now, whether or not the store has changed
  } catch (error) {
    failed(error);
  }
}

async function take({ overview, stream, why }, etag) {
  $("stream").textContent = stream;
  $("why").textContent = why;
  state.overview = overview ?? state.overview;
  if (overview) await show(overview);
  else await showView();
  state.etag = overview ? etag : ""; // only now: what could not be shown is asked for again
  if (why && state.overview) live("off", why);
  else live("on", upTo());
}

const upTo = () => (state.overview ? `events up to ${moment(state.overview.time_ms)} UTC` : "waiting for the first windows");

// The dot has the colour of the sentence below it: a page that is up to date may tell of what is bad.
function live(kind, text) {
  const tone = kind === "on" ? `on ${state.overview?.verdict.tone ?? ""}` : kind;
  if ($("live").className !== tone) $("live").className = tone;
  if ($("live-text").textContent !== text) $("live-text").textContent = text;
}

function failed(error) {
  state.etag = ""; // so that everything is asked for again
  if (error.said) live("off", error.message);
  else if (error instanceof TypeError && error.message.includes("fetch")) live("off", "the console does not answer; trying again");
  else { live("off", `this page failed: ${error.message}; trying again`); console.error(error); }
}

const isChosen = (s) => Boolean(state.chosen) && s.slice === state.chosen.slice && s.slicing === state.chosen.slicing;

async function show(overview) {
  state.chosen = named() ?? state.chosen ?? overview.slices[0]; // the worst comes first
  if (!state.find && !state.page) state.listed = overview;
  showVerdict(overview);
  keepingKey(() => showOpen(overview, choose));
  showTiles(overview);
  showLeftOut(overview);
  showHealth(overview);
  showFeatures(overview.features);
  keepingKey(() => { showStrange(overview); showSilences(overview); });
  drawList();
  if (state.find || state.page) await look();
  await showView();
}

// A slice that the address names.
function named() {
  const at = address();
  return at.has("slice") ? { slice: at.get("slice"), slicing: at.get("slicing") ?? "" } : null;
}

// Which view, as the address says; what it needs is asked for.
async function showView() {
  const view = viewOf(), can = Boolean(state.overview);
  for (const [name, id] of Object.entries(VIEWS)) $(id).hidden = name !== view || (!can && !["watcher", "models"].includes(name));
  $("waiting").hidden = can || ["watcher", "models"].includes(view);
  $("answers-part").hidden = view === "watcher";
  for (const a of $("nav").querySelectorAll("a")) {
    if (a.dataset.view === view || (view === "incident" && a.dataset.view === "incidents")) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  const stream = $("stream").textContent;
  document.title = ["driftflow", stream, ...(view === "overview" ? [] : [view])].filter(Boolean).join(" – ");
  if (view === "watcher") await showWatcher();
  else if (view === "models") await showModelsView();
  else if (can && view === "incidents") await showList();
  else if (can && view === "incident") await showIncident();
  else if (can && state.chosen) await showDetail();
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
  const hash = hashOf({ slice, slicing });
  if (viewOf() !== "overview") { location.hash = hash; return; }
  history.replaceState(null, "", hash);
  drawList();
  showDetail().then(() => { if (NARROW.matches) $("slice-title").scrollIntoView({ block: "nearest" }); }).catch(failed);
}

function drawList() {
  if (state.listed) showSlices(state.overview, state.listed, isChosen, choose, (page) => { state.page = page; look().catch(failed); });
}

// A page of the slices that the server has found.
async function look() {
  const number = ++state.looked, asked = `${state.find} ${state.page}`;
  const found = await ask("/api/slices", { find: state.find, page: state.page });
  if (asked !== `${state.find} ${state.page}` || number !== state.looked) return;
  state.listed = found;
  drawList();
}

async function showDetail() {
  const query = { slicing: state.chosen.slicing, slice: state.chosen.slice, span: state.span };
  const number = ++state.asked;
  const answer = await fetch(`/api/slice?${new URLSearchParams(query)}`, { cache: "no-store" });
  const text = await answer.text();
  if (number !== state.asked) return; // another slice was chosen meanwhile
  if (!answer.ok) {
    $("slice-title").textContent = `${state.chosen.slice || "all"}: ${JSON.parse(text).error}`;
    return;
  }
  state.text = text;
  state.detail = JSON.parse(text);
  $("slice-title").textContent = nameOf(state.detail);
  $("strange-span").textContent = lasting(state.detail.strange.span);
  showSpans(state.detail, (span) => { state.span = span; showDetail().catch(failed); });
  showCalibrationText(state.detail);
  draw();
}

function draw() {
  const view = viewOf();
  if (view === "incident" && state.incident) {
    drawPicture(state.incident, state.overview.time_ms);
    drawBlamed(state.incident);
  }
  if (view !== "overview" || !state.detail) return;
  drawLikelihood(state.detail, state.overview.time_ms);
  drawStrange(state.detail, state.overview.time_ms);
  drawCalibration(state.detail);
}

let resizing = 0, finding = 0;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(draw, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
state.looked = 0;
$("find").addEventListener("input", () => {
  clearTimeout(finding);
  finding = setTimeout(() => {
    state.find = $("find").value;
    state.page = 0;
    look().catch(failed);
  }, 200);
});
function showAgain() {
  if (state.overview) show(state.overview).catch(failed);
  else showView().catch(failed);
}
$("skip").onclick = () => { $("content").focus(); return false; };
addEventListener("hashchange", () => {
  if (address().has("token")) { rememberToken(); followActing(); }
  scrollTo(0, 0);
  if (named()) state.chosen = named();
  drawList();
  showView().then(revealed).catch(failed);
});
rememberToken();
followFilters();
followActing();
poll();
