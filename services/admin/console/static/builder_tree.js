// Criteria as a tree: {kind, parts} for groups, {leaf} for conditions (their own JSON), {raw} for what is neither.
export function read(json) {
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
// Back to JSON; notes at each node its path in it.
export function write(node, path) {
  node.path = path;
  if (node.leaf) return node.leaf;
  if (!node.kind) return node.raw;
  const list = (kind, at) => ({ [kind]: node.parts.map((part, n) => write(part, `${at}.${kind}[${n}]`)) });
  if (node.kind === "all" || node.kind === "any") return list(node.kind, path);
  if (node.kind === "none" && node.parts.length === 1) return { not: write(node.parts[0], `${path}.not`) };
  return { not: list(node.kind === "none" ? "any" : "all", `${path}.not`) };
}

// A condition of another field begins with what most would ask; what an operator shares with the last one stays.
export function fresh(field) {
  const [operator] = field.operators;
  const leaf = { field: field.field, op: operator.op };
  for (const input of operator.inputs) if (input.kind === "days" && !input.optional) leaf[input.key] = 30;
  for (const input of operator.inputs) if (input.kind === "flag") leaf[input.key] = true;
  return leaf;
}
export function kept(leaf, field, op) {
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
