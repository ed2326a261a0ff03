"use strict";
// Charts are drawn when they come into view, and again when the theme changes. Data is text, never markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const number = (value) =>
    value === null || Number.isNaN(value) ? "-"
      : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en")
      : String(Number(value.toPrecision(3)));

  // --- charts -------------------------------------------------------------------------------------------
  const drawn = new Map();  // element -> what draws it
  const waiting = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        waiting.unobserve(entry.target);
        drawn.get(entry.target)();
        entry.target.dataset.drawn = "yes";
      }
    }
  }, { rootMargin: "300px" });
  const chart = (element, draw) => { drawn.set(element, draw); waiting.observe(element); };
  const redraw = () => drawn.forEach((draw, element) => element.dataset.drawn && draw());
  const base = (more) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--soft") },
    hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink"), size: 12 } },
    margin: { l: 0, r: 0, t: 0, b: 0 }, ...more,
  });
  const options = { displayModeBar: false, responsive: true };
  const axis = (more) => ({ gridcolor: css("--line"), zeroline: false, linecolor: css("--line"), fixedrange: true, ...more });

  // --- theme --------------------------------------------------------------------------------------------
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  $("theme").addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  // --- where we are -------------------------------------------------------------------------------------
  const links = new Map([...document.querySelectorAll(".top nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) links.get(entry.target.id)?.classList.toggle("here", entry.isIntersecting);
  }, { rootMargin: "-30% 0px -60% 0px" });
  document.querySelectorAll("main section").forEach((section) => seen.observe(section));

  // --- map ----------------------------------------------------------------------------------------------
  const unpacked = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Uint16Array(bytes.buffer);
  };
  const values = (packed) => {
    const scale = (packed.high - packed.low) / 65534;
    return Float64Array.from(unpacked(packed.bits), (bits) => bits === 65535 ? NaN : packed.low + bits * scale);
  };
  // Okabe and Ito's colours and lighter and darker ones between them, which people of all eyesights tell apart.
  const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a8c1f", "#8f6bd1", "#b08968", "#4d8f8b",
    "#c2476b", "#6b7bb8", "#a3c14a", "#e07b91", "#3d6e9e", "#c9a227"];
  const MOST_NAMED = 24;

  function startMap(map) {
    const x = values(map.x), y = values(map.y);
    const source = unpacked(map.source), outcome = unpacked(map.outcome);
    const cluster = map.cluster && unpacked(map.cluster);
    const words = map.texts.map((text, at) => `${map.ids[at]} ${text}`.toLowerCase());
    const scores = new Map(map.scores.map((score) => [score.name, score]));
    const kept = map.keys.indexOf("kept");
    const hidden = new Set();
    let groups = [];  // of each trace the points in it

    const option = (parent, value, text) => { const made = make("option", text); made.value = value; parent.append(made); };
    const colour = $("colour"), which = $("which"), find = $("find");
    if (map.present.length > 1) option(colour, "outcome", "what became of it");
    if (cluster) option(colour, "cluster", "cluster");
    option(colour, "source", "source");
    for (const table of new Set(map.scores.map((score) => score.table))) {
      const group = make("optgroup"); group.label = table; colour.append(group);
      for (const score of map.scores) if (score.table === table) option(group, `score:${score.name}`, score.label);
    }
    option(which, "", "all samples");
    for (const place of map.present) if (outcome.includes(place)) option(which, String(place), map.outcomes[place]);

    const kinds = {
      outcome: { of: (at) => outcome[at], name: (code) => map.outcomes[code] },
      source: { of: (at) => source[at], name: (code) => map.sources[code] ?? "others" },
      cluster: { of: (at) => cluster[at], name: (code) => code === 65535 ? "no cluster" : `${code} · ${map.clusters[code] ?? ""}` },
    };
    const outcomeColour = (code) => css(`--o-${map.keys[code]}`);

    const shown = () => {
      const wanted = which.value === "" ? null : Number(which.value);
      const text = find.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      const found = [];
      for (let at = 0; at < map.n; at++) {
        if (wanted !== null && outcome[at] !== wanted) continue;
        if (text.length && !text.every((word) => words[at].includes(word))) continue;
        found.push(at);
      }
      return found;
    };
    const marker = (n, more) => ({ size: n > 20000 ? 3 : n > 4000 ? 4.5 : 6.5, opacity: n > 4000 ? 0.7 : 0.85, line: { width: 0 }, ...more });
    const trace = (points, mark) => {
      groups.push(points);
      return { type: map.n > 1500 ? "scattergl" : "scatter", mode: "markers", hoverinfo: "none", marker: mark,
        x: points.map((at) => x[at]), y: points.map((at) => y[at]) };
    };

    const byKind = (kind, points) => {
      const sizes = new Map();
      for (const at of points) sizes.set(kind.of(at), (sizes.get(kind.of(at)) ?? 0) + 1);
      const all = new Map();
      for (let at = 0; at < map.n; at++) all.set(kind.of(at), (all.get(kind.of(at)) ?? 0) + 1);
      const codes = [...all.keys()].sort((one, other) => all.get(other) - all.get(one) || one - other);
      const named = codes.slice(0, MOST_NAMED), place = new Map(named.map((code, at) => [code, at]));
      const parts = named.map(() => []), rest = [];
      for (const at of points) { const to = place.get(kind.of(at)); (to === undefined ? rest : parts[to]).push(at); }
      const tint = (code, at) => kind === kinds.outcome ? outcomeColour(code) : PALETTE[at % PALETTE.length];
      const keys = named.map((code, at) => ({ key: code, name: kind.name(code), n: sizes.get(code) ?? 0, colour: tint(code, at) }));
      if (codes.length > named.length) {
        keys.push({ key: "rest", name: `${codes.length - named.length} others`, n: rest.length, colour: css("--grey") });
        parts.push(rest);
      }
      $("keys").replaceChildren(...keys.map((entry) => {
        const button = make("button", undefined, hidden.has(entry.key) ? "off" : "");
        button.type = "button";
        const dot = make("i"); dot.style.background = entry.colour;
        const name = make("bdi", entry.name.length > 42 ? `${entry.name.slice(0, 41)}…` : entry.name);
        button.append(dot, name, make("span", ` ${entry.n.toLocaleString("en")}`));
        button.addEventListener("click", () => { hidden.has(entry.key) ? hidden.delete(entry.key) : hidden.add(entry.key); draw(); });
        const item = make("li"); item.append(button); return item;
      }));
      // The commonest first, so that rare ones lie above; what is kept above all.
      const traces = keys.map((entry, at) => hidden.has(entry.key) || !parts[at].length ? null : [parts[at], entry]).filter(Boolean);
      traces.sort((one, other) => kind === kinds.outcome && (one[1].key === kept) - (other[1].key === kept) || other[0].length - one[0].length);
      return traces.map(([part, entry]) => trace(part, marker(map.n, { color: entry.colour })));
    };
    const byScore = (score, points) => {
      const held = score.held ??= values(score);
      const known = points.filter((at) => !Number.isNaN(held[at])), unknown = points.filter((at) => Number.isNaN(held[at]));
      const sorted = known.map((at) => held[at]).sort((one, other) => one - other);
      const low = sorted[Math.floor(sorted.length * 0.01)] ?? 0, high = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 1;
      const scale = [[0, css("--grey")], [0.5, dark() ? "#6f83c9" : "#7f97e6"], [1, dark() ? "#d6dfff" : "#1c2f86"]];
      $("keys").replaceChildren();
      const bar = { thickness: 8, len: 0.5, x: 0.01, xanchor: "left", y: 0.02, yanchor: "bottom", outlinewidth: 0, tickfont: { size: 11 }, nticks: 4,
        title: { text: "", font: { size: 11 } } };
      return [
        ...(unknown.length ? [trace(unknown, marker(map.n, { color: css("--line") }))] : []),
        trace(known, marker(map.n, { color: known.map((at) => held[at]), colorscale: scale, cmin: low, cmax: high, colorbar: bar })),
      ];
    };
    const draw = () => {
      const points = shown();
      groups = [];
      const [kind, name] = colour.value.split(/:(.*)/s);
      const traces = kind === "score" ? byScore(scores.get(name), points) : byKind(kinds[kind], points);
      const n = groups.reduce((sum, group) => sum + group.length, 0);
      $("shown").textContent = `${n.toLocaleString("en")} shown`;
      const quiet = { visible: false, fixedrange: innerWidth < 641 };
      Plotly.react($("space"), traces, base({
        xaxis: { ...quiet, range: span(x) }, yaxis: { ...quiet, range: span(y) }, dragmode: innerWidth < 641 ? false : "zoom",
        uirevision: "same", hoverdistance: 12,
      }), { ...options, doubleClick: "reset" });
      $("space").dataset.drawn = "yes";
      if (!draw.bound) {
        draw.bound = true;
        $("space").on("plotly_hover", (event) => tell(event.points[0]));
        $("space").on("plotly_click", (event) => tell(event.points[0]));
        $("space").on("plotly_unhover", () => { if (innerWidth > 640) $("hover").hidden = true; });
      }
    };
    const span = (column) => {
      let low = Infinity, high = -Infinity;
      for (const value of column) { if (value < low) low = value; if (value > high) high = value; }
      const room = (high - low || 1) * 0.03;
      return [low - room, high + room];
    };
    const tell = (point) => {
      const at = groups[point.curveNumber]?.[point.pointNumber];
      if (at === undefined) return;
      const card = $("hover"), facts = make("dl"), tile = map.tile[at];
      card.replaceChildren();
      if (tile !== null) {
        const picture = make("span", undefined, "tile"), each = map.across ** 2, place = tile % each;
        const side = map.side, large = 112 / side, size = side * large;
        picture.style.cssText = `width:${size}px;height:${size}px;background-size:${map.across * size}px;` +
          `background-position:${-(place % map.across) * size}px ${-Math.floor(place / map.across) * size}px`;
        picture.style.backgroundImage = `url(${map.sheets[Math.floor(tile / each)]})`;
        card.append(picture);
      }
      const id = make("div", map.ids[at], "id"); id.dir = "auto"; card.append(id);
      const fact = (name, value) => facts.append(make("dt", name), make("dd", value));
      fact("outcome", map.outcomes[outcome[at]]);
      fact("source", kinds.source.name(source[at]));
      if (cluster) fact("cluster", kinds.cluster.name(cluster[at]));
      const [kind, name] = colour.value.split(/:(.*)/s);
      if (kind === "score") { const score = scores.get(name); fact(score.label, `${number(score.held[at])} ${score.unit}`); }
      const text = make("div", map.texts[at], "text"); text.dir = "auto";
      card.append(facts, text);
      card.classList.toggle("left", point.x > (span(x)[0] + span(x)[1]) / 2);
      card.hidden = false;
    };
    colour.addEventListener("change", () => { hidden.clear(); draw(); });
    which.addEventListener("change", draw);
    let typing;
    find.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(draw, 120); });
    chart($("space"), draw);
  }
  if (data.map) startMap(data.map);

  // --- capabilities and styles --------------------------------------------------------------------------
  const wrapped = (name) => name.length > 13 ? name.replaceAll(" ", innerWidth < 641 || name.length < 28 ? "<br>" : " ").replace(/ (?=\S+$)/, "<br>") : name;
  if (data.coverage) {
    const round = (rows) => [...rows, rows[0]];
    chart($("radar"), () => {
      const rows = data.coverage.capabilities.filter((row) => row.pool !== null), names = round(rows.map((row) => wrapped(row.name)));
      const line = (column, name, colour, more) => ({
        type: "scatterpolar", mode: "lines", theta: names, r: round(rows.map((row) => row[column])), name,
        line: { color: colour, width: 2 }, hovertemplate: `%{theta}: %{r:.2f} (${name})<extra></extra>`, ...more,
      });
      const traces = [line("pool", "pool", css("--grey"))];
      if (rows.some((row) => row.kept !== null)) {
        const edge = { width: 0, color: "rgba(0,0,0,0)" };
        traces.unshift(line("low", "chance, at least", "", { line: edge, hoverinfo: "skip", hovertemplate: undefined }),
          line("high", "chance, at most", "", { line: edge, fill: "tonext", fillcolor: css("--own-soft"), hoverinfo: "skip", hovertemplate: undefined }));
        traces.push(line("kept", "kept", css("--own"), { mode: "lines+markers", marker: { size: 5 } }));
      }
      const side = innerWidth < 641 ? 84 : 110;
      Plotly.react($("radar"), traces, base({
        margin: { l: side, r: side, t: 44, b: 40 },
        polar: { bgcolor: "rgba(0,0,0,0)", radialaxis: axis({ angle: 90, tickangle: 90, nticks: 4, showline: false, tickfont: { size: 10 } }),
          angularaxis: axis({ direction: "clockwise", rotation: 90, tickfont: { size: innerWidth < 641 ? 9.5 : 11 } }) },
      }), options);
    });
    chart($("styles"), () => {
      const rows = data.coverage.styles.filter((row) => row.pool !== null).sort((one, other) => one.pool - other.pool);
      const names = rows.map((row) => row.name), decided = rows.some((row) => row.kept !== null);
      const bar = (column, name, colour, more) => ({
        type: "bar", orientation: "h", y: names, x: rows.map((row) => row[column]), name, marker: { color: colour },
        hovertemplate: `%{y}: %{x:.1%} (${name})<extra></extra>`, ...more,
      });
      const traces = [bar("pool", "pool", css("--grey"))];
      if (decided) {
        traces.push(bar("kept", "kept", css("--own")));
        traces[0].error_x = { type: "data", symmetric: false, color: css("--soft"), thickness: 1.2, width: 3,
          array: rows.map((row) => row.high - row.pool), arrayminus: rows.map((row) => row.pool - row.low) };
      }
      Plotly.react($("styles"), traces, base({
        margin: { l: 132, r: 12, t: 10, b: 30 }, bargap: 0.32, bargroupgap: 0.08, xaxis: axis({ tickformat: ".0%", rangemode: "tozero", nticks: 5 }), yaxis: axis({ gridcolor: "rgba(0,0,0,0)", ticklabelstandoff: 8 }),
      }), options);
    });
  }

  // --- histograms ---------------------------------------------------------------------------------------
  const FIRST = 9;
  const histogram = (score) => {
    const box = make("div", undefined, "histogram"), plot = make("div", undefined, "plot");
    const about = [`mean ${number(score.mean)}`];
    if (score.mean_kept !== null && data.decided) about.push(`kept ${number(score.mean_kept)}`);
    if (score.unit) about.push(score.unit);
    if (score.n_null) about.push(`${score.n_null.toLocaleString("en")} without`);
    const title = make("h3", score.label); title.title = `${score.table}.${score.name}`;
    const line = make("p", about.join(" · "));
    line.title = line.textContent;
    box.append(title, line, plot);
    box.dataset.name = score.name;
    chart(plot, () => {
      const middle = score.edges.slice(1).map((edge, at) => (edge + score.edges[at]) / 2);
      const wide = score.edges[1] - score.edges[0];
      const shares = (counts) => { const sum = counts.reduce((one, other) => one + other, 0) || 1; return counts.map((n) => n / sum); };
      const pool = shares(score.pool), own = shares(score.kept), top = Math.max(...pool, ...(data.decided ? own : []));
      const traces = [{ type: "bar", x: middle, y: pool, width: wide * 0.96, marker: { color: css("--grey") }, customdata: score.pool,
        hovertemplate: "%{x:.3~g}: %{y:.1%} of the pool (%{customdata:,})<extra></extra>" }];
      if (data.decided) traces.push({ type: "scatter", mode: "lines", x: score.edges, y: [...own, own.at(-1)], line: { color: css("--own"), width: 2, shape: "hv" }, customdata: score.kept,
        hovertemplate: "from %{x:.3~g}: %{y:.1%} of the kept (%{customdata:,})<extra></extra>" });
      const low = Math.min(score.edges[0], ...score.cuts.map((cut) => cut.at)), high = Math.max(score.edges.at(-1), ...score.cuts.map((cut) => cut.at));
      const room = (high - low) * 0.02;
      Plotly.react(plot, traces, base({
        margin: { l: 2, r: 2, t: 16, b: 22 }, bargap: 0,
        xaxis: axis({ range: [low - room, high + room], showgrid: false, nticks: 5, tickfont: { size: 11 } }),
        yaxis: axis({ range: [0, top * 1.05], showticklabels: false, showgrid: false }),
        shapes: score.cuts.map((cut) => ({ type: "line", x0: cut.at, x1: cut.at, yref: "paper", y0: 0, y1: 1, line: { color: css("--soft"), width: 1.2, dash: "dash" } })),
        annotations: score.cuts.slice(0, 1).map((cut) => ({ x: cut.at, yref: "paper", y: 1, yanchor: "bottom", xanchor: cut.at > (low + high) / 2 ? "right" : "left", text: escaped(cut.text), showarrow: false, font: { size: 11 } })),
      }), options);
    });
    return box;
  };
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const histograms = $("histograms");
  if (histograms) {
    histograms.append(...data.scores.slice(0, FIRST).map(histogram));
    $("more")?.addEventListener("click", (event) => {
      histograms.append(...data.scores.slice(FIRST).map(histogram));
      event.target.remove();
    });
  }

  // --- what is long -------------------------------------------------------------------------------------
  for (const long of document.querySelectorAll(".fold")) {
    const far = long.querySelectorAll(".far").length;
    if (!far) continue;
    const button = make("button", `Show ${far} more`, "more");
    button.type = "button";
    long.classList.add("shut");
    (long.closest(".scroll") ?? long).after(button);
    button.addEventListener("click", () => { long.classList.remove("shut"); button.remove(); });
  }

  // --- pairs --------------------------------------------------------------------------------------------
  const list = $("list");
  if (list) {
    const STEP = 12;
    const cards = [...list.children].map((card) => [card, card.textContent.toLowerCase()]);
    let reason = "", room = STEP;
    const show = () => {
      const text = $("words").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      for (const [card, words] of cards) {
        const own = reason ? card.dataset.reason === reason : card.dataset.reason !== "apart";
        const fits = own && text.every((word) => words.includes(word));
        card.hidden = !fits || n >= room;
        n += fits;
      }
      $("further").hidden = n <= room;
      $("nopairs").hidden = n > 0;
    };
    for (const chip of document.querySelectorAll("#reasons .chip")) {
      chip.addEventListener("click", () => {
        reason = chip.dataset.reason; room = STEP;
        document.querySelectorAll("#reasons .chip").forEach((other) => other.classList.toggle("on", other === chip));
        show();
      });
    }
    $("words").addEventListener("input", () => { room = STEP; show(); });
    $("further").addEventListener("click", () => { room += STEP; show(); });
    show();
  }
})();
