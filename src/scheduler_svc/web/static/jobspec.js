// A job's definition and the fields of its form, each made from the other.
// The definition is the truth: fields that are empty take their part out of it, and what no field
// shows stays as it is.

export class Unreadable extends Error {
  constructor(pointer, detail) {
    super(detail);
    this.pointer = pointer;
  }
}

const KINDS = ["cron", "every", "at"];
const OF_EVERY = ["anchor"];
const OF_AT = ["if_past"];

function lines(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

// One line is a text and several are a list; a list of one that was there stays a list.
function oneOrMany(text, before) {
  const given = lines(text);
  const isList = given.length > 1 || (Array.isArray(before) && given.length === 1);
  return isList ? given : (given[0] ?? "");
}

// Return a number in a JSON text that a browser would change by reading it, or undefined.
export function inexact(text) {
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  return bare.match(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g)?.find(
    (found) => Math.abs(Number(found)) > Number.MAX_SAFE_INTEGER,
  );
}

function parsed(text, pointer, hint = "") {
  const long = inexact(text);
  if (long) throw new Unreadable(pointer, `${long} is longer than a browser can keep. Use the API or the command line.`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Unreadable(pointer, `This is no JSON: ${error.message}${hint}`);
  }
}

function pairs(text, pointer) {
  const found = {};
  for (const line of lines(text)) {
    const cut = line.indexOf(":");
    if (cut < 1) throw new Unreadable(pointer, `“${line}” has no colon between name and value.`);
    found[line.slice(0, cut).trim()] = line.slice(cut + 1).trim();
  }
  return found;
}

function listed(given) {
  return Object.entries(given ?? {}).map(([name, value]) => `${name}: ${value}`).join("\n");
}

function set(holder, key, value) {
  if (value === "" || value === undefined) delete holder[key];
  else holder[key] = value;
}

function number(text) {
  return text === "" ? undefined : Number(text);
}

export function kindOf(spec) {
  return KINDS.find((kind) => spec.schedule?.[kind] !== undefined) ?? "cron";
}

export function showKind(form, kind) {
  for (const part of form.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== kind;
}

export function toFields(form, spec) {
  const of = form.elements;
  const { schedule = {}, target = {} } = spec;
  const kind = kindOf(spec);
  of.kind.value = kind;
  showKind(form, kind);
  for (const one of KINDS) of[one].value = [schedule[one] ?? []].flat().join("\n");
  of.timezone.value = schedule.timezone ?? "";
  of.method.value = target.method ?? "POST";
  of.url.value = target.url ?? "";
  of.headers.value = listed(target.headers);
  const body = target.body ?? null;
  of.body.value = body === null ? "" : JSON.stringify(body, null, 2);
  of.body.disabled = target.body_base64 !== undefined && target.body_base64 !== null;
  of.name.value = spec.name ?? "";
  of.description.value = spec.description ?? "";
  of.labels.value = listed(spec.labels);
  of.timeout.value = target.timeout ?? "";
  of.max_attempts.value = spec.retry?.max_attempts ?? "";
  of.overlap.value = spec.overlap ?? "skip";
  of.priority.value = spec.priority ?? "";
}

// Return a new definition: the one before with what the fields say. Throws Unreadable.
export function fromFields(form, before) {
  const of = form.elements;
  const spec = structuredClone(before);
  const schedule = (spec.schedule ??= {});
  const target = (spec.target ??= {});
  const kind = of.kind.value;
  for (const one of KINDS) if (one !== kind) delete schedule[one];
  if (kind !== "every") for (const one of OF_EVERY) delete schedule[one];
  if (kind !== "at") for (const one of OF_AT) delete schedule[one];
  schedule[kind] = kind === "every" ? of.every.value.trim() : oneOrMany(of[kind].value, before.schedule?.[kind]);
  set(schedule, "timezone", of.timezone.value.trim());
  target.method = of.method.value;
  target.url = of.url.value.trim();
  const headers = pairs(of.headers.value, "/target/headers");
  if (target.headers !== undefined || Object.keys(headers).length) target.headers = headers;
  if (!of.body.disabled) target.body = bodyOf(of.body.value, target);
  if (target.body === undefined) delete target.body;
  set(target, "timeout", of.timeout.value.trim());
  set(spec, "name", of.name.value.trim());
  if (spec.description !== undefined || of.description.value) spec.description = of.description.value;
  const labels = pairs(of.labels.value, "/labels");
  if (spec.labels !== undefined || Object.keys(labels).length) spec.labels = labels;
  const attempts = number(of.max_attempts.value);
  if (spec.retry !== undefined || attempts !== undefined) set((spec.retry ??= {}), "max_attempts", attempts);
  if (spec.overlap !== undefined || of.overlap.value !== "skip") spec.overlap = of.overlap.value;
  set(spec, "priority", number(of.priority.value));
  return spec;
}

function bodyOf(text, target) {
  if (text.trim() === "") return "body" in target ? null : undefined;
  return parsed(text, "/target/body", ". Text goes in quotes.");
}

export function fromJson(text) {
  const found = parsed(text, "json");
  if (typeof found !== "object" || found === null || Array.isArray(found)) {
    throw new Unreadable("json", "A job is an object, in braces.");
  }
  return found;
}

// The leaves in which two definitions differ: [pointer, before, after], undefined where there is none.
export function differences(before, after, pointer = "") {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const isPlain = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isPlain(before) || !isPlain(after)) return [[pointer || "/", before, after]];
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap((key) => {
    const step = `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    return differences(before[key], after[key], step);
  });
}
