// What the pages need: parts that ask for themselves again and again, the search as one types, and saying why there is
// no answer.
"use strict";

const SEARCH_PAUSE_MS = 250;
const FOCUSABLE = "a[href], button, input, [tabindex]";

document.addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  }
});

// By the part of the page that has it: one that is answered does not hide why another is not.
const troubles = new Map();

function showTroubles() {
  const banner = document.getElementById("trouble");
  banner.hidden = troubles.size === 0;
  banner.textContent = [...new Set(troubles.values())].join(" ");
}

// The reason that the service gives, as application/problem+json has it.
function reasonOf(status, text) {
  if (status === 0) {
    return "The service does not answer: what you see is old.";
  }
  try {
    return JSON.parse(text).detail;
  } catch {
    return `The service answers with error ${status}: what you see is old.`;
  }
}

function showTrouble(part, reason) {
  troubles.set(part, reason);
  // What was shown before stays below the reason: it is old, and not gone.
  const waiting = part.querySelector(":scope > .waiting");
  if (waiting) {
    waiting.textContent = reason;
    waiting.classList.add("bad");
  } else {
    part.dataset.trouble = reason;
  }
}

// The focus stays where it was, as far as there is such a thing in what is shown now.
function show(part, text) {
  troubles.delete(part);
  delete part.dataset.trouble;
  if (part.shown === text) {
    return;
  }
  const focused = [...part.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  part.innerHTML = part.shown = text;
  if (focused >= 0) {
    part.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
  }
}

const asking = new Map(); // by part

// Of two requests for the same part, the later one counts.
async function load(part, address) {
  asking.get(part)?.abort();
  const request = new AbortController();
  asking.set(part, request);
  let status = 0;
  let text = "";
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html", "X-Requested-With": "script" }, signal: request.signal });
    text = await answer.text();
    status = answer.status;
  } catch {
    if (request.signal.aborted) {
      return;
    }
  }
  asking.delete(part);
  part.removeAttribute("aria-busy");
  if (status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  } else if (status >= 200 && status < 300) {
    show(part, text);
  } else {
    showTrouble(part, reasonOf(status, text));
  }
  showTroubles();
}

// Some parts show the time of the page's slider, whose field is empty where it follows the last known time.
const momentOf = (part) => ("tracks" in part.dataset ? document.getElementById("at").value : "");

function loadPart(part) {
  const moment = momentOf(part);
  return load(part, moment ? `${part.dataset.part}?at=${encodeURIComponent(moment)}` : part.dataset.part);
}

for (const part of document.querySelectorAll("[data-part]")) {
  loadPart(part);
  if (part.dataset.every) {
    // What was shown of the past does not change.
    setInterval(() => asking.has(part) || momentOf(part) || loadPart(part), 1000 * part.dataset.every);
  }
}

document.addEventListener("at", () => document.querySelectorAll("[data-tracks]").forEach(loadPart));

for (const search of document.querySelectorAll("input[data-found]")) {
  let pause = null;
  search.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => {
      const address = new URL(search.form.action);
      address.searchParams.set(search.name, search.value);
      history.replaceState(null, "", address);
      load(document.getElementById(search.dataset.found), address);
    }, SEARCH_PAUSE_MS);
  });
}
