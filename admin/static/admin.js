// What the pages need beside htmx: the key for searching, and saying so when the service does not answer.
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

function trouble(isThere) {
  document.getElementById("trouble").hidden = !isThere;
}

document.addEventListener("htmx:afterRequest", (event) => {
  trouble(!event.detail.successful);
  event.detail.target.removeAttribute("aria-busy");
  if (event.detail.xhr.status === 401) {
    location.assign("/login");
  }
});
