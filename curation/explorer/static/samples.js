// The grid of samples: what meets the filter, page by page, or what is nearest to a query.

import { get, post, upload } from "/static/api.js";
import { card } from "/static/cards.js";
import { $, count, h, put } from "/static/dom.js";
import { change, searching } from "/static/state.js";

const PAGE = 60;
const NEAREST = 60;

export async function show(state, picture, actions, signal) {
  const found = searching(state, picture) ? await nearest(state, picture, signal) : await page(state, signal);
  const cards = found.rows.map((sample) => card(sample, { onopen: (each) => actions.open(each.uid), sort: state.sort }));
  put($("main"), cards.length ? h("div", { class: "grid" }, cards)
    : h("p", { class: "nothing" }, "No sample meets this.", h("button", { type: "button", class: "link", onclick: () => change({ where: "", text: "", like: "" }) }, "Show all")));
  return found.rows;
}

async function page(state, signal) {
  const at = Number(state.page) * PAGE;
  const asked = { where: state.where, sort: state.sort, order: state.order, offset: at, n: PAGE };
  const found = await get("samples", asked, signal);
  const last = Math.max(Math.ceil(found.n / PAGE) - 1, 0);
  $("says").textContent = state.where ? `${count(found.n)} samples meet ${state.where}` : `${count(found.n)} samples`;
  const step = (label, to, title) => h("button", { type: "button", title, "aria-label": title, disabled: to < 0 || to > last || to === Number(state.page), onclick: () => change({ page: String(to) }) }, label);
  const here = Number(state.page);
  const number = h("input", {
    type: "number", min: 1, max: last + 1, value: here + 1, "aria-label": "Page",
    onchange: () => change({ page: String(Math.min(Math.max(Number(number.value) || 1, 1), last + 1) - 1) }),
  });
  put($("foot"), found.n > PAGE ? [step("«", 0, "First page"), step("‹", here - 1, "Previous page"),
    h("span", {}, "page ", number, ` of ${count(last + 1)}`), step("›", here + 1, "Next page"), step("»", last, "Last page")] : []);
  return found;
}

async function nearest(state, picture, signal) {
  put($("foot"));
  const asked = { by: state.by, where: state.where, n: NEAREST };
  const told = { ...asked, by: state.by || null };
  const found = picture && !state.like && !state.text ? await upload(picture.file, asked, signal)
    : state.like ? await post("search", { ...told, like: state.like }, signal) : await post("search", { ...told, text: state.text }, signal);
  const sides = found.by.map((side) => (side === "image" ? "pictures" : "texts")).join(" and ");
  const recall = found.recall < 1 ? `, an index that finds ${(100 * found.recall).toFixed(1)} % of the ten nearest` : "";
  $("says").textContent = `The nearest ${count(found.rows.length)} of ${count(found.n)} samples, by their ${sides}${recall} · ${found.seconds.toFixed(2)} s`;
  return found;
}
