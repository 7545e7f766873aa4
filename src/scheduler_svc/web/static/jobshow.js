// What the form of a job shows of the API's answers: always as text, never as markup.
import { differences } from "./jobspec.js";
import { tellAll } from "./times.js";

const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function clear(id) {
  document.getElementById(id)?.replaceChildren();
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function time(stamp, zone) {
  const made = document.createElement("time");
  made.dateTime = stamp;
  made.dataset.zone = zone ?? "UTC";
  made.textContent = stamp;
  return made;
}

function until(stamp) {
  const made = element("span", "", "dim");
  made.dataset.until = stamp;
  return made;
}

export function showWarnings(id, warnings) {
  const place = document.getElementById(id);
  place.replaceChildren(
    ...warnings.map((one) => {
      const item = element("li", one.detail, "notice warn");
      item.dataset.code = one.code;
      return item;
    }),
  );
}

// One instant: in the viewer's zone, how far off, and by the clock of the job's own zone.
function occurrence(one, zone, sign) {
  const item = element("li");
  if (sign) item.className = sign;
  item.append(time(one.scheduled_for, zone), " ", until(one.scheduled_for));
  if (zone && zone !== HERE) item.append(" ", element("span", `${one.local.slice(0, 16).replace("T", " ")} ${zone}`, "small dim wall"));
  if (one.note) item.append(" ", element("span", one.note, "small dim"));
  return item;
}

export function showNext(id, occurrences, zone) {
  const place = document.getElementById(id);
  place.replaceChildren(...occurrences.map((one) => occurrence(one, zone)));
  if (!occurrences.length) place.append(element("li", "It names no instant from now on.", "dim"));
  tellAll(place);
}

function value(given) {
  if (given === undefined) return "not said";
  return typeof given === "string" ? given : JSON.stringify(given);
}

function side(id, own, other, zone, sign) {
  const others = new Set(other.map((one) => one.scheduled_for));
  const place = document.getElementById(id);
  place.replaceChildren(
    ...own.map((one) => occurrence(one, zone, others.has(one.scheduled_for) ? "" : sign)),
  );
  if (!own.length) place.append(element("li", "Nothing", "dim"));
  tellAll(place);
}

export function showDifference(told, before, after) {
  const rows = differences(before, after).map(([pointer, now, then]) => {
    const row = document.createElement("tr");
    const name = element("th", pointer, "mono");
    name.scope = "row";
    row.append(name, element("td", value(now), "mono wrap"), element("td", value(then), "mono wrap"));
    return row;
  });
  if (!rows.length) {
    const cell = element("td", "Nothing differs: saving would change nothing.", "dim");
    cell.colSpan = 3;
    const row = document.createElement("tr");
    row.append(cell);
    rows.push(row);
  }
  document.getElementById("fields-changed").replaceChildren(...rows);
  side("fires-before", told.before, told.after, before.schedule.timezone, "gone");
  side("fires-after", told.after, told.before, after.schedule.timezone, "new");
  const { before: were, after: are } = told.per_day;
  const round = (count) => Number(count.toFixed(2));
  const now = `${round(were)} runs a day`;
  const same = were === are ? `${now}, as now` : `${now} now, ${round(are)} then`;
  document.getElementById("per-day").textContent = same;
  const panel = document.getElementById("difference");
  panel.hidden = false;
  panel.focus();
  panel.scrollIntoView({ block: "start" });
}
