// Replaces the parts of the page that have changed by those that the server has rendered. The page works without it.
"use strict";
(() => {
  const main = document.querySelector("main[data-events]");
  const connection = document.getElementById("connection");
  const pause = document.getElementById("pause");
  // After an answer that is not a stream, such as 503, a browser does not connect again by itself.
  const RETRY_MILLISECONDS = 5000;
  let source = null;
  let retry = null;
  let paused = false;

  const show = (text) => {
    if (connection.textContent !== text) {
      connection.textContent = text;
    }
  };

  const replace = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    const next = template.content.firstElementChild;
    // Unlike in the page, their contents are elements in a template.
    for (const unused of next.querySelectorAll("noscript")) {
      unused.remove();
    }
    const old = document.getElementById(next.id);
    if (!old) {
      insert(next);
      return;
    }
    for (const open of old.querySelectorAll("details[open]")) {
      next.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    }
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const scrolled = [...old.querySelectorAll(".scroll[id]")].map((it) => [it.id, it.scrollLeft]);
    old.replaceWith(next);
    for (const [id, left] of scrolled) {
      document.getElementById(id).scrollLeft = left;
    }
    if (focused) {
      document.getElementById(focused)?.focus({ preventScroll: true });
    }
  };

  // A new row of the overview, in the order of the names.
  const insert = (row) => {
    const rows = document.getElementById("scalers");
    const after = rows && [...rows.children].find((other) => other.id > row.id);
    rows?.insertBefore(row, after ?? null);
  };

  const close = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
  };

  const open = () => {
    close();
    source = new EventSource(main.dataset.events);
    source.addEventListener("open", () => show("Live"));
    source.addEventListener("fragment", (event) => replace(event.data));
    source.addEventListener("rows", (event) => {
      const ids = new Set(event.data.split(" "));
      for (const row of document.querySelectorAll("#scalers > tr")) {
        if (!ids.has(row.id)) {
          row.remove();
        }
      }
    });
    source.addEventListener("removed", (event) => document.getElementById(event.data)?.remove());
    source.addEventListener("error", () => {
      show("Not connected, trying again");
      if (source.readyState === EventSource.CLOSED) {
        retry = setTimeout(open, RETRY_MILLISECONDS);
      }
    });
  };

  // A tab in the background needs no updates, and would hold a connection that another one may need.
  const update = () => {
    if (paused || document.hidden) {
      close();
      show("Paused");
    } else if (!source) {
      open();
    }
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume updates" : "Pause updates";
    update();
  });
  document.addEventListener("visibilitychange", update);
  update();
})();
