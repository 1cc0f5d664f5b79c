"use strict";
// All numbers come from data.js (make explorer). This file only shows what is chosen.
const { data, provenance } = window.EXPLORER;
const { depth, scenes, interventions, neighbors } = data;
const at = (id) => document.getElementById(id);
const number = (id) => Number(at(id).value);
const share = (p) => `${(100 * p).toFixed(p > 0 && p < 0.1 ? 1 : 0)} %`;
const SPACE = "http://www.w3.org/2000/svg";
const NAMES = {
  "image->question": "Close image to question", "image->answer": "Close image to answer",
  "question->answer": "Close question to answer", "enter late": "Skip blocks: image tokens enter late",
  "leave early": "Skip blocks: image tokens leave early", patch: "Patch from the counterfactual picture",
  transplant: "Transplant blocks from before tuning",
};

function drawn(parent, name, attributes, text) {
  const node = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
}

function made(parent, name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
}

function fill(id, texts) {
  at(id).replaceChildren();
  texts.forEach((text, i) => { made(at(id), "option", "", text).value = i; });
}

function where(intervention, [first, end]) {
  if (intervention.place === "layer") return `layer ${first} of ${depth}`;
  return end - first === 1 ? `block ${first} of ${depth}` : `blocks ${first} to ${end - 1} of ${depth}`;
}

// Where a window stands on the axis of the curve, as relative depth.
function place(intervention, [first, end]) {
  return { layer: first, from: first, until: end, window: (first + end) / 2 }[intervention.place] / depth;
}

const AXIS = {
  layer: "patched layer (relative depth)", from: "first block skipped (relative depth)",
  until: "depth at which image tokens enter (relative depth)", window: "window's centre (relative depth)",
};

function chosen() {
  const scene = scenes[number("scene")], question = scene.questions[number("question")];
  const intervention = interventions[number("intervention")], i = number("window");
  return { scene, question, intervention, i, window: intervention.windows[i], curve: question.under[intervention.name] };
}

function pickScene() {
  fill("question", scenes[number("scene")].questions.map((q) => q.question));
  show();
}

function pickIntervention() {
  const slider = at("window"), before = Number(slider.max) ? number("window") / Number(slider.max) : 0.5;
  slider.max = interventions[number("intervention")].windows.length - 1;
  slider.value = Math.round(before * Number(slider.max));
  show();
}

function show() {
  const { scene, question, intervention, i, window, curve } = chosen();
  at("window-text").textContent = where(intervention, window);
  at("window").setAttribute("aria-valuetext", where(intervention, window));
  at("says").textContent = intervention.says;
  at("picture").src = scene.picture;
  at("picture").alt = `The scene: ${scene.caption}`;
  at("caption").textContent = `Its caption, which the model does not see: ${scene.caption}`;
  at("other").hidden = intervention.name !== "patch";
  at("other-picture").src = scene.other_picture;
  at("other-picture").alt = `The counterfactual: ${scene.other_caption}`;
  at("other-caption").textContent = `The counterfactual picture: ${scene.other_caption}`;
  at("asked").textContent = question.question;
  bars(question, curve[i]);
  tell(question, intervention, window, curve[i]);
  draw(question, intervention, i, curve);
}

function bars(question, changed) {
  at("bars").replaceChildren();
  question.choices.forEach((choice, c) => {
    const row = made(at("bars"), "div", "bar"), right = choice === question.answer;
    made(row, "span", right ? "name right" : "name", right ? `${choice} ✓` : choice);
    for (const [look, values] of [["clean", question.clean], ["changed", changed]]) {
      made(made(row, "span", "track"), "i", look).style.width = `${100 * values[c]}%`;
      made(row, "span", "value", share(values[c]));
    }
  });
}

function tell(question, intervention, window, changed) {
  const likeliest = (p) => question.choices[p.indexOf(Math.max(...p))];
  const right = question.choices.indexOf(question.answer);
  const [before, after] = [question.clean[right], changed[right]];
  const change = after - before, size = Math.round(100 * Math.abs(change));
  const moved = size ? `${change > 0 ? "rises" : "falls"} from ${share(before)} to ${share(after)}` : `stays at ${share(before)}`;
  const [first, then] = [likeliest(question.clean), likeliest(changed)];
  const answers = first === then ? `The likeliest choice stays ${first}` : `The likeliest choice goes from ${first} to ${then}`;
  const truth = then === question.answer ? "which is right." : `but ${question.answer} is right.`;
  let text = `${NAMES[intervention.name]}, ${where(intervention, window)}: the probability of the right answer ${moved}. ${answers}, ${truth}`;
  if (intervention.name === "patch") {
    text += question.other_answer
      ? ` In the counterfactual picture ${question.other_answer} would be right.`
      : " This question does not ask for what the counterfactual changes.";
  }
  at("sentence").textContent = text;
}

function draw(question, intervention, i, curve) {
  const [w, h, l, r, t, b] = [520, 240, 52, 14, 12, 46], right = question.choices.indexOf(question.answer);
  const x = (d) => l + d * (w - l - r), y = (p) => h - b - p * (h - t - b);
  const svg = document.createElementNS(SPACE, "svg");
  svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
  svg.setAttribute("role", "img");
  const points = curve.map((p, k) => [place(intervention, intervention.windows[k]), p[right]]);
  svg.setAttribute("aria-label", `Probability of ${question.answer} by window: ${points.map(([, p]) => share(p)).join(", ")}; `
    + `without intervention ${share(question.clean[right])}.`);
  for (const p of [0, 0.5, 1]) {
    drawn(svg, "line", { x1: l, x2: w - r, y1: y(p), y2: y(p), class: "axis" });
    drawn(svg, "text", { x: l - 6, y: y(p) + 4, "text-anchor": "end" }, `${100 * p} %`);
  }
  for (const d of [0, 0.5, 1]) drawn(svg, "text", { x: x(d), y: h - b + 18, "text-anchor": "middle" }, d);
  drawn(svg, "text", { x: x(0.5), y: h - 8, "text-anchor": "middle" }, AXIS[intervention.place]);
  drawn(svg, "line", { x1: l, x2: w - r, y1: y(question.clean[right]), y2: y(question.clean[right]), class: "level" });
  drawn(svg, "polyline", { points: points.map(([d, p]) => `${x(d)},${y(p)}`).join(" "), class: "path" });
  for (const [d, p] of points) drawn(svg, "circle", { cx: x(d), cy: y(p), r: 3, class: "dot" });
  drawn(svg, "circle", { cx: x(points[i][0]), cy: y(points[i][1]), r: 7, class: "here" });
  at("curve").replaceChildren(svg);
  at("curve-title").textContent = `Probability of the right answer, ${question.answer}, over all windows (dashed: without intervention)`;
}

function showNear() {
  const s = number("near-scene"), [a, b] = [number("picture-layer"), number("caption-layer")];
  const stage = Object.keys(neighbors.stages)[number("stage")], found = neighbors.stages[stage];
  const own = neighbors.listed[s], n = neighbors.captions.length, scene = scenes[s];
  const layers = { "picture-layer": neighbors.layers[a], "caption-layer": neighbors.layers[b] };
  for (const [id, layer] of Object.entries(layers)) {
    at(`${id}-text`).textContent = `layer ${layer} of ${depth}`;
    at(id).setAttribute("aria-valuetext", `layer ${layer} of ${depth}`);
  }
  at("near-picture").src = scene.picture;
  at("near-picture").alt = `The scene: ${scene.caption}`;
  at("near-caption").textContent = `Its own caption: ${scene.caption}`;
  at("nearest").replaceChildren();
  for (const i of found.nearest[a][b][s]) {
    made(at("nearest"), "li", i === own ? "own" : "", `${neighbors.captions[i]} ${i === own ? "✓ the right one" : "✗ another scene's"}`);
  }
  const rank = found.rank[a][b][s], listed = found.nearest[a][b][s].length;
  at("near-sentence").textContent = `${rank === 1 ? "The right caption is the nearest" : `The right caption has rank ${rank}`} of ${n}. `
    + `Over all ${n} pictures the right one is among the ${listed} nearest for ${share(found.found[a][b])} (chance ${share(listed / n)}), `
    + `and the two layers share ${share(found.overlap[a][b])} of ${neighbors.k} neighbours (chance ${share(neighbors.chance)}).`;
  table(found.overlap, a, b);
}

function table(overlap, a, b) {
  const n = overlap.length, side = 22, l = 60, svg = document.createElementNS(SPACE, "svg");
  const most = Math.max(...Object.values(neighbors.stages).flatMap((stage) => stage.overlap.flat()));
  svg.setAttribute("viewBox", `0 0 ${l + n * side + 4} ${n * side + 52}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Neighbourhood overlap of every layer of pictures with every layer of captions; at the two chosen ones ${share(overlap[a][b])}.`);
  overlap.forEach((row, i) => row.forEach((value, j) => {
    const box = { x: l + j * side, y: (n - 1 - i) * side, width: side - 1, height: side - 1 };
    drawn(svg, "rect", { ...box, class: "cell", "fill-opacity": value / most });
    if (i === a && j === b) drawn(svg, "rect", { ...box, class: "cell-here" });
  }));
  for (const i of [0, n - 1]) {
    drawn(svg, "text", { x: l + (i + 0.5) * side, y: n * side + 18, "text-anchor": "middle" }, neighbors.layers[i]);
    drawn(svg, "text", { x: l - 6, y: (n - 0.4 - i) * side, "text-anchor": "end" }, neighbors.layers[i]);
  }
  drawn(svg, "text", { x: l + (n * side) / 2, y: n * side + 40, "text-anchor": "middle" }, "layer of captions");
  drawn(svg, "text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(20 ${(n * side) / 2}) rotate(-90)` }, "layer of pictures");
  at("table").replaceChildren(svg);
  at("table-key").textContent = `From white or black (no overlap) to full colour (${share(most)}, the largest of both models).`;
}

function grid() {
  const n = Math.round(Math.sqrt(data.tokens));
  at("grid").setAttribute("viewBox", "0 0 100 100");
  for (let i = 1; i < n; i += 1) {
    drawn(at("grid"), "line", { x1: (100 * i) / n, x2: (100 * i) / n, y1: 0, y2: 100 });
    drawn(at("grid"), "line", { y1: (100 * i) / n, y2: (100 * i) / n, x1: 0, x2: 100 });
  }
}

fill("scene", scenes.map((s, i) => `${i + 1}: ${s.caption}`));
fill("near-scene", scenes.map((s, i) => `${i + 1}: ${s.caption}`));
fill("intervention", interventions.map((x) => NAMES[x.name]));
fill("stage", Object.keys(neighbors.stages));
for (const id of ["picture-layer", "caption-layer"]) {
  at(id).max = neighbors.layers.length - 1;
  at(id).value = Math.floor(neighbors.layers.length / 2);
  at(id).addEventListener("input", showNear);
}
at("intervention").value = interventions.findIndex((x) => x.name === "image->answer");
grid();
fill("question", scenes[0].questions.map((q) => q.question));
pickIntervention();
showNear();
at("scene").addEventListener("change", pickScene);
at("question").addEventListener("change", show);
at("intervention").addEventListener("change", pickIntervention);
at("window").addEventListener("input", show);
at("show-grid").addEventListener("change", () => { at("grid").style.display = at("show-grid").checked ? "" : "none"; });
for (const id of ["near-scene", "stage"]) at(id).addEventListener("change", showNear);
document.querySelectorAll("form").forEach((form) => form.addEventListener("submit", (event) => event.preventDefault()));
at("made").textContent = `Computed by make explorer: model ${provenance.model}, seed ${provenance.seed}, paperlib ${provenance.code.paperlib}, `
  + `commit ${(provenance.code.commit || "unknown").slice(0, 12)}, torch ${provenance.packages.torch}, transformers ${provenance.packages.transformers}.`;
