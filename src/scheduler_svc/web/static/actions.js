// Changes: forms are sent to the JSON API of this origin, with the session's token, and what it
// refuses is said beside the form. Texts are set as text, never as markup.
//
// <form data-send="POST" action="/jobs/ID/pause" data-then="reload | /ui/jobs | /ui/runs/{id}">
//   <input name="reason">                an empty one is left out
//   <input name="until" type="datetime-local">   an instant, in the viewer's zone
//   <textarea name="body" data-as="json">, <input data-as="number">, <input type="checkbox">
//   <input name="filter.state">          a dot goes a level down
//   <input name="filter.label" data-as="list">   one value, in a list
//   <p class="fault" role="alert"></p>   where a refusal is said
// </form>
// <button data-opens="ID"> opens a dialog, <button data-closes> within it closes it.

export class Refused extends Error {
  constructor(status, problem) {
    const faults = (problem?.errors ?? []).map((one) =>
      [one.pointer || one.parameter, one.detail].filter(Boolean).join(": "),
    );
    super([problem?.detail ?? `The service answered ${status}.`, ...faults].join("\n"));
    this.status = status;
    this.problem = problem;
  }
}

function token() {
  return document.querySelector("meta[name=csrf-token]")?.content;
}

// What a caller of all namespaces says with each request, where one was chosen.
export function namespaceHeader() {
  const chosen = document.querySelector("meta[name=namespace]")?.content;
  return chosen ? { "Scheduler-Namespace": chosen } : {};
}

// Ask the API; resolves to the JSON of the answer (null without), rejects with Refused.
export async function send(method, path, body, headers = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (token()) sent["X-CSRF-Token"] = token();
  Object.assign(sent, namespaceHeader());
  if (body !== undefined) {
    sent["Content-Type"] ??= method === "PATCH" ? "application/merge-patch+json" : "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
    });
  } catch {
    throw new Refused(0, { detail: "The service can not be reached. Try again in a moment." });
  }
  const isJson = /json/.test(answer.headers.get("content-type") ?? "");
  const told = isJson ? await answer.json() : null;
  if (answer.status === 401) {
    location.assign(`/ui/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  if (!answer.ok) throw new Refused(answer.status, told);
  return told;
}

function put(body, name, value) {
  const path = name.split(".");
  const last = path.pop();
  let place = body;
  for (const part of path) place = place[part] ??= {};
  place[last] = value;
}

function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.type === "radio" && !field.checked) return undefined;
  if (field.value === "") return undefined;
  if (field.dataset.as === "number") return Number(field.value);
  if (field.dataset.as === "json") return JSON.parse(field.value);
  if (field.dataset.as === "list") return [field.value];
  if (field.type === "datetime-local") return new Date(field.value).toISOString();
  return field.value;
}

// The fields of a form as the body of a request; throws Refused for JSON that is none.
export function bodyOf(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled) continue;
    let value;
    try {
      value = valueOf(field);
    } catch (error) {
      throw new Refused(0, { detail: `${field.dataset.label ?? field.name} is no JSON: ${error.message}` });
    }
    if (value !== undefined) put(body, field.name, value);
  }
  return body;
}

export function say(form, text) {
  const place = form.querySelector(".fault");
  if (place) place.textContent = text;
}

async function submit(form) {
  const button = form.querySelector("button:not([type=button])");
  say(form, "");
  if (button) button.disabled = true;
  try {
    const method = form.dataset.send;
    const body = method === "DELETE" ? undefined : bodyOf(form);
    const told = await send(method, form.getAttribute("action"), body);
    const go = form.dispatchEvent(new CustomEvent("sent", { detail: told, bubbles: true, cancelable: true }));
    if (!go) return;
    const then = form.dataset.then ?? "reload";
    if (then === "reload") location.reload();
    else location.assign(then.replace("{id}", encodeURIComponent(told?.id ?? "")));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(form, error.message);
  } finally {
    if (button) button.disabled = false;
  }
}

export function startForms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.send) return;
    event.preventDefault();
    submit(form);
  });
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens)?.showModal();
    const closer = event.target.closest("[data-closes]");
    if (closer) closer.closest("dialog")?.close();
    if (event.target instanceof HTMLDialogElement) event.target.close();
  });
}
