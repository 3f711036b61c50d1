// The builder of criteria: a tree of groups and conditions over the JSON of a textarea, which stays what is sent.
// What fields there are, and which inputs each operator takes, is told by the server (console/conditions.py).
import { button, controlsFor, make, select, short, texts } from "./builder_controls.js";
import { fresh, kept, read, write } from "./builder_tree.js";

const builder = document.querySelector("#builder");
const text = document.querySelector("#f-criteria");
const preview = document.querySelector("#preview");
if (builder) start();

function start() {
  const offered = JSON.parse(builder.dataset.offered);
  const fields = new Map(offered.groups.flatMap((group) => group.fields).map((each) => [each.field, each]));
  const KINDS = { all: "All of these hold", any: "Any of these holds", none: "None of these holds", "not all": "Not all of these hold" };
  const controls = controlsFor(offered);
  const another = () => ({ leaf: fresh(fields.get("visit_count")) });
  let root;
  let places = new Map(); // path in the JSON -> element
  let timer;

  function inputOf(leaf, input, redraw) {
    if (input.kind.endsWith("_of")) return oneOf(leaf, input, redraw);
    const control = controls[input.kind](input, leaf[input.key], (value, partly) => {
      if (value === undefined) delete leaf[input.key];
      else leaf[input.key] = value;
      leaf[input.key] ??= partly;
      if (leaf[input.key] === undefined) delete leaf[input.key];
      changed();
    });
    return make("span", { class: "input", "data-key": input.key }, input.before, " ", control, " ", input.kind === "texts" ? "" : input.after);
  }
  function oneOf(leaf, input, redraw) {
    const keys = input.options.map(([key]) => key);
    const key = keys.find((each) => each in leaf) ?? leaf[CHOSEN] ?? (input.optional ? "" : keys[0]);
    const which = select(input.label, [...(input.optional ? [["", "of anything"]] : []), ...input.options], key, (chosen) => {
      const value = leaf[key];
      if (key) delete leaf[key];
      if (chosen && value !== undefined) leaf[chosen] = value;
      Object.defineProperty(leaf, CHOSEN, { value: chosen, configurable: true, enumerable: false });
      redraw();
    });
    if (!key) return make("span", { class: "input" }, which);
    const inner = { ...input, key, label: input.options.find(([each]) => each === key)[1], kind: input.kind === "texts_of" ? "texts" : "text" };
    const put = (value) => { if (value === undefined) delete leaf[key]; else leaf[key] = value; changed(); };
    return make("span", { class: "input", "data-key": key }, which, " ", (inner.kind === "texts" ? texts : short)(inner, leaf[key], put));
  }
  const CHOSEN = Symbol("which of several keys");

  function condition(node, remove) {
    const { leaf } = node;
    const field = fields.get(leaf.field);
    const operator = field?.operators.find((each) => each.op === leaf.op);
    const redraw = (focus) => { draw(); changed(); places.get(node.path)?.querySelector(focus)?.focus(); };
    const pick = make("select", { "aria-label": "Condition on", onchange: () => { node.leaf = fresh(fields.get(pick.value)); redraw("select"); } },
      ...(field ? [] : [make("option", { selected: true }, String(leaf.field))]),
      ...offered.groups.map((group) => make("optgroup", { label: group.words }, ...group.fields.map((each) =>
        make("option", { value: each.field, selected: each === field }, each.words)))));
    const ops = field && select(`${field.words}: how`, [...(operator ? [] : [["", String(leaf.op)]]), ...field.operators.map((each) => [each.op, each.words])], operator ? leaf.op : "",
      (op) => { node.leaf = kept(leaf, field, op); redraw("select:nth-of-type(2)"); });
    const inputs = operator ? operator.inputs.map((input) => inputOf(leaf, input, () => redraw(`[data-key] input, [data-key] textarea`))) : [make("code", {}, JSON.stringify(leaf))];
    const words = field?.words ?? "the condition";
    return make("li", { class: "condition", "data-place": "" }, pick, ops ?? "", ...inputs,
      button("✕", `Remove ${words}`, remove, { class: "plain" }), make("p", { class: "error" }));
  }

  function group(node, remove) {
    const redraw = (focus) => { draw(); changed(); focus?.(); };
    const at = () => places.get(node.path);
    const kind = select("How the conditions of this group go together", Object.entries(KINDS), node.kind, (chosen) => {
      node.kind = chosen;
      redraw(() => at().querySelector("select").focus());
    });
    const add = (part) => { node.parts.push(part); redraw(() => places.get(part.path).querySelector("select").focus()); };
    const drop = (n) => () => { node.parts.splice(n, 1); redraw(() => at().querySelector(":scope > .adding > button").focus()); };
    return make(remove ? "li" : "div", { class: "group", role: "group", "aria-label": KINDS[node.kind], "data-place": "" },
      make("div", { class: "of-group" }, kind, remove ? button("✕", "Remove the group", remove, { class: "plain" }) : ""),
      make("p", { class: "error" }),
      make("ul", {}, ...node.parts.map((part, n) => drawn(part, drop(n)))),
      make("div", { class: "adding" },
        button("+ Condition", "Add a condition to this group", () => add(another())),
        button("+ Group", "Add a group to this group", () => add({ kind: node.kind === "any" ? "all" : "any", parts: [another()] }))));
  }
  function drawn(node, remove) {
    const element = node.kind ? group(node, remove) : node.leaf ? condition(node, remove)
      : make("li", { class: "condition" }, make("code", {}, JSON.stringify(node.raw)), button("✕", "Remove this part", remove, { class: "plain" }), make("p", { class: "error" }));
    node.element = element;
    return element;
  }
  function draw() {
    builder.replaceChildren(drawn(root, null));
    choosing(builder);
    index();
  }
  function index() {
    write(root, "criteria");
    places = new Map();
    const walk = (node) => { places.set(node.path, node.element); node.parts?.forEach(walk); };
    walk(root);
  }

  function changed() {
    text.value = JSON.stringify(write(root, "criteria"), null, 2);
    clear();
    ask();
  }
  const say = (words) => preview.replaceChildren(make("p", { class: "hint" }, words));
  function ask() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const wrong = [...builder.querySelectorAll("input:invalid, select:invalid, textarea:invalid")];
      wrong.filter((each) => !each.validity.valueMissing).forEach((each) => complain(each.closest(".condition"), each, each.validationMessage));
      if (wrong.length) return say("The count stands here as soon as the conditions are whole.");
      if (!preview.querySelector(".count")) say("Counting …");
      htmx.trigger(preview, "count");
    }, 350);
  }
  function complain(element, control, words) {
    const said = element.querySelector(":scope > .error");
    said.textContent = words;
    said.id ||= `e-${[...places.values()].indexOf(element)}`;
    control?.setAttribute("aria-invalid", "true");
    control?.setAttribute("aria-describedby", said.id);
  }
  function clear() {
    builder.querySelectorAll(".error").forEach((each) => each.replaceChildren());
    builder.querySelectorAll("[aria-invalid]").forEach((each) => each.removeAttribute("aria-invalid"));
    document.querySelector("#e-criteria").replaceChildren();
  }
  // criteria.all[2].op stands at the condition criteria.all[2]; what no part has stands at the top.
  function place(errors) {
    clear();
    for (const [where, message] of Object.entries(errors)) {
      if (!where.startsWith("criteria")) continue;
      const path = [...places.keys()].filter((each) => where === each || where.startsWith(`${each}.`) || where.startsWith(`${each}[`)).sort((a, b) => b.length - a.length)[0];
      const element = places.get(path) ?? builder.firstElementChild;
      const key = where.slice(path?.length ?? 0).replace(/^\./, "").replace(/\[.*/, "");
      const control = key && element.querySelector(`:scope > [data-key="${CSS.escape(key)}"] :is(input:not(.narrow), select, textarea)`);
      const what = control ? control.getAttribute("aria-label") : key && !/^(all|any|not)$/.test(key) ? key : "This";
      complain(element, control || null, `${what} ${message}.`);
    }
  }

  function load() {
    try {
      root = read(JSON.parse(text.value));
    } catch (error) {
      document.querySelector("#e-criteria").textContent = `This is not JSON: ${error.message}`;
      document.querySelector("#json").open = true;
      return false;
    }
    if (!root.kind) root = { kind: "all", parts: [root] };
    draw();
    return true;
  }

  text.addEventListener("change", () => { if (load()) { clear(); ask(); } });
  preview.addEventListener("htmx:afterSwap", (event) => {
    const told = event.target.querySelector("[data-errors]");
    if (!told) return clear();
    place(JSON.parse(told.dataset.errors));
    say("No count yet: mend the condition that is marked.");
  });
  // A list by hand has no conditions: they are neither shown nor in the way of saving.
  function kinds() {
    const chosen = document.querySelector('[name="kind"]:checked')?.value;
    document.querySelectorAll(".by-conditions").forEach((each) => { each.hidden = chosen === "list"; });
    builder.querySelectorAll("input, select, textarea, button").forEach((each) => { each.disabled = chosen === "list"; });
  }
  document.querySelectorAll('[name="kind"]').forEach((each) => each.addEventListener("change", kinds));

  document.querySelector("#json").open = false;
  if (load()) {
    const told = JSON.parse(builder.dataset.errors);
    if (Object.keys(told).some((where) => where.startsWith("criteria"))) place(told);
    else document.addEventListener("DOMContentLoaded", ask);
  }
  kinds();
}
