// What the pages need beside htmx: the key for searching, and saying why there is no answer.
"use strict";

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

// The reason that the service gives, as application/problem+json has it.
function reasonOf(request) {
  if (request.status === 0) {
    return "The service does not answer: what you see is old.";
  }
  try {
    return JSON.parse(request.responseText).detail;
  } catch {
    return `The service answers with error ${request.status}: what you see is old.`;
  }
}

// By the part of the page that has it: one that is answered does not hide why another is not.
const troubles = new Map();

function showTroubles() {
  const banner = document.getElementById("trouble");
  banner.hidden = troubles.size === 0;
  banner.textContent = [...new Set(troubles.values())].join(" ");
}

document.addEventListener("htmx:afterRequest", (event) => {
  const { successful, target, xhr } = event.detail;
  target.removeAttribute("aria-busy");
  if (xhr.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    return;
  }
  if (successful) {
    troubles.delete(target);
    delete target.dataset.trouble;
  } else {
    troubles.set(target, reasonOf(xhr));
    // What was shown before stays below the reason: it is old, and not gone.
    const waiting = target.querySelector(":scope > .waiting");
    if (waiting) {
      waiting.textContent = troubles.get(target);
      waiting.classList.add("bad");
    } else {
      target.dataset.trouble = troubles.get(target);
    }
  }
  showTroubles();
});
