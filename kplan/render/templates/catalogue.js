"use strict";
(() => {
  const root = document.documentElement;
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const entries = read("data"), nouns = read("nouns"), retentions = read("retentions");
  const byAddress = new Map(entries.map((entry) => [entry.address, entry]));
  const part = 200, maxNodes = 12;  // rows at a time; boxes in a column of the drawing

  // -- small helpers: everything is written as text
  const make = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const join = (parent, ...children) => { parent.append(...children); return parent; };
  const count = (number) => number.toLocaleString("en");
  const noun = (kind, number) => (nouns[kind] || [kind, `${kind}s`])[number === 1 ? 0 : 1];
  const target = (address) => `#/${encodeURIComponent(address)}`;
  const link = (address) => {
    const entry = byAddress.get(address);
    const shown = make("a", entry ? entry.name : address, { href: target(address) });
    return join(make("span"), join(make("span", "", { class: "kind" }), `${(entry || {}).kind || ""} `), shown);
  };

  // -- colours
  const kept = (name) => { try { return name === undefined ? localStorage.getItem("kplan-theme") || "" : localStorage.setItem("kplan-theme", name); } catch { return ""; } };
  const paint = (name) => name ? root.setAttribute("data-theme", name) : root.removeAttribute("data-theme");
  const theme = document.getElementById("theme");
  paint(kept()); theme.value = kept() || "";
  theme.addEventListener("change", () => { paint(theme.value); kept(theme.value); });

  // -- the list
  const search = document.getElementById("search");
  const boxes = ["kind", "retention", "team", "stack"].map((name) => document.getElementById(name));
  const rows = document.querySelector("#found tbody"), more = document.getElementById("more");
  let limit = part;
  const words = new Map();
  const text = (entry) => {
    if (!words.has(entry)) {
      const labels = [entry.address, entry.team, entry.stack, entry.retention, entry.description, entry.text, ...(entry.labels || [])];
      words.set(entry, [...labels, ...(entry.attributes || []).flat()].join(" ").toLowerCase());
    }
    return words.get(entry);
  };
  const fits = (entry, wanted) =>
    boxes.every((box) => !box.value || entry[box.id] === box.value) && wanted.every((word) => text(entry).includes(word));
  const row = (entry) => {
    const name = join(make("td", "", { class: "name" }), link(entry.address));
    if (entry.description) name.append(make("div", entry.description, { class: "where" }));
    name.append(make("div", [entry.summary, entry.retention && `retention ${entry.retention}`, entry.stack, entry.team].filter(Boolean).join(" · "), { class: "where narrow" }));
    return join(make("tr"), name, make("td", entry.summary), make("td", entry.retention), make("td", entry.stack), make("td", entry.team));
  };
  const list = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = entries.filter((entry) => fits(entry, wanted));
    rows.replaceChildren(...found.slice(0, limit).map(row));
    more.hidden = found.length <= limit;
    document.getElementById("count").textContent = found.length === entries.length
      ? `${count(entries.length)} in all` : `${count(found.length)} of ${count(entries.length)}`;
  };
  for (const box of boxes) {
    const values = box.id === "retention" ? retentions : [...new Set(entries.map((entry) => entry[box.id]).filter(Boolean))].sort();
    box.append(...values.map((value) => make("option", value, { value })));
    box.parentElement.hidden = !values.length;
  }
  const again = () => { limit = part; list(); };
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", again);
  for (const box of boxes) box.addEventListener("change", again);
  more.addEventListener("click", () => { limit += part; list(); });
  const kinds = new Map();
  for (const entry of entries) kinds.set(entry.kind, (kinds.get(entry.kind) || 0) + 1);
  document.getElementById("totals").textContent =
    [...kinds].map(([kind, number]) => `${count(number)} ${noun(kind, number)}`).join(", ");

  // -- the drawing of what feeds what: two steps to each side
  const svg = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const neighbours = (addresses, key) =>
    [...new Set(addresses.flatMap((address) => (byAddress.get(address) || {})[key] || []))];
  const columns = (entry) => {
    const before = neighbours([entry.address], "fed_by"), after = neighbours([entry.address], "feeds");
    const seen = new Set([entry.address, ...before, ...after]);
    const fresh = (found) => found.filter((address) => !seen.has(address));
    return [fresh(neighbours(before, "fed_by")), before, [entry.address], after, fresh(neighbours(after, "feeds"))];
  };
  const draw = (entry) => {
    const width = 240, gap = 48, height = 26, step = 36;
    const all = columns(entry), shown = all.map((column) => column.slice(0, maxNodes));
    const places = new Map(), drawn = [];
    const used = shown.map((column, i) => [column, i]).filter(([column]) => column.length);
    const rowsNeeded = Math.max(...all.map((column) => Math.min(column.length, maxNodes + 1)));
    used.forEach(([column, original], i) => column.forEach((address, j) => {
      const x = 12 + i * (width + gap), y = 12 + j * step;
      places.set(address, [x, y]);
      const name = (byAddress.get(address) || { name: address }).name;
      const short = name.length > 32 ? `${name.slice(0, 14)}…${name.slice(-16)}` : name;
      const box = svg("g", { class: address === entry.address ? "self" : "" },
        svg("title", {}, address),
        svg("rect", { x, y, width, height, rx: address.startsWith("connector/") ? 3 : 13 }),
        svg("text", { x: x + 10, y: y + 17 }, short));
      drawn.push(byAddress.has(address) ? svg("a", { href: target(address) }, box) : box);
      const rest = all[original].length - column.length;
      if (rest && j === column.length - 1) drawn.push(svg("text", { x: x + 10, y: y + step + 17 }, `and ${count(rest)} more`));
    }));
    const lines = [];
    for (const [address, [x, y]] of places) for (const next of (byAddress.get(address) || {}).feeds || []) {
      if (!places.has(next)) continue;
      const [x2, y2] = places.get(next), from = x + width, mid = (from + x2) / 2;
      if (x2 > x) lines.push(svg("path", { d: `M${from} ${y + 13} C${mid} ${y + 13} ${mid} ${y2 + 13} ${x2} ${y2 + 13}` }));
    }
    const total = [24 + used.length * (width + gap) - gap, 24 + rowsNeeded * step];
    return svg("svg", { width: total[0], height: total[1], viewBox: `0 0 ${total.join(" ")}`, role: "img", "aria-label": "What feeds it and what it feeds" }, ...lines, ...drawn);
  };

  // -- one resource
  const heading = (words) => make("h2", words);
  const links = (addresses) => join(make("ul", "", { class: "links" }), ...addresses.map((address) => {
    const entry = byAddress.get(address) || {};
    const item = join(make("li"), link(address));
    if (entry.summary) item.append(make("span", ` ${entry.summary}`, { class: "where" }));
    return item;
  }));
  const detail = (entry) => {
    const place = entry.url ? make("a", entry.place, { href: entry.url, rel: "noreferrer" }) : make("span", entry.place || "not declared in these stacks");
    const shown = [
      join(make("p"), make("a", "← All", { href: "#/" })),
      join(make("h1"), join(make("span", "", { class: "kind" }), `${entry.kind} `), entry.name),
      join(make("p", "", { class: "where" }), [entry.team && `team ${entry.team}`, entry.stack && `stack ${entry.stack}`].filter(Boolean).join(" · "), entry.stack ? " · " : "", place),
    ];
    if (entry.description) shown.push(make("p", entry.description));
    if (entry.labels) shown.push(join(make("ul", "", { class: "chips" }), ...entry.labels.map((label) => make("li", label))));
    if (entry.fed_by || entry.feeds) shown.push(heading("Lineage"), join(make("div", "", { class: "lineage", tabindex: "0" }), draw(entry)));
    if (entry.attributes) {
      const lines = entry.attributes.map(([key, value, source]) => join(make("tr"),
        make("th", key, { scope: "row" }), make("td", value, { class: "value" }), make("td", source)));
      shown.push(heading("Settings"), join(make("table", "", { class: "attributes" }), join(make("tbody"), ...lines)));
    }
    const related = new Map();
    for (const address of entry.related || []) {
      const kind = (byAddress.get(address) || {}).kind || "";
      related.set(kind, [...(related.get(kind) || []), address]);
    }
    for (const [kind, addresses] of related) {
      const words = noun(kind, 2);
      shown.push(heading(words[0].toUpperCase() + words.slice(1)), links(addresses));
      for (const address of addresses) {
        const other = byAddress.get(address);
        if (other && other.text) shown.push(make("pre", other.text));
      }
    }
    if (entry.text) shown.push(heading("Schema"), make("pre", entry.text));
    return shown;
  };
  let place = 0;  // where the list was left
  const route = () => {
    let address = "";
    try { address = decodeURIComponent(location.hash.slice(2)); } catch { /* a broken link shows the list */ }
    const entry = byAddress.get(address), page = document.getElementById("detail");
    const box = document.getElementById("list"), wasList = !box.hidden;
    box.hidden = Boolean(entry);
    page.hidden = !entry;
    page.replaceChildren(...(entry ? detail(entry) : []));
    document.title = entry ? `${entry.name} · Kafka catalogue` : "Kafka catalogue";
    const drawing = page.querySelector(".lineage");
    if (drawing) {  // where it does not fit, what the page is about is in its middle
      const middle = (box) => { const { left, width } = box.getBoundingClientRect(); return left + width / 2; };
      drawing.scrollLeft = middle(drawing.querySelector(".self rect")) - middle(drawing);
    }
    if (entry || !wasList) scrollTo(0, entry ? 0 : place);
  };
  history.scrollRestoration = "manual";  // the browser would restore it before the list is there again
  addEventListener("scroll", () => { if (!document.getElementById("list").hidden) place = scrollY; }, { passive: true });
  addEventListener("hashchange", route);
  list();
  route();
})();
