"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const { edges, details } = JSON.parse(byId("data").textContent);
  const rows = new Map([...document.querySelectorAll("tr[data-event]")].map((row) => [row.dataset.event, row]));
  const boxes = new Map([...document.querySelectorAll(".box")].map((box) => [box.dataset.event, box]));
  const lines = [...document.querySelectorAll(".edge")];
  const causes = new Map();
  const effects = new Map();
  const add = (map, from, to, kind) => map.set(from, [...(map.get(from) ?? []), [to, kind]]);
  for (const [cause, effect, kind] of edges) {
    add(causes, effect, cause, kind);
    add(effects, cause, effect, kind);
  }
  let chosen = null;

  // All that can be reached from an event, itself among it.
  const reach = (start, map) => {
    const found = new Set([start]);
    for (const each of found) for (const [next] of map.get(each) ?? []) found.add(next);
    return found;
  };

  const light = (event) => {
    const up = event ? reach(event, causes) : new Set();
    const down = event ? reach(event, effects) : new Set();
    document.body.classList.toggle("lit", Boolean(event));
    for (const elements of [rows, boxes]) {
      for (const [id, element] of elements) {
        element.classList.toggle("chosen", id === event);
        element.classList.toggle("cause", id !== event && up.has(id));
        element.classList.toggle("effect", id !== event && down.has(id));
      }
    }
    for (const line of lines) {
      const { cause, effect } = line.dataset;
      line.classList.toggle("cause", up.has(cause) && up.has(effect));
      line.classList.toggle("effect", down.has(cause) && down.has(effect));
    }
  };

  const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

  const list = (title, others) => {
    if (!others?.length) return [];
    const items = element("ul", "");
    for (const [id, kind] of others) {
      const item = element("li", `${kind} `);
      const link = element("a", `${id.slice(1)} ${rows.get(id).dataset.type}`);
      link.href = `#${id}`;
      item.append(link);
      items.append(item);
    }
    return [element("h3", title), items];
  };

  const tell = (event) => {
    if (!event) {
      byId("details").replaceChildren(element("p", "Choose an event to see all of it, what led to it, and what it led to."));
      return;
    }
    byId("details").replaceChildren(
      element("h3", `${event.slice(1)} ${rows.get(event).dataset.type}`),
      element("p", `${reach(event, causes).size - 1} before it, ${reach(event, effects).size - 1} because of it`),
      ...list("Because of", causes.get(event)),
      ...list("Led to", effects.get(event)),
      element("h3", "All of it"),
      element("pre", details[event]),
    );
  };

  // Of many boxes and rows one each is a stop of the Tab key; arrows lead to the others.
  const stop = (event) => {
    for (const [id, box] of boxes) box.tabIndex = id === event ? 0 : -1;
    for (const [id, row] of rows) row.querySelector("button").tabIndex = id === event ? 0 : -1;
  };

  const choose = (event) => {
    chosen = event;
    light(event);
    tell(event);
    for (const [id, box] of boxes) box.setAttribute("aria-pressed", String(id === event));
    for (const [id, row] of rows) row.querySelector("button").setAttribute("aria-pressed", String(id === event));
    if (!event) return;
    stop(event);
    show(boxes.get(event), byId("canvas"));
    show(rows.get(event).querySelector("button"), byId("rows"));
  };

  // Scroll the pane alone: the page stays where the reader is.
  const show = (element, pane) => {
    const [inner, outer] = [element.getBoundingClientRect(), pane.getBoundingClientRect()];
    if (inner.left < outer.left || inner.right > outer.right) {
      pane.scrollLeft += inner.left - outer.left - (outer.width - inner.width) / 2;
    }
    if (inner.top < outer.top + 40 || inner.bottom > outer.bottom) {
      pane.scrollTop += inner.top - outer.top - (outer.height - inner.height) / 2;
    }
  };

  const eventAt = (target) => target.closest?.("[data-event]")?.dataset.event ?? null;
  document.addEventListener("click", (click) => {
    const link = click.target.closest("a[href^='#']");
    if (link) {
      click.preventDefault();
      choose(link.hash.slice(1));
      return;
    }
    const event = eventAt(click.target);
    if (event) choose(event === chosen ? null : event);
  });
  document.addEventListener("pointerover", (over) => {
    const event = eventAt(over.target);
    if (event || document.body.classList.contains("lit")) light(event ?? chosen);
  });

  const visible = () => [...rows].filter(([, row]) => !row.hidden).map(([id]) => id);
  const step = (event, key) => {
    const all = visible();
    const at = all.indexOf(event);
    if (key === "ArrowDown") return all[at + 1];
    if (key === "ArrowUp") return all[at - 1];
    const next = (key === "ArrowLeft" ? causes : effects).get(event) ?? [];
    return next.map(([id]) => id).find((id) => !rows.get(id).hidden);
  };
  document.addEventListener("keydown", (press) => {
    if (press.key === "Escape") choose(null);
    const event = eventAt(press.target);
    if (!event || press.ctrlKey || press.metaKey || press.altKey) return;
    const inGraph = Boolean(press.target.closest(".box"));
    if (press.key.startsWith("Arrow")) {
      const next = step(event, press.key);
      press.preventDefault();
      if (!next) return;
      choose(next);
      (inGraph ? boxes.get(next) : rows.get(next).querySelector("button")).focus({ preventScroll: true });
    } else if (inGraph && (press.key === "Enter" || press.key === " ")) {
      press.preventDefault();
      choose(event === chosen ? null : event);
    }
  });

  const filter = () => {
    const kinds = new Set([...document.querySelectorAll("#filters input:checked")].map((box) => box.value));
    const wanted = byId("find").value.trim().toLowerCase();
    for (const [id, row] of rows) {
      row.hidden = !kinds.has(row.dataset.type) || !row.textContent.toLowerCase().includes(wanted);
      boxes.get(id).toggleAttribute("hidden", row.hidden);
    }
    for (const line of lines) {
      line.toggleAttribute("hidden", rows.get(line.dataset.cause).hidden || rows.get(line.dataset.effect).hidden);
    }
    const left = visible();
    byId("found").textContent = left.length === rows.size ? "" : `${left.length} of ${rows.size} events`;
    if (chosen && rows.get(chosen).hidden) choose(null);
    if (!left.includes(chosen)) stop(left[0]);
  };
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (submit) => submit.preventDefault());

  const graph = byId("graph");
  const [width, height] = [graph.width.baseVal.value, graph.height.baseVal.value];
  let scale = 1;
  const zoom = (to) => {
    scale = Math.min(3, Math.max(0.1, to));
    graph.setAttribute("width", width * scale);
    graph.setAttribute("height", height * scale);
  };
  const fit = () => Math.min(1, (byId("canvas").clientWidth - 2) / width);
  document.querySelector(".zoom").addEventListener("click", (click) => {
    const how = click.target.dataset.zoom;
    if (how) zoom({ in: scale * 1.25, out: scale / 1.25, fit: fit() }[how]);
  });

  byId("filters").hidden = rows.size === 0;
  document.querySelector(".zoom").hidden = rows.size === 0;
  zoom(Math.max(0.8, fit()));
  stop(rows.keys().next().value);
  const asked = location.hash.slice(1);
  if (rows.has(asked)) choose(asked);
})();
