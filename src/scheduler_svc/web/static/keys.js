// API keys: made, rotated, revoked. A key that was made is shown once, as text, and kept nowhere.
import { Refused, say, send } from "./actions.js";
import { refreshRegions } from "./live.js";

const made = document.getElementById("made");

function show(key) {
  document.getElementById("made-key").textContent = key;
  made.hidden = false;
  made.focus();
  refreshRegions().catch(() => {});
}

// Send what a form means, and say in it what was refused.
function onSubmit(id, act) {
  const form = document.getElementById(id);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button:not([type=button])");
    button.disabled = true;
    say(form, "");
    try {
      await act(form);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say(form, error.message);
    } finally {
      button.disabled = false;
    }
  });
}

onSubmit("make-form", async (form) => {
  const asked = new FormData(form);
  const body = { name: asked.get("name"), scopes: asked.getAll("scopes") };
  const namespace = asked.get("namespace")?.trim();
  if (namespace) body.namespace = namespace;
  if (asked.get("expires_at")) body.expires_at = new Date(asked.get("expires_at")).toISOString();
  const cidrs = asked.get("cidrs").split(/[\s,]+/).filter(Boolean);
  if (cidrs.length) body.cidrs = cidrs;
  const told = await send("POST", "/api-keys", body);
  form.reset();
  form.closest("dialog").close();
  show(told.key);
});

onSubmit("rotate-form", async (form) => {
  const path = `/api-keys/${encodeURIComponent(form.dataset.id)}/rotate`;
  const told = await send("POST", path, { overlap: form.elements.overlap.value.trim() });
  form.closest("dialog").close();
  show(told.key);
});

onSubmit("revoke-form", async (form) => {
  await send("DELETE", `/api-keys/${encodeURIComponent(form.dataset.id)}`);
  location.reload();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-rotate], [data-revoke]");
  if (!button) return;
  const dialog = document.getElementById(button.dataset.rotate ? "rotate" : "revoke");
  const form = dialog.querySelector("form");
  form.dataset.id = button.dataset.rotate ?? button.dataset.revoke;
  form.querySelector("[data-name]").textContent = button.dataset.name;
  say(form, "");
  dialog.showModal();
});

document.getElementById("made-copy").addEventListener("click", async () => {
  const said = document.getElementById("made-copied");
  try {
    await navigator.clipboard.writeText(document.getElementById("made-key").textContent);
    said.textContent = "Copied";
  } catch {
    said.textContent = "Select it and copy it by hand.";
  }
});
