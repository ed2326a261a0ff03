// What the clusters are about: a card each, the largest first.

import { get } from "/static/api.js";
import { shot } from "/static/cards.js";
import { $, count, h, put } from "/static/dom.js";
import { change } from "/static/state.js";

export async function show(state, signal) {
  const { rows } = await get("clusters", {}, signal);
  put($("foot"));
  $("says").textContent = `${count(rows.length)} clusters, the largest first`;
  const find = h("input", {
    type: "search", class: "find", placeholder: "Find a cluster by its words", "aria-label": "Find a cluster",
    oninput: () => {
      const wanted = find.value.trim().toLowerCase();
      for (const each of list.children) each.hidden = !each.dataset.words.includes(wanted);
    },
  });
  const list = h("div", { class: "clusters" }, rows.map(about));
  put($("main"), find, list);
  return [];
}

function about(cluster) {
  const terms = (cluster.terms ?? []).map((term) => (typeof term === "string" ? term : term.term ?? term.word ?? ""));
  const label = cluster.label || "without a name";
  const others = terms.filter((term) => !label.split(", ").includes(term));
  const share = cluster.n_kept === null ? null : cluster.n_kept / cluster.size;
  const open = () => change({ view: "samples", where: `cluster = ${cluster.cluster}`, sort: "similarity", order: "falling", page: "0", text: "", like: "" });
  return h("button", { type: "button", class: "cluster", onclick: open, data: { words: `${label} ${terms.join(" ")} ${cluster.cluster}`.toLowerCase() } },
    h("div", { class: "mosaic" }, cluster.examples.map((sample) => shot(sample, { size: "tiny" }))),
    h("h3", { dir: "auto" }, label),
    h("p", { class: "terms", dir: "auto" }, others.slice(0, 6).join(", ")),
    h("p", { class: "meta" }, [cluster.capability, cluster.style].filter(Boolean).map((name) => name.replaceAll("_", " ")).join(" · ")),
    share === null ? null : h("div", { class: "share", title: `${count(cluster.n_kept)} of ${count(cluster.size)} are kept` }, h("i", { style: { width: `${100 * share}%` } })),
    h("p", { class: "meta" }, `${count(cluster.size)} samples`, share === null ? "" : `, ${count(cluster.n_kept)} kept`, h("span", { class: "number" }, `#${cluster.cluster}`)));
}
