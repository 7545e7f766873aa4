// The form of a job: what its schedule means is asked while somebody types, what is wrong stands at
// its field, and what an edit changes is shown before it is saved.
import { Refused, send } from "./actions.js";
import { clear, showDifference, showNext, showWarnings } from "./jobshow.js";
import { fromFields, fromJson, inexact, kindOf, showKind, toFields, Unreadable } from "./jobspec.js";

const form = document.getElementById("job");
const jobId = form.dataset.job;
const PAUSE_MS = 250;
let spec = JSON.parse(form.elements.json.value);
const original = structuredClone(spec);
let turn = 0;
let timer = null;
let onceKey = newKey();

function newKey() {
  return `ui-${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function clearFaults() {
  for (const place of form.querySelectorAll("[data-fault], #json-fault, #act-fault")) place.textContent = "";
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

// Say a fault at the field that it is about: the place with the longest pointer that leads to it.
function placeFault(pointer, detail, seen) {
  const places = [...form.querySelectorAll("[data-fault]")].filter(
    (place) => pointer === place.dataset.fault || pointer.startsWith(`${place.dataset.fault}/`) || place.dataset.fault === "",
  );
  places.sort((one, other) => other.dataset.fault.length - one.dataset.fault.length);
  const place = places[0];
  const said = place.dataset.fault === "" && pointer ? `${pointer}: ${detail}` : detail;
  place.textContent = place.textContent ? `${place.textContent}\n${said}` : said;
  place.closest("details")?.setAttribute("open", "");
  const field = place.id ? form.querySelector(`[aria-describedby~="${place.id}"]:not([hidden] *)`) : null;
  field?.setAttribute("aria-invalid", "true");
  seen.push(field ?? place);
}

function sayRefusal(error, { quiet = false } = {}) {
  const seen = [];
  for (const fault of error.problem?.errors ?? []) {
    // While somebody types, what is not there yet is no fault.
    if (quiet && !fault.pointer?.startsWith("/schedule")) continue;
    placeFault(fault.pointer ?? "", fault.detail, seen);
  }
  if (quiet) return;
  const act = document.getElementById("act-fault");
  act.textContent = seen.length ? `${seen.length === 1 ? "There is a fault" : `There are ${seen.length} faults`}, told at the fields.` : error.message;
  if (error.status === 412) act.textContent = "Somebody else has changed this job meanwhile. Load the page again, and repeat your change there.";
  seen[0]?.focus?.();
}

function readFields() {
  spec = fromFields(form, spec);
  form.elements.json.value = JSON.stringify(spec, null, 2);
}

function noDifference() {
  const shown = document.getElementById("difference");
  if (shown) shown.hidden = true;
}

async function preview(mine) {
  const told = await send("POST", "/schedules/preview", { schedule: spec.schedule, count: 8 });
  if (mine !== turn) return;
  document.getElementById("preview-words").textContent = told.description;
  showWarnings("preview-warnings", told.warnings);
  showNext("preview-next", told.occurrences, spec.schedule.timezone);
}

// A dry run tells of what the schedule alone does not, such as that nothing would be signed.
async function check(mine) {
  if (jobId || !spec.target?.url) return clear("job-warnings");
  const told = await send("POST", "/jobs?dry_run=true", spec);
  const others = told.warnings.filter((one) => !/^(dst_|herd)/.test(one.code));
  if (mine === turn) showWarnings("job-warnings", others);
}

async function look(mine) {
  try {
    await preview(mine);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (mine !== turn) return;
    document.getElementById("preview-words").textContent = "Not yet a schedule.";
    clear("preview-warnings");
    clear("preview-next");
    if (error.problem?.errors?.length) sayRefusal(error, { quiet: true });
    else document.getElementById("schedule-fault").textContent = error.message;
    return;
  }
  await check(mine).catch(() => clear("job-warnings"));
}

function changed(read) {
  clearFaults();
  noDifference();
  try {
    read();
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    if (error.pointer === "json") document.getElementById("json-fault").textContent = error.message;
    else placeFault(error.pointer, error.message, []);
    return;
  }
  const mine = ++turn;
  clearTimeout(timer);
  timer = setTimeout(() => look(mine), PAUSE_MS);
}

form.addEventListener("input", (event) => {
  const field = event.target;
  if (field.name === "kind") showKind(form, field.value);
  if (field.name === "json") {
    changed(() => {
      spec = fromJson(field.value);
      toFields(form, spec);
    });
  } else changed(readFields);
});

const acts = {
  async create() {
    const job = await send("POST", "/jobs", spec, { "Idempotency-Key": onceKey });
    location.assign(`/ui/jobs/${encodeURIComponent(job.id)}`);
  },
  async test() {
    const job = await send("POST", "/jobs", spec, { "Idempotency-Key": onceKey });
    const run = await send("POST", `/jobs/${encodeURIComponent(job.id)}/trigger`);
    location.assign(`/ui/runs/${encodeURIComponent(run.id)}`);
  },
  async compare() {
    const path = `/jobs/${encodeURIComponent(jobId)}?dry_run=true`;
    const told = await send("PUT", path, spec, { "If-Match": form.dataset.etag });
    showDifference(told, original, spec);
  },
  async save() {
    await send("PUT", `/jobs/${encodeURIComponent(jobId)}`, spec, { "If-Match": form.dataset.etag });
    location.assign(`/ui/jobs/${encodeURIComponent(jobId)}`);
  },
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? form.querySelector("button.primary");
  clearFaults();
  button.disabled = true;
  try {
    if (document.activeElement !== form.elements.json) readFields();
    await acts[button.value]();
  } catch (error) {
    if (error instanceof Unreadable) placeFault(error.pointer === "json" ? "" : error.pointer, error.message, []);
    else if (error instanceof Refused) {
      onceKey = newKey();
      sayRefusal(error);
    } else throw error;
  } finally {
    button.disabled = false;
  }
});

document.getElementById("difference-close")?.addEventListener("click", noDifference);
const long = inexact(form.elements.json.value);
if (long) {
  for (const button of form.querySelectorAll("[name=act]")) button.disabled = true;
  document.getElementById("act-fault").textContent =
    `This job holds ${long}, which is longer than a browser can keep: change it with the API or the command line.`;
}
toFields(form, spec);
showKind(form, kindOf(spec));
look(++turn);
