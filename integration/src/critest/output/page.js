"use strict";
(() => {
  const form = document.querySelector(".controls");
  const search = document.getElementById("search");
  const status = document.getElementById("shown");
  const nothing = document.getElementById("nothing");
  const specs = [...document.querySelectorAll("tr.spec")].map((row) => {
    const area = row.parentElement.querySelector(".area").textContent;
    return { row, text: (area + " " + row.textContent).toLowerCase() };
  });
  const chosen = () => form.elements.show.value;

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, text } of specs) {
      const kind = chosen();
      const wanted = kind === "all" || (kind === "flaky" ? "flaky" in row.dataset : row.dataset.verdict === kind);
      row.hidden = !(wanted && words.every((word) => text.includes(word)));
      shown += row.hidden ? 0 : 1;
    }
    for (const group of document.querySelectorAll("tbody")) {
      group.hidden = !group.querySelector("tr.spec:not([hidden])");
    }
    nothing.hidden = shown > 0;
    status.textContent = shown === specs.length ? "" : `${shown} of ${specs.length} specs`;
    const state = new URLSearchParams();
    if (chosen() !== "all") state.set("show", chosen());
    if (search.value) state.set("search", search.value);
    history.replaceState(null, "", state.size ? "#" + state : location.pathname + location.search);
  }

  // A link keeps what was looked for.
  const state = new URLSearchParams(location.hash.slice(1));
  search.value = state.get("search") || "";
  const radio = [...form.elements.show].find((input) => input.value === state.get("show"));
  if (radio) radio.checked = true;
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
