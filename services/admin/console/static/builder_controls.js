// The inputs of a condition, an element each. `value` is what the JSON holds, `put` takes what it is to hold (undefined: nothing).
export function make(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...inside.filter((each) => each !== "" && each != null));
  return element;
}
export const select = (label, pairs, chosen, change) => {
  const element = make("select", { "aria-label": label, onchange: () => change(element.value) },
    ...pairs.map(([value, words]) => make("option", { value, selected: value === chosen }, words)));
  return element;
};
export const button = (words, label, click, more = {}) => make("button", { type: "button", "aria-label": label, onclick: click, ...more }, words);

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
export const texts = (input, value, put) => {
  const element = make("textarea", {
    rows: 2, required: true, "aria-label": `${input.label}, one a line`, placeholder: "one a line",
    oninput: () => put(lines(element.value).length ? lines(element.value) : undefined),
  });
  element.value = Array.isArray(value) ? value.join("\n") : "";
  return element;
};
export const short = (input, value, put) => {
  const element = make("input", { required: true, "aria-label": input.label, oninput: () => put(element.value.trim() || undefined) });
  element.value = typeof value === "string" ? value : "";
  return element;
};

// Local times are those of the organization, whatever the clock of this machine says.
function ahead(at, zone) {
  const parts = new Intl.DateTimeFormat("en", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" }).formatToParts(at);
  const of = Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(of.year, of.month - 1, of.day, of.hour, of.minute, of.second) - Math.floor(at / 1000) * 1000;
}
function instant(typed, zone) {
  const wall = Date.parse(`${typed}Z`);
  return new Date(wall - ahead(wall - ahead(wall, zone), zone)).toISOString().replace(".000Z", "Z");
}
const local = (at, zone) => new Date(Date.parse(at) + ahead(Date.parse(at), zone)).toISOString().slice(0, 16);

// By kind, with the money, the static segments and the clock of the organization.
export function controlsFor(offered) {
  const scale = 10 ** offered.money.decimals;
  return {
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
        oninput: () => put(element.value ? instant(element.value, offered.time_zone) : undefined),
      });
      element.value = Number.isNaN(Date.parse(value)) ? "" : local(value, offered.time_zone);
      return make("span", {}, element, make("small", {}, ` ${offered.time_zone}`));
    },
  };
}
