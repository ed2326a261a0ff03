// Puts it together: the address decides what is shown, keys and forms change the address.

import { get, post } from "/static/api.js";
import * as bar from "/static/bar.js";
import { setMark } from "/static/cards.js";
import * as clusters from "/static/clusters.js";
import { $, count, h, put, toast } from "/static/dom.js";
import * as marked from "/static/marked.js";
import * as pairs from "/static/pairs.js";
import * as panel from "/static/panel.js";
import * as samples from "/static/samples.js";
import { change, read, searching } from "/static/state.js";

let picture = null; // a file that is searched for, and where it is shown from
let rows = []; // samples in the order of the page
let shown = ""; // what the page shows, without the open sample
let searchable = false; // whether there are vectors
let under = null; // the request that is under way
const marks = new Map(); // of samples that were marked since the page was opened

const actions = {
  open: (uid) => change({ open: uid }, { quiet: Boolean(read().open) }),
  close: () => change({ open: "" }, { quiet: true }),
  like: (uid) => { forget(); change({ view: "samples", like: uid, text: "", by: "", open: "" }); },
  cluster: (number) => { forget(); change({ view: "samples", where: `cluster = ${number}`, sort: "similarity", order: "falling", like: "", text: "", page: "0" }); },
  mark, step, reload, searchable: () => searchable,
};

async function mark(uid, wanted) {
  const before = marks.has(uid) ? marks.get(uid) : rows.find((row) => row.uid === uid)?.mark ?? pressed();
  const to = before === wanted ? null : wanted;
  try {
    tell(await post("mark", { uid, mark: to }));
  } catch (error) {
    toast(error.message);
    return;
  }
  marks.set(uid, to);
  for (const row of rows) if (row.uid === uid) row.mark = to;
  for (const each of document.querySelectorAll(`.card[data-uid="${uid}"]`)) setMark(each, to);
  if (read().open === uid) panel.showMark(to);
  toast(to ? `Marked: must ${to}` : "The mark is taken away");
}

const pressed = () => document.querySelector("#marking [aria-pressed=true]")?.classList.item(1) ?? null;

function tell(told) {
  const n = told.keep + told.drop;
  $("n-marked").hidden = !n && told.saved;
  $("n-marked").textContent = count(n) + (told.saved ? "" : " •");
  $("n-marked").title = told.saved ? "saved" : "not saved yet";
}

function step(by) {
  const at = rows.findIndex((row) => row.uid === read().open);
  const next = rows[at + by];
  if (next) actions.open(next.uid);
  else if (at >= 0) turn(by);
}

// Beyond the ends of a page lies another one.
function turn(by) {
  const button = document.querySelector(`#foot [aria-label="${by > 0 ? "Next" : "Previous"} page"]`);
  if (button && !button.disabled) button.click();
}

function reload() {
  shown = "";
  show();
}

function forget() {
  if (picture) URL.revokeObjectURL(picture.url);
  picture = null;
  $("picture").value = "";
}

function searchPicture(file) {
  if (!file || !file.type.startsWith("image/")) return;
  forget();
  picture = { file, url: URL.createObjectURL(file), number: Date.now() };
  change({ view: "samples", text: "", like: "", by: "", page: "0", open: "" });
  show();
}

function asked(state) {
  const one = state.like ? h("img", { src: `/picture/${state.like}/0`, alt: "", onerror: (event) => event.target.remove() })
    : picture && !state.text ? h("img", { src: picture.url, alt: "" }) : null;
  $("asked").hidden = !one;
  put($("asked"), one, one && (state.like ? "more like this" : "this picture"),
    h("button", { type: "button", class: "quiet", "aria-label": "Search no more", onclick: () => { forget(); change({ like: "", text: "", page: "0" }); show(); } }, "✕"));
  if (document.activeElement !== $("text")) $("text").value = state.text;
  $("by").hidden = !searching(state, picture);
  $("by").value = state.by;
}

async function show() {
  const state = read();
  const key = JSON.stringify({ ...state, open: "", picture: picture?.number });
  asked(state);
  bar.show(state, picture);
  if (!state.open) panel.close();
  for (const tab of $("tabs").children) {
    if (tab.dataset.view === state.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (key !== shown) {
    shown = key;
    under?.abort();
    under = new AbortController();
    document.body.classList.add("busy");
    try {
      rows = await view(state, under.signal);
      $("says").classList.remove("wrong");
      $("main").scrollTop = 0;
      if (!read().open) scrollTo({ top: 0 });
    } catch (error) {
      if (error.name === "AbortError") return;
      $("says").textContent = error.message;
      $("says").classList.add("wrong");
    }
    document.body.classList.remove("busy");
  }
  const open = read().open;
  for (const each of document.querySelectorAll(".card[aria-selected]")) each.removeAttribute("aria-selected");
  if (!open) return;
  const card = document.querySelector(`.card[data-uid="${CSS.escape(open)}"]`);
  card?.setAttribute("aria-selected", "true");
  card?.scrollIntoView({ block: "nearest" });
  if ($("panel").hidden || $("panel").dataset.uid !== open) await panel.open(open, actions);
}

function view(state, signal) {
  if (state.view === "clusters") return clusters.show(state, signal);
  if (state.view === "pairs") return pairs.show(state, actions, signal);
  if (state.view === "marked") return marked.show(actions, signal);
  return samples.show(state, picture, actions, signal);
}

function key(event) {
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (!$("columns").hidden) bar.showColumns(false);
    else if (read().open) actions.close();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const open = read().open;
  const at = open || document.activeElement?.dataset?.uid;
  const done = {
    "/": () => $("text").focus(),
    f: () => $("where").focus(),
    k: () => at && mark(at, "keep"),
    d: () => at && mark(at, "drop"),
    m: () => at && actions.like(at),
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    ArrowUp: () => move(-across()),
    ArrowDown: () => move(across()),
  }[event.key];
  if (!done) return;
  event.preventDefault();
  done();
}

// How many cards stand side by side.
function across() {
  const cards = [...document.querySelectorAll("#main .card")];
  const n = cards.findIndex((card) => card.offsetTop > cards[0].offsetTop);
  return n > 0 ? n : 1;
}

function move(by) {
  if (read().open) return step(by);
  const cards = [...document.querySelectorAll("#main .card")];
  const at = cards.indexOf(document.activeElement);
  return cards[at < 0 ? 0 : Math.min(Math.max(at + by, 0), cards.length - 1)]?.focus();
}

async function start() {
  history.replaceState(null, "", `/${location.hash}`); // the token need not stand in the address
  addEventListener("hashchange", show);
  addEventListener("keydown", key);
  addEventListener("paste", (event) => searchPicture(event.clipboardData.files[0]));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => { event.preventDefault(); searchPicture(event.dataTransfer.files[0]); });
  $("picture").addEventListener("change", () => searchPicture($("picture").files[0]));
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    forget();
    change({ view: "samples", text: $("text").value.trim(), like: "", page: "0", open: "" });
  });
  $("text").addEventListener("search", () => { if (!$("text").value && read().text) change({ text: "" }); });
  $("by").addEventListener("change", () => change({ by: $("by").value }));
  try {
    const pool = await get("pool");
    $("pool-name").textContent = pool.name;
    document.title = `${pool.name} · curate`;
    bar.prepare(pool);
    searchable = pool.searchable;
    if (!searchable) $("text").placeholder = "Search needs vectors: curate embed";
    tell(pool.marks);
  } catch (error) {
    $("says").textContent = error.message;
    $("says").classList.add("wrong");
    return;
  }
  await show();
}

start();
