"use strict";
// What every view is made of. Data only ever enters the page as text.

const $ = (id) => document.getElementById(id);
const percent = (x, digits = 1) => (x === null || x === undefined ? "–" : `${(100 * x).toFixed(digits)} %`);
const count = (n) => Number(n ?? 0).toLocaleString("en");
const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const many = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
const KIND = { drift: "drift", fault: "data fault" };
const MARK = { drift: "▲", fault: "◆" };
const NO_SLICE = { __all__: "all slices together", __other__: "slices without a place of their own" };
const nameOf = ({ slicing, slice }) => NO_SLICE[slice] ?? (slice || (slicing ? "all" : "all events"));

function spanWords(span) {
  const words = { s: "second", m: "minute", h: "hour", d: "day" };
  const n = parseInt(span, 10), unit = words[span.replace(/^\d+/, "")];
  return unit ? `${n} ${unit}${n === 1 ? "" : "s"}` : span;
}

const lasting = (span) => spanWords(span).replace(/^1 /, "");

function ageWords(ms) {
  const hours = Math.max(ms, 0) / 3_600_000;
  if (hours < 1 / 60) return "less than a minute";
  const [n, word] = hours >= 48 ? [hours / 24, "day"] : hours >= 1 ? [hours, "hour"] : [hours * 60, "minute"];
  return many(Math.round(n), word);
}

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

function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let k = 0;
  while (n >= 1000 && k < units.length - 1) { n /= 1000; k++; }
  return `${k ? n.toFixed(1) : n} ${units[k]}`;
}

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.onclick = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// A sentence as parts of an element: what stands between backticks in it is a command.
const sentence = (text) => text.split("`").map((part, k) => (k % 2 ? make("code", {}, part) : part));

function svg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// Buttons are made anew at every refresh: whoever is on one with the keyboard stays there.
function replaceKeepingFocus(host, nodes) {
  const at = [...host.children].indexOf(document.activeElement);
  host.replaceChildren(...nodes);
  if (at >= 0) (nodes.find((n) => n.getAttribute("aria-pressed") === "true") ?? nodes[at])?.focus({ preventScroll: true });
}

// The same for what lies deeper: it has a key.
function keepingKey(replace) {
  const key = document.activeElement?.dataset?.key;
  replace();
  if (key) document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

// From page to page of a list that is longer than one.
function pager(host, { page, pages }, go) {
  const button = (words, to, off) => {
    const node = make("button", { type: "button", "data-key": `${host.id} ${words}`, onclick: () => go(to) }, words);
    node.disabled = off;
    return node;
  };
  keepingKey(() => host.replaceChildren(...(pages < 2 ? [] : [button("← Before", page - 1, page === 0),
    make("span", {}, `page ${count(page + 1)} of ${count(pages)}`), button("Next →", page + 1, page >= pages - 1)])));
}

// What the address says: which view, and what is chosen in it.
const address = () => new URLSearchParams(location.hash.slice(1));
const opened = () => address().get("incident") ?? "";
const viewOf = () => (opened() ? "incident" : { incidents: "incidents", watcher: "watcher", models: "models" }[address().get("view")] ?? "overview");
const hashOf = (table) => `#${new URLSearchParams(Object.entries(table).filter(([, value]) => value !== "" && value !== 0))}`;

async function ask(path, query = {}) {
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`, { cache: "no-store" });
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.error), { said: true, status: answer.status });
  return found;
}
