"use strict";
const tabs = [...document.querySelectorAll("[role=tab]")];
const kinds = document.getElementById("kinds");
const outcome = document.getElementById("outcome");
const moment = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function select(tab) {
  for (const each of tabs) {
    const on = each === tab;
    each.setAttribute("aria-selected", on);
    each.tabIndex = on ? 0 : -1;
    document.getElementById(each.getAttribute("aria-controls")).hidden = !on;
  }
}

// Arrow keys move between tabs (WAI-ARIA, tabs pattern).
for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (pressed) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[pressed.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
}

function localize() {
  for (const time of document.querySelectorAll("time")) {
    const instant = new Date(time.dateTime);
    time.textContent = time.closest("#history") ? moment.format(instant) : instant.toLocaleString();
    time.title = time.dateTime;
  }
}

function remember(name, status) {
  const history = document.getElementById("history");
  const entry = document.createElement("li");
  const what = document.createElement("span");
  const when = document.createElement("time");
  const answer = document.createElement("span");
  what.textContent = name;
  when.className = "quiet";
  when.dateTime = new Date().toISOString();
  answer.className = status < 300 ? "quiet" : "bad";
  answer.textContent = status;
  answer.title = "What the receiver answered";
  entry.append(what, answer, when);
  history.append(entry);
  history.hidden = false;
  localize();
}

async function send(button) {
  const answer = await fetch(`/messages/${kinds.dataset.message}/events`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ type: button.dataset.type }),
  });
  const said = await answer.json();
  if (answer.ok) {
    remember(button.textContent, said.status);
    outcome.textContent = said.accepted ? "Regulars has taken it." : `Regulars refused it: ${said.status} ${said.body}`;
  } else outcome.textContent = said.message;
}

kinds.addEventListener("click", async (pressed) => {
  const button = pressed.target.closest("button");
  if (!button) return;
  button.disabled = true;
  outcome.textContent = "Sending…";
  try { await send(button); } catch { outcome.textContent = "The sandbox does not answer. Is it still running?"; }
  button.disabled = false;
  button.focus();
});

// Back to the page of the list that one came from, with its search.
document.getElementById("back").addEventListener("click", (pressed) => {
  if (history.length > 1 && document.referrer.startsWith(location.origin)) { pressed.preventDefault(); history.back(); }
});

localize();
