// A long list gets a field that narrows it: selects of more than 20 and lists of boxes of more than 10.
// What is chosen stays in sight. A select without a label of its own says by data-searched that it may become long.
const plain = (text) => text.trim().toLowerCase();

function narrowed(list, entries, name) {
  const field = document.createElement("input");
  field.type = "search";
  field.className = "narrow";
  field.placeholder = "Search";
  field.setAttribute("aria-label", `Search: ${name}`);
  const told = document.createElement("span");
  told.className = "unseen";
  told.setAttribute("role", "status");
  // Neither the preview nor the question on leaving follows it, and Enter sends nothing.
  field.addEventListener("change", (event) => event.stopPropagation());
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  field.addEventListener("input", (event) => {
    event.stopPropagation();
    told.textContent = `${entries(plain(field.value))} found`;
  });
  list.before(field, told);
}

function choosing(root) {
  for (const select of root.querySelectorAll("select:not([data-narrowed])")) {
    const name = select.labels?.[0]?.textContent ?? ("searched" in select.dataset && select.getAttribute("aria-label"));
    if (select.options.length <= 20 || !name) continue;
    select.dataset.narrowed = "yes";
    const all = [...select.options];
    narrowed(select, (text) => {
      const { value } = select;
      const fits = all.filter((one) => plain(one.text).includes(text) || one.value === value || !one.value);
      select.replaceChildren(...fits);
      select.value = value; // taking options out makes the browser choose others
      return fits.filter((one) => one.value && plain(one.text).includes(text)).length;
    }, name);
  }
  for (const list of root.querySelectorAll(".choices:not([data-narrowed])")) {
    const all = [...list.querySelectorAll("label")];
    if (all.length <= 10) continue;
    list.dataset.narrowed = "yes";
    narrowed(list, (text) => all.filter((one) => {
      const fits = plain(one.textContent).includes(text);
      one.hidden = !fits && !one.querySelector("input").checked;
      return fits;
    }).length, list.closest("fieldset").querySelector("legend").textContent);
  }
}
document.addEventListener("DOMContentLoaded", () => choosing(document));
document.addEventListener("htmx:load", (event) => choosing(event.target));
