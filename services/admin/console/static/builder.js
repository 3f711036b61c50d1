// The builder of criteria: a tree of groups and conditions over the JSON of a textarea, which stays what is sent.
// What fields there are, and which inputs each operator takes, is told by the server (console/conditions.py).
const builder = document.querySelector("#builder");
const text = document.querySelector("#f-criteria");
const preview = document.querySelector("#preview");
if (builder) start();

function start() {
  const offered = JSON.parse(builder.dataset.offered);
  const fields = new Map(offered.groups.flatMap((group) => group.fields).map((each) => [each.field, each]));
  const KINDS = { all: "All of these hold", any: "Any of these holds", none: "None of these holds", "not all": "Not all of these hold" };
  const scale = 10 ** offered.money.decimals;
  let root;
  let places = new Map(); // path in the JSON -> element
  let timer;

  // The tree: {kind, parts} for groups, {leaf} for conditions (their own JSON), {raw} for what is neither.
  function read(json) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) return { raw: json };
    if ("field" in json) return { leaf: json };
    const [kind, ...more] = Object.keys(json);
    if (more.length) return { raw: json };
    if ((kind === "all" || kind === "any") && Array.isArray(json[kind])) return { kind, parts: json[kind].map(read) };
    if (kind !== "not") return { raw: json };
    const inside = read(json.not);
    if (inside.kind === "any") return { kind: "none", parts: inside.parts };
    if (inside.kind === "all") return { kind: "not all", parts: inside.parts };
    return { kind: "none", parts: [inside] };
  }
  function write(node, path) {
    node.path = path;
    if (node.leaf) return node.leaf;
    if (!node.kind) return node.raw;
    const list = (kind, at) => ({ [kind]: node.parts.map((part, n) => write(part, `${at}.${kind}[${n}]`)) });
    if (node.kind === "all" || node.kind === "any") return list(node.kind, path);
    if (node.kind === "none" && node.parts.length === 1) return { not: write(node.parts[0], `${path}.not`) };
    return { not: list(node.kind === "none" ? "any" : "all", `${path}.not`) };
  }

  function make(name, attributes = {}, ...inside) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== false && value != null) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...inside.filter((each) => each !== "" && each != null));
    return element;
  }
  const select = (label, pairs, chosen, change) => {
    const element = make("select", { "aria-label": label, onchange: () => change(element.value) },
      ...pairs.map(([value, words]) => make("option", { value, selected: value === chosen }, words)));
    return element;
  };
  const button = (words, label, click, more = {}) => make("button", { type: "button", "aria-label": label, onclick: click, ...more }, words);

  // Each kind of input: its element; `value` is what the JSON holds, `put` takes what it is to hold (undefined: nothing).
  const numeric = (input, value, put, { step = 1, from = (n) => n, to = (n) => n, suffix = "" } = {}) => {
    const shown = typeof value === "number" ? from(value) : "";
    const limit = (n) => (n == null ? null : from(n));
    const element = make("input", {
      type: "number", step, value: shown, min: limit(input.least), max: limit(input.most), inputmode: step === 1 ? "numeric" : "decimal",
      required: !input.optional, "aria-label": input.label + suffix,
      oninput: () => put(element.value === "" || !element.validity.valid ? undefined : to(Number(element.value))),
    });
    return element;
  };
  const whole = (more) => (input, value, put) => {
    if (!input.pair) return numeric(input, value, put, more);
    const both = Array.isArray(value) ? value : [value, undefined];
    const set = (n) => (one) => {
      both[n] = one;
      if (more.from) both[0] === undefined ? high.removeAttribute("min") : high.setAttribute("min", more.from(both[0]));
      else if (both[0] !== undefined) high.setAttribute("min", both[0]);
      put(both.every((each) => each !== undefined) ? [...both] : undefined, both);
    };
    const low = numeric(input, both[0], set(0), { ...more, suffix: ", at least" });
    const high = numeric(input, both[1], set(1), { ...more, suffix: ", at most" });
    return make("span", { class: "pair" }, low, " and ", high);
  };
  const choice = (input, value, put) => {
    const pairs = input.options.map(([each, words]) => [each, words]);
    if (value === undefined) pairs.unshift(["", "choose …"]);
    else if (!pairs.some(([each]) => each === String(value))) pairs.unshift([String(value), `${value} (not known)`]);
    const element = select(input.label, pairs, String(value ?? ""), (chosen) => put(chosen === "" ? undefined : chosen));
    element.required = !input.optional;
    return element;
  };
  const lines = (value) => value.split("\n").map((line) => line.trim()).filter(Boolean);
  const texts = (input, value, put) => {
    const element = make("textarea", {
      rows: 2, required: true, "aria-label": `${input.label}, one a line`, placeholder: "one a line",
      oninput: () => put(lines(element.value).length ? lines(element.value) : undefined),
    });
    element.value = Array.isArray(value) ? value.join("\n") : "";
    return element;
  };
  const short = (input, value, put) => {
    const element = make("input", { required: true, "aria-label": input.label, oninput: () => put(element.value.trim() || undefined) });
    element.value = typeof value === "string" ? value : "";
    return element;
  };
  const CONTROLS = {
    number: whole({}),
    decimal: whole({ step: "any" }),
    money: (input, value, put) => make("span", { class: "money" }, make("span", {}, offered.money.currency), whole({
      step: 1 / scale, from: (minor) => Number((minor / scale).toFixed(offered.money.decimals)), to: (major) => Math.round(major * scale),
    })(input, value, put)),
    days: (input, value, put) => numeric(input, value, put),
    texts,
    choice,
    choices: (input, value, put) => {
      const chosen = new Set(Array.isArray(value) ? value : []);
      const toggle = (each) => { if (!chosen.delete(each)) chosen.add(each); put(chosen.size ? input.options.map(([one]) => one).filter((one) => chosen.has(one)) : undefined); };
      return make("span", { role: "group", "aria-label": input.label }, ...input.options.map(([each, words]) =>
        make("label", { class: "switch" }, make("input", { type: "checkbox", checked: chosen.has(each), onchange: () => toggle(each) }), words)));
    },
    flag: (input, value, put) => choice(input, value, (chosen) => put(chosen === undefined ? undefined : chosen === "true")),
    segment: (input, value, put) => {
      const element = choice({ ...input, options: offered.segments }, value, put);
      element.dataset.searched = "";
      return element;
    },
    instant: (input, value, put) => {
      const element = make("input", {
        type: "datetime-local", required: true, "aria-label": `${input.label}, in ${offered.time_zone}`,
        oninput: () => put(element.value ? instant(element.value) : undefined),
      });
      element.value = Number.isNaN(Date.parse(value)) ? "" : local(value);
      return make("span", {}, element, make("small", {}, ` ${offered.time_zone}`));
    },
  };
  // Local times are those of the organization, whatever the clock of this machine says.
  function ahead(at) {
    const parts = new Intl.DateTimeFormat("en", { timeZone: offered.time_zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }).formatToParts(at);
    const of = Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(of.year, of.month - 1, of.day, of.hour, of.minute, of.second) - Math.floor(at / 1000) * 1000;
  }
  function instant(typed) {
    const wall = Date.parse(`${typed}Z`);
    return new Date(wall - ahead(wall - ahead(wall))).toISOString().replace(".000Z", "Z");
  }
  const local = (at) => new Date(Date.parse(at) + ahead(Date.parse(at))).toISOString().slice(0, 16);

  function inputOf(leaf, input, redraw) {
    if (input.kind.endsWith("_of")) return oneOf(leaf, input, redraw);
    const control = CONTROLS[input.kind](input, leaf[input.key], (value, partly) => {
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
    const pick = make("select", { "aria-label": "Condition on", onchange: () => { node.leaf = fresh(pick.value); redraw("select"); } },
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
  // A condition of another field begins with what most would ask; what an operator shares with the last one stays.
  function fresh(name) {
    const [operator] = fields.get(name).operators;
    const leaf = { field: name, op: operator.op };
    for (const input of operator.inputs) if (input.kind === "days" && !input.optional) leaf[input.key] = 30;
    for (const input of operator.inputs) if (input.kind === "flag") leaf[input.key] = true;
    return leaf;
  }
  function kept(leaf, field, op) {
    const [old, next] = [leaf.op, op].map((name) => field.operators.find((each) => each.op === name)?.inputs ?? []);
    const result = { field: leaf.field, op };
    for (const input of next) {
      const before = old.find((each) => each.key === input.key && each.kind === input.kind);
      const keys = input.key ? [input.key] : input.options.map(([key]) => key);
      if (!before && input.kind === "days" && !input.optional) result[input.key] = 30;
      for (const key of before ? keys : []) {
        if (!(key in leaf)) continue;
        const value = leaf[key];
        if (before.pair === input.pair) result[key] = value;
        else result[key] = input.pair ? [value, value] : value[0];
      }
    }
    return result;
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
        button("+ Condition", "Add a condition to this group", () => add({ leaf: fresh("visit_count") })),
        button("+ Group", "Add a group to this group", () => add({ kind: node.kind === "any" ? "all" : "any", parts: [{ leaf: fresh("visit_count") }] }))));
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
