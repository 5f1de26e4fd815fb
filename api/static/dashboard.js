// Has what moves shown anew as it happens, and says so when that cannot be done; htmx does the rest.
"use strict";
(() => {
  const stale = document.getElementById("stale");
  const fails = (failed) => { stale.hidden = !failed; };
  document.addEventListener("htmx:error", () => fails(true));
  document.addEventListener("htmx:response:error", () => fails(true));
  document.addEventListener("htmx:after:swap", () => fails(false));

  const moving = () => document.getElementById("live");
  const show = () => { moving()?.dispatchEvent(new Event("changed")); };
  const changes = moving()?.dataset.changes;
  if (changes) {
    const stream = new EventSource(changes);
    stream.addEventListener("changed", show);
    stream.addEventListener("end", () => { stream.close(); });
    stream.addEventListener("error", () => {
      // Refused, because too many watch: it is looked at as often as a person might.
      if (stream.readyState === EventSource.CLOSED) { setInterval(show, 2000); }
    });
  }
})();
