// What was dropped beside what stands for it, the most doubtful first.

import { get } from "/static/api.js";
import { card } from "/static/cards.js";
import { $, count, figure, h, put, words } from "/static/dom.js";
import { change } from "/static/state.js";

const PAGE = 30;

export async function show(state, actions, signal) {
  const here = Number(state.page);
  const found = await get("pairs", { reason: state.reason, offset: here * PAGE, n: PAGE }, signal);
  const total = Object.values(found.reasons).reduce((sum, n) => sum + n, 0);
  $("says").textContent = total ? `${count(total)} samples were dropped as copies; the most doubtful come first` : "";
  const chip = (name, reason, n) => h("button", {
    type: "button", class: "chip", "aria-pressed": String(state.reason === reason), onclick: () => change({ reason, page: "0" }),
  }, name, " ", h("small", {}, count(n)));
  const chips = h("div", { class: "chips" }, chip("All", "", total), Object.entries(found.reasons).map(([reason, n]) => chip(words(reason), reason, n)));
  const last = Math.max(Math.ceil(found.n / PAGE) - 1, 0);
  const step = (label, to, title) => h("button", { type: "button", "aria-label": title, title, disabled: to < 0 || to > last, onclick: () => change({ page: String(to) }) }, label);
  put($("foot"), last ? [step("‹", here - 1, "Previous page"), h("span", {}, `page ${count(here + 1)} of ${count(last + 1)}`), step("›", here + 1, "Next page")] : []);
  put($("main"), total ? [chips, h("div", { class: "pairs" }, found.rows.map((pair) => beside(pair, actions)))]
    : h("p", { class: "nothing" }, "Nothing was dropped as a copy yet. ", h("code", {}, "curate prune"), " looks for copies."));
  return found.rows.flatMap((pair) => [pair.dropped, pair.kept]).filter(Boolean);
}

function beside(pair, actions) {
  const open = (sample) => actions.open(sample.uid);
  const side = (title, sample) => sample && h("div", {}, h("h4", {}, title), card(sample, { onopen: open }));
  const told = [["similarity", pair.similarity], ["oddness", pair.oddness]].filter(([, value]) => value !== null)
    .map(([name, value]) => h("span", {}, `${name} `, h("b", {}, figure(value))));
  return h("section", { class: "pair" },
    h("header", {}, h("h3", {}, words(pair.reason)), told, pair.n_group > 2 ? h("span", {}, `${count(pair.n_group)} in the group`) : null,
      h("span", { class: "doubt", title: `doubt ${figure(pair.doubt)}: 0 where files are equal, 1 where they are copies only just` }, h("i", { style: { width: `${100 * Math.min(pair.doubt, 1)}%` } }))),
    h("div", { class: "sides" }, side("dropped", pair.dropped), side("stands for it", pair.kept), side("too near to", pair.near)));
}
