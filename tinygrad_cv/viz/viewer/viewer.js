// The viewer of a graph: reads the graph's JSON and works on the SVG that Graphviz drew. It loads
// nothing, stores nothing, and sets texts only as texts.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("graph").textContent);
  const { model, overlays } = data;
  const $ = (id) => document.getElementById(id);
  const stage = $("stage");
  const svg = stage.querySelector("svg");

  // ---- The graph: nodes, their elements, and what leads where

  const nodes = new Map(model.nodes.map((node) => [node.id, node]));
  const clusters = new Map(model.clusters.map((cluster) => [cluster.id, cluster]));
  const elements = new Map();
  for (const element of svg.querySelectorAll(".node[data-id]")) {
    elements.set(Number(element.dataset.id), element);
  }
  const edges = [...svg.querySelectorAll(".edge")].map((element) => ({
    element,
    // an edge from afar starts at a stub: a small copy of its source
    stub: $(element.id.replace(/-e(\d+)$/, "-s$1")),
    source: Number(element.dataset.source),
    target: Number(element.dataset.target),
  }));
  const incoming = new Map(model.nodes.map((node) => [node.id, []]));
  const outgoing = new Map(model.nodes.map((node) => [node.id, []]));
  for (const edge of model.edges) {
    incoming.get(edge.target).push(edge);
    outgoing.get(edge.source).push(edge);
  }

  function reachable(start, edgesOf, end) {
    const seen = new Set();
    const pending = [start];
    while (pending.length) {
      for (const edge of edgesOf.get(pending.pop())) {
        if (!seen.has(edge[end])) {
          seen.add(edge[end]);
          pending.push(edge[end]);
        }
      }
    }
    return seen;
  }

  // ---- Words

  const shape = (tensor) =>
    tensor.shape === null ? "?" : tensor.shape.length ? tensor.shape.join("×") : "scalar";
  const words = (...parts) => parts.filter(Boolean).join(" ");
  const tensorText = (tensor) => words(shape(tensor), tensor.dtype);
  const grouped = (number) => number.toLocaleString("en");

  function nameOf(node) {
    let name = node.name || node.kind;
    if (node.kind === "op" && node.phase === "backward") name = `${name} backward`;
    const roles = node.kind === "saved" ? node.held.map((item) => item.role).join(", ") : "";
    const more = node.title || roles;
    return (more ? `${name} (${more})` : name).slice(0, 200);
  }

  function modulesOf(node) {
    const found = [];
    for (let id = node.cluster; id !== null; id = clusters.get(id).parent) {
      const { path, kind, call, calls } = clusters.get(id);
      const name = path ? `${path} : ${kind}` : kind;
      found.unshift(calls > 1 ? `${name}, call ${call} of ${calls}` : name);
    }
    const own = node.title || nodes.get(node.pair)?.title; // a call without a box of its own
    return own && !found.includes(own) ? [...found, own] : found;
  }

  // ---- Pan and zoom: the view is the point of the picture in the upper left corner, and pixels
  // for each of its units

  const whole = svg.viewBox.baseVal;
  const home = { x: whole.x, y: whole.y, width: whole.width, height: whole.height };
  const view = { x: 0, y: 0, scale: 1 };
  svg.removeAttribute("width");
  svg.removeAttribute("height");

  function size() {
    const { width, height } = stage.getBoundingClientRect();
    return { width, height, free: height - $("under").getBoundingClientRect().height };
  }

  function show() {
    const { width, height } = size();
    const box = [view.x, view.y, width / view.scale, height / view.scale];
    svg.setAttribute("viewBox", box.map((number) => number.toFixed(3)).join(" "));
  }

  function fit(least = 0) {
    const { width, free } = size();
    const scale = Math.min(width / home.width, free / home.height, 4 / 3);
    view.scale = Math.max(scale, Math.min(least, width / home.width));
    view.x = home.x - (width / view.scale - home.width) / 2;
    view.y = home.y - Math.max(0, (free / view.scale - home.height) / 2);
    show();
  }

  function zoom(factor, x, y) {
    const { width, height } = size();
    [x, y] = [x ?? width / 2, y ?? height / 2];
    const scale = Math.min(Math.max(view.scale * factor, 0.02), 20);
    view.x += x / view.scale - x / scale;
    view.y += y / view.scale - y / scale;
    view.scale = scale;
    show();
  }

  function pan(dx, dy) {
    view.x -= dx / view.scale;
    view.y -= dy / view.scale;
    show();
  }

  function reveal(id) {
    const box = elements.get(id).getBoundingClientRect();
    const frame = stage.getBoundingClientRect();
    const bottom = $("under").getBoundingClientRect().top;
    const across = box.left < frame.left || box.right > frame.right;
    const along = box.top < frame.top || box.bottom > bottom;
    const dx = across ? (frame.left + frame.right - box.left - box.right) / 2 : 0;
    const dy = along ? (frame.top + bottom - box.top - box.bottom) / 2 : 0;
    if (dx || dy) pan(dx, dy);
  }

  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const frame = stage.getBoundingClientRect();
      const turn = event.deltaMode === 0 ? event.deltaY : event.deltaY * 16;
      zoom(Math.exp(-turn / 400), event.clientX - frame.left, event.clientY - frame.top);
    },
    { passive: false },
  );

  const pointers = new Map(); // those that are down: one drags, two also zoom
  let moved = 0;
  stage.addEventListener("pointerdown", (event) => {
    if (pointers.size === 0) moved = 0;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  window.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved > 4) stage.classList.add("dragging");
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const far = (x, y) => Math.hypot(x - other[0], y - other[1]) || 1;
      const frame = stage.getBoundingClientRect();
      const factor = far(event.clientX, event.clientY) / far(...before);
      zoom(factor, other[0] - frame.left, other[1] - frame.top);
    } else if (moved > 4) {
      pan(dx, dy);
    }
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    window.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      stage.classList.remove("dragging");
    });
  }

  // ---- What a node reaches

  let selected = null;
  let choices = []; // the other ends of edges that the last arrow key could have taken

  function reach(id) {
    const up = id === null ? new Set() : reachable(id, incoming, "source");
    const down = id === null ? new Set() : reachable(id, outgoing, "target");
    stage.classList.toggle("reaching", id !== null);
    for (const [other, element] of elements) {
      element.classList.toggle("here", other === id);
      element.classList.toggle("up", up.has(other));
      element.classList.toggle("down", down.has(other));
    }
    for (const { element, stub, source, target } of edges) {
      const before = up.has(source) && (up.has(target) || target === id);
      const after = down.has(target) && (down.has(source) || source === id);
      for (const part of stub ? [element, stub] : [element]) {
        part.classList.toggle("up", before);
        part.classList.toggle("down", after);
      }
    }
    $("reach").textContent =
      id === null ? "" : `${nameOf(nodes.get(id))}: ${up.size} upstream, ${down.size} downstream`;
  }

  const nodeUnder = (event) => {
    const element = event.target.closest?.(".node");
    return element ? Number(element.dataset.id ?? element.dataset.source) : null;
  };
  svg.addEventListener("pointerover", (event) => {
    if (!pointers.size) reach(nodeUnder(event) ?? selected);
  });
  svg.addEventListener("pointerleave", () => reach(selected));
  svg.addEventListener("click", (event) => {
    const atStub = event.target.closest(".stub") !== null; // its source stands elsewhere
    if (moved <= 4) select(nodeUnder(event), { reveals: atStub });
  });
  svg.addEventListener("focusin", (event) => {
    const id = nodeUnder(event);
    if (id !== null && id !== selected && !pointers.size) select(id);
  });

  // ---- The facts of the selected node

  function select(id, { focuses = true, reaches = true, reveals = true } = {}) {
    selected = id;
    for (const [other, element] of elements) {
      element.setAttribute("aria-pressed", String(other === id));
      if (id !== null) element.setAttribute("tabindex", other === id ? "0" : "-1");
    }
    reach(reaches ? id : null);
    $("facts").replaceChildren(...(id === null ? factsOfAll() : factsOf(nodes.get(id))));
    if (id !== null && focuses) elements.get(id).focus({ preventScroll: true });
    if (id !== null && reveals) reveal(id);
  }

  function make(tag, text = "") {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  }

  // A list of facts, and the function that adds one: a name, and texts or elements.
  function factList() {
    const list = make("dl");
    const add = (name, ...values) => {
      const told = values.flat().filter((value) => value || value === 0);
      if (told.length) list.append(make("dt", name));
      for (const value of told) {
        const entry = make("dd");
        entry.append(value);
        list.append(entry);
      }
    };
    return [list, add];
  }

  function factsOfAll() {
    const [list, add] = factList();
    add("failed", model.error);
    for (const [name, value] of Object.entries(model.totals)) {
      if (value) add(spaced(name), grouped(value));
    }
    add("notes", model.notes);
    const hint = "Choose a node: click it, search, or Tab to the picture and use the arrow keys.";
    return [make("p", hint), list];
  }

  function link(id, before = "", after = "") {
    const line = make("span", before);
    const button = make("button", nameOf(nodes.get(id)));
    button.type = "button";
    button.className = "link";
    button.addEventListener("click", () => select(id));
    line.append(button, after);
    return line;
  }

  const KINDS = { op: "operator", param: "parameter", const: "constant", saved: "saved values" };
  const FLOW = { data: "", gradient: "gradient: ", saved: "saved: " };
  // Facts that have a place of their own, or are of no use to a reader
  const TOLD =
    "equation gradients parameters flops saved_bytes measured overlay unmeasured storage storages"
      .concat(" of color").split(" ");

  function factsOf(node) {
    const { id, facts } = node;
    const [list, add] = factList();
    const held = (of, kind) =>
      of.held
        .filter((item) => item.kind === kind)
        .map(({ role, tensor, value }) => {
          const own = tensor.name.split(".").pop();
          const name = own && role && own !== role ? `${role}: ${own}` : role || own;
          const what = words(name, tensor.shape && tensorText(tensor));
          if (value && kind === "const") return words(name, `= ${value}`);
          return value ? `${what} (${value})` : what;
        });
    const measured = (name) => overlays.find((other) => other.name === name)?.lines[id] ?? [];
    const stands = node.count > 1 ? `, stands for ${grouped(node.count)} operators` : "";

    add("kind", `${KINDS[node.kind] ?? node.kind}, ${node.phase}${stands}`);
    add("failed", node.error.split("\n"));
    add("value", node.value);
    add("module", modulesOf(node));
    add("made at", node.site);
    add("equation", facts.equation);
    add("gradients", plain(facts.gradients ?? ""));
    add("from", incoming.get(id).map((edge) => {
      const argument = edge.argument && `${edge.argument} = `;
      return link(edge.source, FLOW[edge.kind] + argument, ` ${tensorText(edge.tensor)}`);
    }));
    add(node.kind === "op" ? "results" : "tensor",
      node.outputs.map((tensor) => words(tensor.name, tensorText(tensor))));
    add("to", outgoing.get(id).map((edge) =>
      link(edge.target, FLOW[edge.kind], edge.argument && ` as ${edge.argument}`)));
    add("attributes", node.attributes.map(([name, text]) => `${name} = ${text}`));
    const inside = facts.parameters && `${grouped(facts.parameters)} inside`;
    add("parameters", held(node, "param"), inside, measured("parameters"));
    add("constants", held(node, "const"));
    add("gradients of what is inside", held(node, "gradient"));
    const kept = model.nodes.filter((other) => other.kind === "saved" && other.pair === id);
    add("saved for backward", held(node, "saved"), kept.map((other) =>
      link(other.id, "", [...other.outputs.map(tensorText), ...held(other, "saved")]
        .map((text) => `\n${text}`).join(""))));
    add("FLOPs", facts.flops === undefined ? "" : grouped(facts.flops), measured("flops"));
    add("saved bytes", facts.saved_bytes && grouped(facts.saved_bytes), measured("saved_bytes"));
    for (const { name } of overlays) {
      if (!["flops", "saved_bytes", "parameters"].includes(name)) add(spaced(name), measured(name));
    }
    if (node.pair !== null) add("belongs to", link(node.pair));
    for (const [name, value] of Object.entries(facts)) {
      if (!TOLD.includes(name)) add(spaced(name), plain(value));
    }
    const heading = make("h2", nameOf(node));
    heading.tabIndex = -1;
    return [heading, list];
  }

  const spaced = (name) => name.replaceAll("_", " ");

  function plain(value) {
    if (value === null || typeof value !== "object") return String(value).split("\n");
    const parts = Object.entries(value);
    return parts.map(([name, item]) =>
      Array.isArray(value) ? plain(item).join(" ") : `${name}: ${plain(item).join(", ")}`);
  }

  // ---- Walking along the edges

  const ends = (list, end) => [...new Set(list.map((edge) => edge[end]))];

  function walk(key) {
    if (key === "ArrowDown" || key === "ArrowUp") {
      const down = key === "ArrowDown";
      const next = down
        ? ends(outgoing.get(selected), "target")
        : ends(incoming.get(selected), "source");
      if (!next.length) return;
      choices = next;
      select(next[0]);
      return;
    }
    if (!choices.includes(selected)) {
      const parent = incoming.get(selected)[0];
      choices = parent
        ? ends(outgoing.get(parent.source), "target")
        : model.nodes.filter((node) => !incoming.get(node.id).length).map((node) => node.id);
    }
    const place = choices.indexOf(selected) + (key === "ArrowRight" ? 1 : choices.length - 1);
    select(choices[place % choices.length]);
  }

  // ---- Search

  let found = [];
  let current = -1;
  const normal = (text) =>
    text.toLowerCase().replaceAll("×", "x").replace(/(\d)\s*,\s*(?=\d)/g, "$1x");
  const texts = new Map(
    model.nodes.map((node) => {
      const held = node.held.map((item) =>
        words(item.role, item.tensor.name, tensorText(item.tensor)));
      const attributes = node.attributes.map(([name, text]) => `${name}=${text}`);
      const parts = [nameOf(node), node.name, node.kind, node.phase, node.site, node.error];
      parts.push(...node.outputs.map(tensorText), ...held, ...modulesOf(node), ...attributes);
      return [node.id, normal(parts.join("\n"))];
    }),
  );

  function search() {
    const wanted = normal($("search").value).split(/\s+/).filter(Boolean);
    const fits = ({ id }) => wanted.every((word) => texts.get(id).includes(word));
    found = wanted.length ? model.nodes.filter(fits).map((node) => node.id) : [];
    current = -1;
    stage.classList.toggle("searching", wanted.length > 0);
    for (const [id, element] of elements) element.classList.toggle("found", found.includes(id));
    const counted = found.length === 1 ? "1 match" : `${found.length} matches`;
    $("matches").textContent = wanted.length ? counted : "";
  }

  function nextMatch(forward) {
    if (!found.length) return;
    const from = current < 0 && !forward ? 0 : current;
    current = (from + (forward ? 1 : -1) + found.length) % found.length;
    const id = found[current];
    select(id, { focuses: false, reaches: false });
    $("matches").textContent = `${current + 1} of ${found.length}: ${nameOf(nodes.get(id))}`;
  }

  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") nextMatch(!event.shiftKey);
  });

  // ---- Overlays: a shade and a line of text for each operator

  const SHADE = /^(heat-\d|hue-\d+|unmeasured|plain|dead)$/;
  const height = 13.2; // of a line
  const spare = new Map(); // the lines that the layout left free for the overlay
  for (const [id, element] of elements) {
    const lines = [...element.querySelectorAll("text")];
    const ys = lines.map((line) => Number(line.getAttribute("y")));
    const middle = ys.reduce((sum, y) => sum + y, 0) / ys.length;
    const room = Math.max(0, ...overlays.map((overlay) => overlay.lines[id]?.length ?? 0));
    const free = room ? lines.slice(-room) : [];
    for (const line of free) line.setAttribute("class", "t-fact");
    const shades = [...element.classList].filter((name) => SHADE.test(name));
    spare.set(id, { lines, middle, free, shades });
  }

  function setOverlay(name) {
    const overlay = overlays.find((other) => other.name === name);
    for (const [id, element] of elements) {
      const told = overlay?.lines[id] ?? [];
      const own = element.classList.contains("error") || element.dataset.mark; // a colour to keep
      if (!own) {
        const shades = overlay ? (overlay.classes[id] ?? "").split(" ") : spare.get(id).shades;
        element.classList.remove(...[...element.classList].filter((name) => SHADE.test(name)));
        element.classList.add(...shades.filter(Boolean));
      }
      const { lines, middle, free } = spare.get(id);
      free.forEach((line, index) => (line.textContent = told[index] ?? ""));
      const shown = lines.filter((line) => !free.includes(line) || line.textContent);
      shown.forEach((line, index) =>
        line.setAttribute("y", (middle + height * (index - (shown.length - 1) / 2)).toFixed(2)));
      element.setAttribute("aria-label", shown.map((line) => line.textContent.trim()).join(", "));
    }
    $("note").textContent = overlay?.note ?? "";
    $("scale").hidden = !overlay;
  }

  for (const { name } of overlays) $("overlay").append(new Option(spaced(name), name));
  $("overlay").value = data.overlay;
  $("overlay").addEventListener("change", (event) => setOverlay(event.target.value));

  // ---- Themes

  $("theme").addEventListener("change", (event) => {
    const theme = event.target.value;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  });

  // ---- Stepping through the execution order

  const order = model.nodes.filter((node) => node.kind === "op").map((node) => node.id);
  const operators = new Set(order);
  let step = 0; // 0: not stepping

  function goTo(next) {
    step = Math.min(Math.max(next, 0), order.length);
    const ran = new Set(order.slice(0, step));
    stage.classList.toggle("stepping", step > 0);
    for (const [id, element] of elements) {
      const sources = incoming.get(id).map((edge) => edge.source);
      const there = operators.has(id)
        ? ran.has(id)
        : sources.every((source) => !operators.has(source) || ran.has(source));
      element.classList.toggle("later", step > 0 && !there);
      element.classList.toggle("step", step > 0 && id === order[step - 1]);
    }
    for (const { element, stub, source } of edges) {
      const later = elements.get(source).classList.contains("later");
      element.classList.toggle("later", later);
      stub?.classList.toggle("later", later);
    }
    if (step) select(order[step - 1], { focuses: false, reaches: false });
    else reach(null);
    const name = step ? `: ${nameOf(nodes.get(order[step - 1]))}` : "";
    $("step").textContent = `step ${step} of ${order.length}${name}`;
    $("back").disabled = step === 0;
    $("next").disabled = step === order.length;
  }

  $("back").addEventListener("click", () => goTo(step - 1));
  $("next").addEventListener("click", () => goTo(step + 1));

  // ---- Keys

  function leave() {
    if ($("help").open) $("help").open = false;
    else if ($("search").value) {
      $("search").value = "";
      search();
    } else if (step) goTo(0);
    else if (selected !== null && $("facts").contains(document.activeElement)) {
      elements.get(selected).focus();
    } else {
      document.activeElement?.blur();
      select(null);
    }
  }

  const keys = {
    "/": () => $("search").focus(),
    "?": () => ($("help").open = !$("help").open),
    f: () => fit(),
    "+": () => zoom(1.25),
    "=": () => zoom(1.25),
    "-": () => zoom(0.8),
    "[": () => goTo(step - 1),
    "]": () => goTo(step + 1),
  };

  const MOVES = {
    ArrowLeft: [60, 0],
    ArrowRight: [-60, 0],
    ArrowUp: [0, 60],
    ArrowDown: [0, -60],
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return leave();
    if (event.target.matches?.("input, select")) return;
    const onNode = event.target.closest?.(".node");
    if (event.key.startsWith("Arrow") && onNode) {
      event.preventDefault();
      if (!event.shiftKey) return walk(event.key);
      return pan(...MOVES[event.key]);
    }
    if ((event.key === "Enter" || event.key === " ") && onNode) {
      event.preventDefault();
      return $("facts").querySelector("h2")?.focus();
    }
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  // ---- Start

  svg.setAttribute("role", "group");
  svg.setAttribute("aria-roledescription", "graph");
  for (const { element } of edges) element.setAttribute("aria-hidden", "true");
  for (const [id, element] of elements) {
    element.setAttribute("role", "button");
    element.setAttribute("aria-pressed", "false");
    element.setAttribute("tabindex", id === model.nodes[0].id ? "0" : "-1");
  }
  $("fit").addEventListener("click", () => fit());
  $("in").addEventListener("click", () => zoom(1.25));
  $("out").addEventListener("click", () => zoom(0.8));
  new ResizeObserver(() => show()).observe(stage);
  setOverlay(data.overlay);
  goTo(0);
  select(null);
  fit(4 / 3);
})();
