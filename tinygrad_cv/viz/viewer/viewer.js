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

  // A module call that is drawn as a box is chosen by a text, "c3"; a node by its number.
  const calls = new Map();
  for (const cluster of model.clusters) {
    const element = $(`${svg.id}-c${cluster.id}`);
    if (element) calls.set(`c${cluster.id}`, { ...cluster, element, inside: [] });
  }
  for (const node of model.nodes) {
    for (let id = node.cluster; id !== null; id = clusters.get(id).parent) {
      calls.get(`c${id}`)?.inside.push(node.id);
    }
  }
  const isCall = (id) => typeof id === "string";
  const elementOf = (id) => (isCall(id) ? calls.get(id).element : elements.get(id));
  const inside = (id) => (id === null ? [] : isCall(id) ? calls.get(id).inside : [id]);

  // What edges lead to from some nodes, these themselves apart
  function reachable(starts, edgesOf, end) {
    const seen = new Set(starts);
    const pending = [...starts];
    while (pending.length) {
      for (const edge of edgesOf.get(pending.pop())) {
        if (!seen.has(edge[end])) {
          seen.add(edge[end]);
          pending.push(edge[end]);
        }
      }
    }
    starts.forEach((id) => seen.delete(id));
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

  const whichCall = ({ call, calls, repeats }) =>
    `${call}${repeats > 1 ? ` to ${call + repeats - 1}` : ""} of ${calls}`;

  function callName(cluster) {
    const { path, kind, calls, repeats } = cluster;
    const name = words(path && `${path} :`, kind, repeats > 1 && `×${repeats}`);
    if (calls === 1) return name;
    return `${name}, call${repeats > 1 ? "s" : ""} ${whichCall(cluster)}`;
  }

  // The names of the calls that a node is in, from the outermost on, and which call each is; the
  // last may have no box of its own
  function modulesOf(node) {
    const found = [];
    for (let id = node.cluster; id !== null; id = clusters.get(id).parent) {
      found.unshift([callName(clusters.get(id)), `c${id}`]);
    }
    const own = node.title || nodes.get(node.pair)?.title;
    return own && !found.some(([name]) => name === own) ? [...found, [own, ""]] : found;
  }

  const titleOf = (id) => (isCall(id) ? callName(calls.get(id)) : nameOf(nodes.get(id)));

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

  // So that the text of a node can be read
  function enlarge(id) {
    if (view.scale >= 1) return;
    const box = elementOf(id).getBoundingClientRect();
    const frame = stage.getBoundingClientRect();
    zoom(1 / view.scale, box.x + box.width / 2 - frame.x, box.y + box.height / 2 - frame.y);
  }

  function reveal(id) {
    const box = elementOf(id).getBoundingClientRect();
    const frame = stage.getBoundingClientRect();
    const bottom = $("under").getBoundingClientRect().top;
    const fits = box.width <= frame.width && box.height <= bottom - frame.top;
    if (isCall(id) && !fits) return;
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
    const here = new Set(inside(id));
    const up = reachable([...here], incoming, "source");
    const down = reachable([...here], outgoing, "target");
    stage.classList.toggle("reaching", id !== null);
    for (const [other, { element }] of calls) element.classList.toggle("here", other === id);
    for (const [other, element] of elements) {
      element.classList.toggle("here", here.has(other));
      element.classList.toggle("up", up.has(other));
      element.classList.toggle("down", down.has(other));
    }
    for (const { element, stub, source, target } of edges) {
      const before = up.has(source) && (up.has(target) || here.has(target));
      const after = down.has(target) && (down.has(source) || here.has(source));
      for (const part of stub ? [element, stub] : [element]) {
        part.classList.toggle("here", here.has(source) && here.has(target));
        part.classList.toggle("up", before);
        part.classList.toggle("down", after);
      }
    }
    $("reach").textContent =
      id === null ? "" : `${titleOf(id)}: ${up.size} upstream, ${down.size} downstream`;
  }

  const nodeUnder = (event) => {
    const element = event.target.closest?.(".node");
    return element ? Number(element.dataset.id ?? element.dataset.source) : null;
  };
  const callUnder = (event) =>
    event.target.closest?.(".cluster")?.id.match(/-(c\d+)$/)[1] ?? null;
  svg.addEventListener("pointerover", (event) => {
    if (!pointers.size) reach(nodeUnder(event) ?? callUnder(event) ?? selected);
  });
  svg.addEventListener("pointerleave", () => reach(selected));
  svg.addEventListener("click", (event) => {
    const atStub = event.target.closest(".stub") !== null; // its source stands elsewhere
    if (moved <= 4) select(nodeUnder(event) ?? callUnder(event), { reveals: atStub });
  });
  svg.addEventListener("focusin", (event) => {
    const id = nodeUnder(event) ?? callUnder(event);
    if (id !== null && id !== selected && !pointers.size) select(id);
  });

  // ---- The facts of the selected node or module call

  const choosable = [...elements, ...[...calls].map(([id, { element }]) => [id, element])];

  function select(id, { focuses = true, reaches = true, reveals = true } = {}) {
    selected = id;
    for (const [other, element] of choosable) {
      element.setAttribute("aria-pressed", String(other === id));
      if (id !== null) element.setAttribute("tabindex", other === id ? "0" : "-1");
    }
    reach(reaches ? id : null);
    tell();
    if (id !== null && focuses) elementOf(id).focus({ preventScroll: true });
    if (id !== null && reveals) reveal(id);
  }

  function tell() {
    const told = selected === null
      ? factsOfAll()
      : isCall(selected) ? factsOfCall(calls.get(selected)) : factsOf(nodes.get(selected));
    $("facts").replaceChildren(...told);
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
    const hint = "Choose a node or the box of a module: click it, search, or Tab to the picture "
      + "and use the arrow keys.";
    return [make("p", hint), list];
  }

  function link(id, before = "", after = "") {
    const line = make("span", before);
    const button = make("button", titleOf(id));
    button.type = "button";
    button.className = isCall(id) ? "call" : "link";
    button.addEventListener("click", () => select(id));
    line.append(button, after);
    return line;
  }

  const KINDS = { op: "operator", param: "parameter", const: "constant", saved: "saved values" };
  const FLOW = { data: "", gradient: "gradient: ", saved: "saved: " };
  // Facts that have a place of their own, or are of no use to a reader
  const TOLD =
    "equation gradients parameters flops saved_bytes output_bytes measured overlay unmeasured"
      .concat(" storage storages of color badges faults diff paths").split(" ");
  const MARKS = {
    added: "added: only in the second graph",
    removed: "removed: only in the first graph",
    moved: "moved to another module",
    same: "the same in both graphs",
  };

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
          if (kind === "const" && !tensor.shape) return `${name} (not kept in the graph)`;
          return value ? `${what} (${value})` : what;
        });
    const measured = (name) => {
      const { lines } = overlays.find((other) => other.name === name) ?? { lines: {} };
      const none = name === $("overlay").value ? ["does not apply"] : []; // the chosen one
      return lines[id] ?? none;
    };
    const many = node.count > 1 && node.kind === "op";
    const stands = many ? `, stands for ${grouped(node.count)} operators` : "";

    add("kind", `${KINDS[node.kind] ?? node.kind}, ${node.phase}${stands}`);
    add(facts.faults ? "verify" : "failed", node.error.split("\n"));
    add("badges", facts.badges?.join(", "));
    if (facts.diff) add("comparison", MARKS[facts.diff.mark] ?? facts.diff.mark, facts.diff.lines);
    add("value", node.value);
    add("module", modulesOf(node).map(([name, call]) => (calls.has(call) ? link(call) : name)));
    add("made at", node.site);
    add("equation", facts.equation);
    add("gradients", plain(facts.gradients ?? ""));
    add("from", incoming.get(id).map((edge) => {
      const argument = edge.argument && `${edge.argument} = `;
      const what = words(resultName(edge), tensorText(edge.tensor));
      return link(edge.source, FLOW[edge.kind] + argument, ` ${what}`);
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

  // The edges that enter or leave a call, those of one tensor together
  function crossing(end, other, own) {
    const found = new Map();
    for (const edge of model.edges) {
      if (!own.has(edge[end]) || own.has(edge[other]) || edge.kind !== "data") continue;
      const key = `${edge.source}.${edge.output}`;
      found.set(key, [...(found.get(key) ?? []), edge]);
    }
    return [...found.values()];
  }

  function readers(own) {
    return crossing("source", "target", own).map((edges) => {
      const line = make("span", `${tensorText(edges[0].tensor)} to `);
      const targets = [...new Set(edges.map((edge) => edge.target))];
      targets.forEach((id, index) => line.append(link(id, index ? ", " : "")));
      return line;
    });
  }

  function factsOfCall(cluster) {
    const { id, path, kind, repeats, parameters, parent, inside } = cluster;
    const [list, add] = factList();
    const own = new Set(inside);
    const { operators, flops, time } = data.calls[id];
    add("kind", repeats > 1 ? `module call, stands for ${repeats} equal ones` : "module call");
    add("module", path || "the one that was called");
    add("class", kind);
    add("call", whichCall(cluster));
    add("parameters", grouped(parameters));
    add("operators", operators);
    add("FLOPs", flops);
    add("time", time);
    add("inputs", crossing("target", "source", own).map(([edge]) =>
      link(edge.source, "", ` ${tensorText(edge.tensor)}`)));
    add("outputs", readers(own));
    const children = [...calls].filter(([, other]) => other.parent === id);
    add("calls", children.map(([child]) => link(child)));
    if (parent !== null && calls.has(`c${parent}`)) add("called by", link(`c${parent}`));
    const heading = make("h2", callName(cluster));
    heading.tabIndex = -1;
    return [heading, list];
  }

  // Which result of an operator with several an edge carries
  function resultName({ source, output, count }) {
    const { kind, outputs } = nodes.get(source);
    return kind === "op" && outputs.length > 1 && count === 1 ? outputs[output]?.name ?? "" : "";
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

  // From a call: down into it, up to the one that it is called by, across to those beside it
  function walkCalls(key) {
    const { id, parent, inside } = calls.get(selected);
    const ids = [...calls.keys()];
    if (key === "ArrowUp") {
      if (calls.has(`c${parent}`)) select(`c${parent}`);
    } else if (key === "ArrowDown") {
      select(ids.find((other) => calls.get(other).parent === id) ?? inside[0]);
    } else {
      const beside = ids.filter((other) => calls.get(other).parent === parent);
      const step = key === "ArrowRight" ? 1 : beside.length - 1;
      select(beside[(beside.indexOf(selected) + step) % beside.length]);
    }
  }

  // To the innermost box around what is chosen
  function around() {
    const { parent, cluster } = isCall(selected)
      ? calls.get(selected)
      : nodes.get(selected) ?? { parent: model.clusters[0]?.id };
    const next = `c${parent ?? cluster}`;
    if (calls.has(next)) select(next);
  }

  function walk(key) {
    if (isCall(selected)) return walkCalls(key);
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

  // What a box prints, apart from its overlay; what it stands for; and what it is
  function textOf(node) {
    const held = node.held.map((item) =>
      words(item.role, item.tensor.name, tensorText(item.tensor)));
    const attributes = node.attributes.map(([name, text]) => `${name}=${text}`);
    const { lines, free } = spare.get(node.id);
    const parts = [nameOf(node), node.name, node.kind, node.phase, node.site, node.error];
    parts.push(...node.outputs.map(tensorText), ...held, ...attributes);
    parts.push(...modulesOf(node).map(([name]) => name), node.facts.paths ?? "");
    parts.push(...lines.filter((line) => !free.includes(line)).map((line) => line.textContent));
    return normal(parts.join("\n"));
  }

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
    enlarge(id);
    select(id, { focuses: false, reaches: false });
    $("matches").textContent = `${current + 1} of ${found.length}: ${nameOf(nodes.get(id))}`;
  }

  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") nextMatch(!event.shiftKey);
  });

  // ---- Overlays: a shade and a line of text for each operator

  const SHADE = /^(heat-\d|cool-\d|hue-\d+|unmeasured|plain|dead|odd)$/;
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
  const texts = new Map(model.nodes.map((node) => [node.id, textOf(node)]));

  function setOverlay(name) {
    const overlay = overlays.find((other) => other.name === name);
    for (const [id, element] of elements) {
      const told = overlay?.lines[id] ?? [];
      if (!element.classList.contains("error")) { // which keeps its colour
        const classes = overlay?.classes[id] ?? "plain"; // it does not apply
        const shades = overlay ? classes.split(" ") : spare.get(id).shades;
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
    $("below").hidden = !overlay?.difference;
    $("colourless").textContent = `${overlay?.difference ? "the same, or " : ""}does not apply`;
    const shown = new Set([...elements.keys()].map((id) => overlay?.classes[id] ?? "plain"));
    $("unmeasured").hidden = ![...shown].some((name) => name.startsWith("unmeasured"));
    $("inapplicable").hidden = ![...shown].some((name) => name.startsWith("plain"));
    tell();
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
      elementOf(selected).focus();
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
    m: around,
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
    const onNode = event.target.closest?.(".node, .cluster");
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
  svg.setAttribute("tabindex", "-1"); // Tab leads to a node
  svg.setAttribute("aria-roledescription", "graph");
  for (const { element } of edges) element.setAttribute("aria-hidden", "true");
  for (const [id, element] of choosable) {
    element.setAttribute("role", "button");
    element.setAttribute("aria-pressed", "false");
    element.setAttribute("tabindex", id === model.nodes[0]?.id ? "0" : "-1");
  }
  for (const [id, { element }] of calls) {
    element.setAttribute("aria-label", `module call ${titleOf(id)}`);
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
