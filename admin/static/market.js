// The time of a market's page: the slider, by pointer or keyboard, decides of when the book and the trades are.
"use strict";

(() => {
  const form = document.getElementById("time");
  const slider = document.getElementById("when");
  const field = document.getElementById("at");
  const live = document.getElementById("live");
  const words = { from: document.getElementById("from"), shown: document.getElementById("shown"), to: document.getElementById("to") };
  const PAUSE_MS = 120;
  const REFRESH_MS = 15000;
  const DAY = 86400;
  let known = Math.floor(Date.parse(form.dataset.known) / 1000);
  let span = 3600;
  let end = known; // of the slider
  let at = field.value ? Date.parse(field.value) / 1000 : null; // null: the latest, and it goes on
  let waiting = null;

  const text = (seconds) => new Date(seconds * 1000).toISOString().replace(/\.000Z$/, "Z");
  const clock = (seconds) => text(seconds).slice(11, 19);
  const day = (seconds) => (known - seconds < DAY ? clock(seconds) : `${text(seconds).slice(5, 10)} ${clock(seconds)}`);

  function describe() {
    words.from.textContent = day(end - span);
    words.to.textContent = day(end);
    words.shown.textContent = at === null ? `latest, ${day(known)}` : day(at);
    slider.setAttribute("aria-valuetext", at === null ? `the latest, ${day(known)}` : `${text(at).slice(0, 10)} ${clock(at)}`);
    live.setAttribute("aria-pressed", String(at === null));
  }

  function place() {
    slider.min = 0;
    slider.max = span;
    slider.value = span - (end - (at === null ? end : at));
    describe();
    marketCharts.showPeriod(end - span, end);
    marketCharts.showMoment(at);
  }

  // Whatever is asked for while one drags, the last time is shown in the end.
  function load() {
    if (waiting === null) {
      waiting = setTimeout(() => {
        waiting = null;
        document.dispatchEvent(new Event("at"));
      }, PAUSE_MS);
    }
  }

  function choose(seconds) {
    at = seconds === null ? null : Math.round(seconds);
    field.value = at === null ? "" : text(at);
    const address = new URL(location.href);
    at === null ? address.searchParams.delete("at") : address.searchParams.set("at", field.value);
    history.replaceState(null, "", address);
    describe();
    marketCharts.showMoment(at);
    load();
  }

  function move(to) {
    end = Math.min(known, to);
    place();
  }

  slider.addEventListener("input", () => choose(end - span + Number(slider.value)));
  live.addEventListener("click", () => {
    end = known;
    choose(null);
    place();
  });
  for (const button of document.querySelectorAll("[data-span]")) {
    button.addEventListener("click", () => {
      span = Number(button.dataset.span);
      document.querySelectorAll("[data-span]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      move(at === null ? known : at + span / 2);
    });
  }
  for (const button of document.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => {
      const to = Math.min(known, end + (Number(button.dataset.move) * span) / 2);
      choose(Math.min(to, Math.max(to - span, (at === null ? end : at) + to - end)));
      move(to);
    });
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const asked = field.value.trim();
    const moment = Date.parse(/Z|[+-]\d\d:?\d\d$/i.test(asked) ? asked : `${asked.replace(" ", "T")}Z`);
    field.setCustomValidity(asked && Number.isNaN(moment) ? "Not a time such as 2026-11-21T15:00:00Z" : "");
    if (field.reportValidity()) {
      choose(asked ? Math.min(known, moment / 1000) : null);
      move(asked ? at + span / 2 : known);
    }
  });
  field.addEventListener("input", () => field.setCustomValidity(""));
  document.addEventListener("moment", (event) => {
    choose(Math.min(known, event.detail));
    place();
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      const code = document.getElementById(button.dataset.copy);
      const said = button.nextElementSibling;
      try {
        await navigator.clipboard.writeText(code.textContent);
        said.textContent = "Copied.";
      } catch {
        getSelection().selectAllChildren(code);
        said.textContent = "Selected: copy it with the keyboard.";
      }
    }
  });

  // The known time goes on; the slider's end with it, unless one looks at the past.
  setInterval(() => {
    const latest = document.querySelector("[data-known-until]");
    known = latest ? Math.floor(Date.parse(latest.dataset.knownUntil) / 1000) : known;
    if (at === null) {
      move(known);
    }
  }, REFRESH_MS);

  if (at !== null) {
    end = Math.min(known, Math.max(at + span / 2, at));
    if (known - at <= span) {
      end = known;
    }
  }
  place();
})();
