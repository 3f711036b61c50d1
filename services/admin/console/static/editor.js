// The editor of campaigns: variables are inserted, the preview follows.
const editor = document.getElementById("editor");

// Where one wrote last: there a variable goes.
let last = editor.elements.body;
editor.addEventListener("focusin", ({ target }) => {
  if (["subject", "preview_text", "body"].includes(target.name) || target.name?.startsWith("ab_test.subjects")) last = target;
});
editor.addEventListener("click", ({ target }) => {
  const text = target.closest("[data-insert]")?.dataset.insert;
  if (!text) return;
  last.focus();
  last.setRangeText(text, last.selectionStart, last.selectionEnd, "end");
  last.dispatchEvent(new Event("input", { bubbles: true }));
});

// What the API refuses stands at its field.
function place(told) {
  for (const error of editor.querySelectorAll(".error")) error.remove();
  for (const field of document.querySelectorAll(".field.wrong")) field.classList.remove("wrong");
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  for (const line of told.querySelectorAll("[data-field]")) {
    const control = document.getElementById(`f-${line.dataset.field}`);
    const field = control?.closest(".field");
    if (!field) continue;
    line.querySelector("a").textContent = (control.labels?.[0] ?? field.querySelector("legend")).textContent;
    field.classList.add("wrong");
    control.setAttribute("aria-invalid", "true");
    const error = document.createElement("p");
    error.className = "error";
    error.textContent = line.querySelector("span").textContent;
    field.append(error);
  }
}

// The mail itself is a page of its own: the form is sent into a new frame, so that "back" still leaves the editor.
function show() {
  const old = document.querySelector("iframe.mail");
  const frame = old.cloneNode();
  frame.hidden = false;
  old.replaceWith(frame);
  const { action, target } = editor;
  Object.assign(editor, { action: "/console/campaigns/-/mail", target: frame.name });
  editor.submit();
  Object.assign(editor, { action, target });
}
document.getElementById("told").addEventListener("htmx:afterSwap", ({ currentTarget: told }) => {
  if (!told.querySelector("[data-shown], [data-errors]")) return;
  place(told);
  if (told.querySelector("[data-shown]")) show();
});

// Leaving with something unsaved asks first.
let changed = false;
editor.addEventListener("input", () => { changed = true; });
editor.addEventListener("submit", () => { changed = false; });
addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
