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
  const changes = () => moving()?.dataset.changes;  // none when the run is over

  let stream = null;
  const follow = () => {
    stream?.close();
    stream = null;
    // A browser has six connections for all pages of a host: those nobody looks at leave theirs.
    if (document.hidden || !changes()) { return; }
    const opened = stream = new EventSource(changes());
    opened.addEventListener("changed", show);
    opened.addEventListener("end", () => { opened.close(); });
    opened.addEventListener("error", () => {
      // Refused, because too many watch: it is looked at as often as a person might.
      const refused = opened === stream && opened.readyState === EventSource.CLOSED;
      if (refused) { setTimeout(() => { show(); follow(); }, 2000); }
    });
  };
  document.addEventListener("visibilitychange", follow);
  follow();
})();
