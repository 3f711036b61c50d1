// Parts of a form that do not apply are hidden. data-when="name=a|b": shown while the field has one of these values;
// "name!=": while it has any; "name": while it is checked.
for (const form of document.querySelectorAll("form.fitted")) {
  const fit = () => {
    for (const part of form.querySelectorAll("[data-when]")) {
      const [, name, how, values] = part.dataset.when.match(/^([\w.]+)(!?=|)(.*)$/);
      const { value, checked } = form.elements[name];
      part.hidden = !(how === "" ? checked : how === "!=" ? value !== values : values.split("|").includes(value));
    }
  };
  form.addEventListener("change", fit);
  fit();
}
