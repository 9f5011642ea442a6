// What the pages do better with a script; they are whole without one.
"use strict";
(() => {
  const main = () => document.getElementById("main");

  // Offers the browser's time zone where the page is drawn in another.
  function offerZone() {
    const offer = document.querySelector("[data-zone-offer]");
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const drawn = document.querySelector("[data-zone]")?.value;
    const url = new URL(location.href);
    if (!offer || !zone || !drawn || zone === drawn || url.searchParams.has("zone")) return;
    url.searchParams.set("zone", zone);
    offer.href = url.pathname + url.search;
    offer.textContent = `Show in ${zone}`;
    offer.hidden = false;
  }

  // Tells what a column of the chart is about, and opens it when it is clicked.
  let tip;
  function columns() {
    const list = document.querySelector(".columns");
    if (!list) return;
    list.classList.add("on");
    const edges = list.dataset.edges.split(" ");
    const index = (item) => Array.prototype.indexOf.call(list.children, item);
    const leave = () => {
      tip?.remove();
      tip = undefined;
      list.querySelector(".at")?.classList.remove("at");
    };
    list.addEventListener("pointerleave", leave);
    list.addEventListener("pointermove", (event) => {
      const item = event.target.closest("li");
      if (!item) return leave();
      if (!item.classList.contains("at")) {
        leave();
        item.classList.add("at");
        tip = document.createElement("div");
        tip.className = "tip";
        tip.textContent = item.textContent;
        document.body.append(tip);
      }
      const width = tip.offsetWidth;
      tip.style.left = `${Math.min(Math.max(8, event.clientX - width / 2), innerWidth - width - 8)}px`;
      tip.style.top = `${event.clientY - tip.offsetHeight - 14}px`;
    });
    list.addEventListener("click", (event) => {
      const at = index(event.target.closest("li"));
      if (at < 0) return;
      const url = new URL(list.dataset.zoom, location.href);
      const set = (name, edge) => url.searchParams.set(name, new Date(edge * 1000).toISOString());
      set("from", edges[at]);
      set("to", edges[at + 1]);
      leave();
      visit(url.pathname + url.search);
    });
  }

  // Follows links within a project without leaving the page: only its main part is exchanged.
  const address = () => location.pathname + location.search;
  let asked = 0;
  let shown = address();
  let drawn = new Date();
  async function visit(href, push = true, renews = false) {
    const mine = ++asked;
    main().setAttribute("aria-busy", "true");
    let answer;
    try {
      answer = await fetch(href, { headers: { accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== asked) return;
      const active = document.activeElement;
      const focused = active?.closest?.("section[id]")?.id;
      const link = main().contains(active) ? active.getAttribute("href") : undefined;
      const scroll = scrollY;
      main().replaceWith(document.importNode(page.getElementById("main"), true));
      document.title = page.title;
      drawn = new Date();
      if (push) history.pushState({}, "", href);
      shown = address();
      const place = focused && document.getElementById(focused)?.querySelector("a[aria-current], a, h2");
      if (push) (place ?? main()).focus({ preventScroll: true });
      if (renews) {
        const same = [...main().querySelectorAll("a[href]")].find((it) => it.getAttribute("href") === link);
        if (link !== undefined) (same ?? main()).focus({ preventScroll: true });
        scrollTo(0, scroll);
      }
      start();
    } catch {
      if (mine !== asked) return;
      // Who watches keeps what is shown while the server is away; a sign-in and what is gone are shown.
      const away = !answer || answer.ok || answer.status >= 500 || answer.status === 429;
      if (renews && away && !answer?.redirected) stale();
      // The same address with a place within the page would be a jump to that, and show nothing new.
      else if (renews) location.reload();
      else location.href = href;
    }
  }

  // Says that what is shown is of before.
  function stale() {
    main().removeAttribute("aria-busy");
    if (document.querySelector("[data-stale]")) return;
    const notice = document.createElement("p");
    notice.className = "notice";
    notice.dataset.stale = "";
    notice.setAttribute("role", "status");
    notice.textContent = `The server does not answer. This is as of ${drawn.toLocaleTimeString()}.`;
    main().prepend(notice);
  }

  // Whether somebody is at something that an exchange would take away.
  function busy() {
    const at = main().querySelector("input:focus, select:focus, textarea:focus, button:focus, details[open]");
    const touched = (it) => it.checked !== it.defaultChecked || it.value !== it.defaultValue;
    const begun = [...main().querySelectorAll("input")].some(touched);
    return main().hasAttribute("aria-busy") || at || begun || !getSelection().isCollapsed;
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const url = new URL(link.href);
    const here = url.origin === location.origin && url.pathname === location.pathname;
    if (!here || link.hasAttribute("download") || link.classList.contains("skip") || !document.querySelector(".filters")) return;
    event.preventDefault();
    visit(url.pathname + url.search);
  });
  // A jump within the page, as by "Skip to content", is told the same way and exchanges nothing.
  addEventListener("popstate", () => address() === shown || visit(address(), false));

  // What is called a button is pressed like one.
  document.addEventListener("keydown", (event) => {
    const button = event.target.closest?.("a[role=button]");
    if (event.key !== " " || !button) return;
    event.preventDefault();
    button.click();
  });

  // An open menu closes by Escape and by a click beside it.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.pop[open]");
    open?.removeAttribute("open");
    open?.querySelector("summary").focus();
  });
  document.addEventListener("pointerdown", (event) => {
    for (const open of document.querySelectorAll("details.pop[open]")) {
      if (!open.contains(event.target)) open.removeAttribute("open");
    }
  });

  // The live page: hits come in at the top.
  function live() {
    const table = document.querySelector("[data-events]");
    if (!table) return;
    const body = table.tBodies[0];
    const state = document.querySelector("[data-state]");
    const from = new URL(table.dataset.events, location.href);
    function watch() {
      const source = new EventSource(from);
      source.addEventListener("open", () => { state.textContent = "Watching"; });
      source.addEventListener("error", () => {
        state.textContent = "Connecting again";
        // An answer that is no stream, as where too many watch, ends this one for good.
        if (source.readyState === EventSource.CLOSED) setTimeout(watch, 5_000);
      });
      source.addEventListener("hits", (event) => {
        from.searchParams.set("after", event.lastEventId);
        if (table.dataset.paused) return;
        const rows = new DOMParser().parseFromString(`<table><tbody>${event.data}</tbody></table>`, "text/html");
        for (const row of rows.querySelectorAll("tr")) {
          const fresh = document.importNode(row, true);
          fresh.classList.add("fresh");
          body.prepend(fresh);
        }
        while (body.rows.length > 200) body.rows[body.rows.length - 1].remove();
      });
    }
    watch();
    const pause = document.querySelector("[data-pause]");
    pause.hidden = false;
    pause.addEventListener("click", () => {
      if (table.dataset.paused) delete table.dataset.paused;
      else table.dataset.paused = "1";
      pause.textContent = table.dataset.paused ? "Go on" : "Pause";
    });
  }

  function copies() {
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
        button.textContent = "Copied";
      });
    }
  }

  function start() {
    offerZone();
    columns();
    copies();
  }
  start();
  live();
  const refresh = Number(document.body.dataset.refresh);
  if (refresh && !document.querySelector("[data-events]")) {
    setInterval(() => document.hidden || busy() || visit(location.href, false, true), refresh * 1000);
  }
})();
