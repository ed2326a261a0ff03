// One sample with everything that is known of it.

import { get, post, whole } from "/static/api.js";
import { outcome, shot, strip } from "/static/cards.js";
import { $, copy, count, figure, h, put, words } from "/static/dom.js";

const LONG = 1600; // characters of a turn that are shown at first
let asked = 0;

export function close() {
  asked += 1;
  $("panel").hidden = true;
  document.body.classList.remove("opened");
}

// `actions`: open(uid), like(uid), mark(uid, mark), cluster(number), step(±1), close(), searchable().
export async function open(uid, actions) {
  const mine = ++asked;
  const place = $("panel");
  place.hidden = false;
  document.body.classList.add("opened");
  if (place.dataset.uid !== uid) put(place, head({ uid }, actions), h("p", { class: "waiting" }, "…"));
  place.dataset.uid = uid;
  let sample;
  try {
    sample = await get(`sample/${uid}`);
  } catch (error) {
    if (mine === asked) put(place, head({ uid }, actions), h("p", { class: "wrong" }, error.message));
    return;
  }
  if (mine !== asked) return;
  const near = h("section", { class: "near" });
  put(place,
    head(sample, actions), verdict(sample), buttons(sample, actions), pictures(sample), talk(sample),
    stands(sample, actions), same(sample, actions), near, scores(sample), facts(sample));
  place.scrollTop = 0;
  alike(near, sample, actions, () => mine === asked);
}

function head(sample, actions) {
  const name = sample.id ?? sample.uid;
  return h("header", {},
    h("button", { type: "button", class: "quiet", onclick: () => actions.step(-1), title: "Previous (←)", "aria-label": "Previous" }, "←"),
    h("button", { type: "button", class: "quiet", onclick: () => actions.step(1), title: "Next (→)", "aria-label": "Next" }, "→"),
    h("h2", { title: `Copy ${name}`, onclick: () => copy(name), dir: "auto" }, name),
    h("button", { type: "button", class: "quiet", onclick: actions.close, title: "Close (Esc)", "aria-label": "Close" }, "✕"));
}

function verdict(sample) {
  const [kind] = outcome(sample);
  const why = sample.error ? sample.error.message ?? words(sample.error.code) : sample.why;
  const by = sample.chosen_by ? h("p", { class: "by", dir: "auto" }, sample.chosen_by) : null;
  return h("div", { class: `verdict ${kind}` }, h("p", { dir: "auto" }, h("i", { class: `dot ${kind}` }), why), by);
}

function buttons(sample, actions) {
  const one = (mark, label, key) => h("button", {
    type: "button", class: `mark ${mark}`, "aria-pressed": String(sample.mark === mark), title: `(${key})`,
    onclick: () => actions.mark(sample.uid, mark),
  }, label);
  return h("div", { class: "buttons", id: "marking" },
    one("keep", "Must keep", "k"), one("drop", "Must drop", "d"),
    h("button", { type: "button", title: "(m)", onclick: () => actions.like(sample.uid) }, "More like this"));
}

export function showMark(mark) {
  for (const button of $("marking")?.querySelectorAll(".mark") ?? []) {
    button.setAttribute("aria-pressed", String(button.classList.contains(mark ?? "none")));
  }
}

function pictures(sample) {
  if (!sample.images.length) return null;
  return h("div", { class: "pictures" }, sample.images.map((image, number) =>
    h("figure", {},
      h("a", { href: whole(sample, number), target: "_blank", rel: "noopener" }, h("img", {
        src: whole(sample, number), alt: "", loading: "lazy" })),
      h("figcaption", { dir: "auto" }, image.name))));
}

function talk(sample) {
  return h("div", { class: "talk" }, sample.turns.map((turn) => {
    const text = (turn.text ?? "").replaceAll("<image>", "").trim();
    const said = h("p", { dir: "auto" }, text.slice(0, LONG));
    const more = text.length > LONG && h("button", {
      type: "button", class: "more",
      onclick: (event) => { said.textContent = text; event.target.remove(); },
    }, `show all ${count(text.length)} characters`);
    return h("div", { class: `turn ${turn.role === "assistant" ? "answer" : "question"}` }, h("b", {}, turn.role), said, more);
  }));
}

function stands(sample, actions) {
  const pruned = sample.pruned;
  if (!pruned) return null;
  const one = (title, other) => other && h("button", { type: "button", class: "other", onclick: () => actions.open(other.uid) },
    shot({ ...other, n_images: other.images.length }, { size: "tiny" }),
    h("span", { dir: "auto" }, h("b", {}, title), " ", other.id ?? other.uid));
  const figures = [["similarity", pruned.similarity], ["oddness", pruned.oddness], ["samples in the group", pruned.n_group]];
  const told = figures.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => `${name} ${figure(value)}`);
  const near = pruned.near && pruned.near.uid !== pruned.kept?.uid ? one("Too near to", pruned.near) : null;
  return h("section", {}, h("h3", {}, words(pruned.reason)), one("Stands for it:", pruned.kept), near,
    told.length ? h("p", { class: "note" }, told.join(" · ")) : null);
}

function same(sample, actions) {
  if (!sample.same.length) return null;
  return h("section", {}, h("h3", {}, "The same picture, said otherwise"), h("ul", { class: "same" }, sample.same.map((other) =>
    h("li", {}, h("button", { type: "button", onclick: () => actions.open(other.uid), dir: "auto" },
      h("i", { class: `dot ${outcome(other)[0]}` }), other.text || other.id)))));
}

async function alike(place, sample, actions, current) {
  if (!sample.error && actions.searchable()) await nearest(place, sample, actions, current);
  if (sample.cluster !== null && current()) {
    const name = sample.cluster_label ? `${sample.cluster}: ${sample.cluster_label}` : String(sample.cluster);
    place.append(h("p", { class: "note" }, "In cluster ",
      h("button", { type: "button", class: "link", onclick: () => actions.cluster(sample.cluster) }, name)));
  }
}

async function nearest(place, sample, actions, current) {
  try {
    const found = await post("search", { like: sample.uid, n: 9 });
    if (!current() || !found.rows.length) return;
    put(place, h("h3", {}, `Nearest ${found.by[0] === "image" ? "pictures" : "texts"}`), strip(found.rows, (other) => actions.open(other.uid)));
  } catch (error) {
    if (current()) put(place, h("p", { class: "note" }, error.message));
  }
}

function rows(entries) {
  return h("table", {}, entries.map(([name, value]) =>
    h("tr", {}, h("th", { scope: "row" }, words(name)), h("td", { dir: "auto" }, figure(value)))));
}

function scores(sample) {
  const groups = sample.tables ?? { scores: Object.keys(sample.scores) };
  return h("section", {}, h("h3", {}, "Scores"), Object.entries(groups).map(([table, names], number) => {
    const entries = names.map((name) => [name, sample.scores[name]]).filter(([, value]) => value !== null);
    return entries.length ? h("details", { open: number < 2 }, h("summary", {}, words(table)), rows(entries)) : null;
  }));
}

function facts(sample) {
  const names = ["uid", "dataset", "source", "n_turns", "n_tokens", "n_images", "key", "file", "line", "rank", "stratum", "clause"];
  const entries = names.filter((name) => sample[name] !== null && sample[name] !== undefined).map((name) => [name, sample[name]]);
  return h("section", {}, h("h3", {}, "Where it is from"), rows(entries));
}
