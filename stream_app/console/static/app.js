"use strict";
// Asks every two seconds whether there is something new, and shows it.

const state = { etag: "", overview: null, detail: null, chosen: null, span: "", asked: 0, text: "" };
const POLL_MS = 2000;

async function poll() {
  try {
    const answer = await fetch("/api/overview", { headers: state.etag ? { "If-None-Match": state.etag } : {}, cache: "no-store" });
    if (answer.status === 200) {
      const { overview, stream } = await answer.json();
      $("stream").textContent = stream;
      document.title = `driftflow – ${stream}`;
      if (overview) await show(overview);
      state.etag = answer.headers.get("ETag") ?? ""; // only now: what could not be shown is asked for again
    } else if (answer.status !== 304) throw new Error(String(answer.status));
    live("on", state.overview ? `events up to ${moment(state.overview.time_ms)} UTC` : "waiting for the first windows");
  } catch {
    live("off", "the console does not answer; trying again");
  }
  setTimeout(poll, POLL_MS);
}

function live(kind, text) {
  $("live").className = kind;
  $("live-text").textContent = text;
}

const isChosen = (s) => Boolean(state.chosen) && s.slice === state.chosen.slice && s.slicing === state.chosen.slicing;

async function show(overview) {
  state.overview = overview;
  $("waiting").hidden = true;
  $("main").hidden = false;
  if (!overview.slices.some(isChosen)) state.chosen = overview.slices[0]; // the worst comes first
  showVerdict(overview);
  showTiles(overview);
  showSlices(overview, isChosen, choose);
  showAlerts(overview.alerts, (a) => choose(overview.slices.find((s) => s.slice === a.slice && s.slicing === a.slicing)));
  showModels(overview);
  await showDetail();
}

function choose(slice) {
  if (!slice) return;
  state.chosen = slice;
  showSlices(state.overview, isChosen, choose);
  showDetail().catch(() => live("off", "the console does not answer; trying again"));
}

async function showDetail() {
  const query = new URLSearchParams({ slicing: state.chosen.slicing, slice: state.chosen.slice, span: state.span });
  const number = ++state.asked;
  const answer = await fetch(`/api/slice?${query}`, { cache: "no-store" });
  const text = answer.ok ? await answer.text() : "";
  if (!text || number !== state.asked) return; // another slice was chosen meanwhile
  if (text === state.text) return;
  state.text = text;
  state.detail = JSON.parse(text);
  $("slice-title").textContent = state.detail.slice || "all";
  $("strange-span").textContent = spanWords(state.detail.strange.span).replace(/^1 /, "");
  showSpans(state.detail, (span) => { state.span = span; showDetail(); });
  showFeatures(state.detail.features);
  showCalibrationText(state.detail);
  draw();
}

function draw() {
  if (!state.detail) return;
  drawLikelihood(state.detail, state.overview.time_ms);
  drawStrange(state.detail, state.overview.time_ms);
  drawCalibration(state.detail);
}

let resizing = 0;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(draw, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
poll();
