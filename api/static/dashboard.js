// Says so when the page cannot be kept up to date; htmx does the rest.
"use strict";
(() => {
  const stale = document.getElementById("stale");
  const fails = (failed) => { stale.hidden = !failed; };
  document.addEventListener("htmx:error", () => fails(true));
  document.addEventListener("htmx:response:error", () => fails(true));
  document.addEventListener("htmx:after:swap", () => fails(false));
})();
