// What was marked, and how a selection follows it.

import { get, post } from "/static/api.js";
import { card } from "/static/cards.js";
import { $, copy, count, h, put, toast } from "/static/dom.js";

export async function show(actions, signal) {
  const found = await get("marks", {}, signal);
  put($("foot"));
  $("says").textContent = found.keep + found.drop ? "" : "Nothing is marked yet";
  const part = (mark, title) => {
    const rows = found.rows.filter((sample) => sample.mark === mark);
    return rows.length && h("section", { class: "part" }, h("h2", {}, title, " ", h("small", {}, count(rows.length))),
      h("div", { class: "grid" }, rows.map((sample) => card(sample, { onopen: (each) => actions.open(each.uid) }))));
  };
  put($("main"), saving(found, actions), part("keep", "Must keep"), part("drop", "Must drop"),
    found.keep + found.drop ? null : h("p", { class: "nothing" }, "Open a sample and press ", h("kbd", {}, "k"), " to keep it whatever the strategy says, or ", h("kbd", {}, "d"), " to leave it out."));
  return found.rows;
}

function saving(found, actions) {
  if (!found.keep && !found.drop && found.saved) return null;
  const save = h("button", {
    type: "button", class: "strong", id: "save", disabled: found.saved,
    onclick: async () => {
      const told = await post("save", {});
      toast(`Saved ${Object.values(told.paths).join(" and ")}`);
      actions.reload();
    },
  }, found.saved ? "Saved" : "Save the lists");
  const line = h("code", { id: "command" }, found.command);
  return h("div", { class: "saving" },
    h("p", {}, found.saved ? "The lists are saved. A selection that follows them:" : "Saved, the lists lie beside curate.toml. A selection that follows them:"),
    h("div", { class: "line" }, line, h("button", { type: "button", class: "quiet", onclick: () => copy(found.command) }, "Copy")), save,
    found.n_gone ? h("p", { class: "wrong" }, `${count(found.n_gone)} of the marked samples are no longer in the pool.`) : null);
}
