"use strict";
const shown = document.getElementById("main");
const news = document.getElementById("news");
const told = document.getElementById("told");
const today = new Date().toDateString();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

function localize(root) {
  for (const time of root.querySelectorAll("time")) {
    const instant = new Date(time.dateTime);
    time.textContent = (instant.toDateString() === today ? clock : calendar).format(instant);
    time.title = instant.toLocaleString();
  }
}

// Rows move only while nobody reads: at the top of the first page, with nothing focused or selected in it.
function undisturbed() {
  return shown.dataset.live === "yes" && scrollY < 40 && !shown.contains(document.activeElement) &&
    !shown.matches(":hover") && getSelection().isCollapsed;
}

function replace(page, fresh) {
  document.title = page.title;
  for (const id of ["count", "faults"]) document.getElementById(id).replaceWith(page.getElementById(id));
  localize(fresh);
  shown.replaceChildren(...fresh.childNodes);
  Object.assign(shown.dataset, fresh.dataset);
  news.hidden = true;
}

async function look() {
  const address = new URL(location.href);
  address.searchParams.delete("cursor");
  const answer = await fetch(address);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("main");
  const arrived = fresh.dataset.count - shown.dataset.count;
  if (shown.dataset.live === "yes" ? fresh.dataset.revision === shown.dataset.revision : arrived <= 0) return;
  if (!shown.querySelector("li") && fresh.querySelector("li")) { location.reload(); return; }
  if (undisturbed()) { replace(page, fresh); return; }
  if (arrived <= 0) return;
  const text = `${arrived.toLocaleString()} new ${arrived === 1 ? "mail" : "mails"}`;
  if (news.textContent === text && !news.hidden) return;
  news.textContent = told.textContent = text;
  news.hidden = false;
  news.onclick = () => { if (shown.dataset.live === "yes") { replace(page, fresh); scrollTo(0, 0); shown.focus(); } else location.assign(address); };
}

// One look at a time, none while the page is hidden; a sandbox that is away is asked again.
async function keepLooking() {
  if (!document.hidden) await look().catch(() => undefined);
  setTimeout(keepLooking, 3000);
}

document.getElementById("clear")?.addEventListener("click", async () => {
  if (!confirm("Delete all mail in this inbox? It cannot be brought back.")) return;
  await fetch("/messages", { method: "DELETE" });
  location.assign("/");
});

localize(shown);
setTimeout(keepLooking, 3000);
