// Samples as cards, alone and in grids and strips.

import { small } from "/static/api.js";
import { figure, h, words } from "/static/dom.js";

export function outcome(sample) {
  if (sample.error || sample.reason === "quarantined") return ["bad", `in quarantine: ${words(sample.error?.code ?? sample.error ?? "")}`];
  const kept = sample.kept ?? sample.keep;
  if (kept === true) return ["kept", "kept"];
  if (kept === false) return ["left", words(sample.reason ?? "not kept")];
  return ["open", "not decided"];
}

export function shot(sample, { number = 0, size = "" } = {}) {
  if (!sample.n_images) return h("div", { class: `shot words ${size}`, dir: "auto" }, sample.text || "no text");
  return h("div", { class: `shot ${size}` },
    h("img", { src: small(sample, number), alt: "", loading: "lazy", decoding: "async", draggable: "false" }));
}

function badges(sample) {
  const found = [];
  if (sample.score !== undefined) {
    const title = `cosine ${figure(sample.cosine)} by ${sample.by}, ${figure(sample.score)} deviations above the mean`;
    found.push(h("span", { class: "badge", title }, sample.cosine.toFixed(2)));
  }
  if (sample.n_same > 1) found.push(h("span", { class: "badge", title: "samples that show this picture" }, `×${sample.n_same}`));
  if (sample.n_images > 1) found.push(h("span", { class: "badge" }, `${sample.n_images} pictures`));
  return h("div", { class: "badges" }, found);
}

// The first question and its answer, without the names of the roles.
function caption(sample) {
  if (!sample.n_images) return h("p", { dir: "auto" }, sample.id ?? sample.uid);
  const said = sample.text.split("\n").map((line) => line.replace(/^[a-z]+: ?/, "")).filter(Boolean);
  return said.length > 1 ? said.slice(0, 2).map((line) => h("p", { dir: "auto" }, line))
    : h("p", { class: "alone", dir: "auto" }, said[0] ?? "no text");
}

export function card(sample, { onopen, sort = "" } = {}) {
  const [kind, said] = outcome(sample);
  const made = h("article", {
    class: "card", tabindex: "0", data: { uid: sample.uid, outcome: kind },
    "aria-label": sample.id ?? sample.uid,
    onclick: () => onopen?.(sample),
    onkeydown: (event) => { if (event.key === "Enter") { event.stopPropagation(); onopen?.(sample); } },
  });
  const value = sort && sample.value !== undefined ? h("span", { class: "value" }, figure(sample.value)) : null;
  made.append(
    shot(sample), badges(sample),
    h("div", { class: "caption" }, caption(sample)),
    h("div", { class: "meta" }, h("i", { class: `dot ${kind}`, title: said }),
      h("span", { class: "source", dir: "auto" }, sample.source ?? sample.dataset), value),
  );
  setMark(made, sample.mark);
  return made;
}

export function setMark(card, mark) {
  if (mark) card.dataset.mark = mark;
  else delete card.dataset.mark;
}

export const strip = (samples, onopen) => h("div", { class: "strip" }, samples.map((sample) =>
  h("button", { type: "button", title: sample.text, "aria-label": sample.id ?? sample.uid, onclick: () => onopen(sample) },
    shot(sample, { size: "tiny" }))));
