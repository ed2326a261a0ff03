// The second row: the filter with its columns, ready-made filters, and the order.

import { $, count, h, put, quoted, words } from "/static/dom.js";
import { change, read, searching } from "/static/state.js";

let columns = [];

export function prepare(pool) {
  columns = pool.columns;
  const chips = [["All", "", pool.n]];
  if (pool.n_kept !== null) chips.push(["Kept", "kept", pool.n_kept], ["Not kept", "not kept", pool.n - pool.n_kept]);
  if (pool.n_bad) chips.push(["Quarantine", "error is not null", pool.n_bad]);
  put($("chips"),
    chips.map(([name, where, n]) => h("button", { type: "button", class: "chip", data: { where }, onclick: () => filter(where) },
      name, " ", h("small", {}, count(n)))),
    picker("Source", "source", pool.sources), picker("Dataset", "dataset", pool.datasets.length > 1 ? pool.datasets : []),
    picker("Reason", "reason", pool.reasons));
  const numbers = columns.filter((column) => column.type !== "text");
  put($("sort"), h("option", { value: "" }, "pool order"),
    numbers.map((column) => h("option", { value: column.name }, words(column.name))));
  $("sort").addEventListener("change", () => change({ sort: $("sort").value, page: "0", order: falls($("sort").value) ? "falling" : "" }));
  $("order").addEventListener("click", () => change({ order: read().order === "falling" ? "" : "falling", page: "0" }));
  $("filter").addEventListener("submit", (event) => { event.preventDefault(); filter($("where").value); });
  $("columns-button").addEventListener("click", () => showColumns($("columns").hidden));
}

const falls = (name) => columns.find((column) => column.name === name)?.better !== "lower";

export function filter(where) {
  change({ where: where.trim(), page: "0", view: "samples" });
}

function picker(label, column, values) {
  if (!values.length) return null;
  const add = (value) => {
    const condition = `${column} = ${quoted(value)}`;
    const where = read().where;
    filter(where ? `${where} and ${condition}` : condition);
  };
  return h("select", { class: "chip", "aria-label": label, onchange: (event) => { add(event.target.value); event.target.value = ""; } },
    h("option", { value: "" }, label),
    values.map(({ value, n }) => h("option", { value }, `${words(value)} (${count(n)})`)));
}

export function showColumns(shown) {
  $("columns").hidden = !shown;
  $("columns-button").setAttribute("aria-expanded", String(shown));
  if (!shown || $("columns").childElementCount) return;
  const list = h("div", { class: "list" }, columns.map((column) => h("button", {
    type: "button", title: [column.unit, column.range, column.better && column.better !== "neither" ? `${column.better} is better` : ""].filter(Boolean).join(", "),
    onclick: () => insert(column),
  }, h("code", {}, column.name), " ", h("small", {}, column.range || column.type))));
  const find = h("input", {
    type: "search", placeholder: "Find a column", "aria-label": "Find a column",
    oninput: () => { for (const each of list.children) each.hidden = !each.textContent.includes(find.value.trim()); },
  });
  put($("columns"), h("p", {}, "Conditions are SQL over these columns, such as ",
    h("code", {}, "n_tokens < 200 and (alignment > 0.5 or source = 'charts')"), "; ", h("code", {}, "curate select --where"), " takes the same, but for what became of samples."), find, list);
}

function insert(column) {
  const where = $("where");
  const joint = where.value.trim() ? `${where.value.trim()} and ` : "";
  where.value = joint + column.name + (column.type === "number" ? " > " : column.type === "text" ? " = ''" : "");
  where.focus();
  if (column.type === "text") where.setSelectionRange(where.value.length - 1, where.value.length - 1);
}

export function show(state, picture) {
  const samples = state.view === "samples";
  $("bar").hidden = !samples;
  if (!samples) showColumns(false);
  if (document.activeElement !== $("where")) $("where").value = state.where;
  for (const chip of $("chips").querySelectorAll("button")) {
    chip.setAttribute("aria-pressed", String(chip.dataset.where === state.where));
  }
  const sorted = !searching(state, picture);
  $("sort").value = state.sort;
  $("sorting").hidden = !samples || !sorted;
  $("order").hidden = !state.sort;
  $("order").textContent = state.order === "falling" ? "↓ high first" : "↑ low first";
}
