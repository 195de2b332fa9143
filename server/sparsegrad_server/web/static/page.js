// What every page does: copy buttons, and a word when the server does not answer.

const announcer = document.getElementById("announcer");
const notice = document.getElementById("notice");

/** Has screen readers say something. */
export function announce(text) {
  announcer.textContent = "";
  requestAnimationFrame(() => {
    announcer.textContent = text;
  });
}

/** Shows a message at the top of the page, or none. */
export function showNotice(text) {
  notice.textContent = text ?? "";
  notice.hidden = !text;
}

/** Puts text into the clipboard; false when the browser does not allow it. */
async function copy(element) {
  const text = element.textContent;
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed: the old way below may be.
    }
  }
  // Without TLS browsers have no clipboard but this old one.
  const selection = getSelection();
  selection.selectAllChildren(element);
  const copied = document.execCommand("copy");
  if (copied) selection.removeAllRanges();
  return copied;
}

function showCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const copied = await copy(document.getElementById(button.dataset.copy));
  button.textContent = copied ? "Copied" : "Press Ctrl+C";
  announce(copied ? "Copied" : "The text is selected: press Control and C");
  setTimeout(() => {
    button.textContent = "Copy";
  }, 2000);
});

document.addEventListener("htmx:responseError", (event) => {
  let said = "";
  try {
    said = JSON.parse(event.detail.xhr.responseText).detail;
  } catch {
    // No problem in JSON: the status has to do.
  }
  showNotice(said || `The server answered ${event.detail.xhr.status}. Load the page again.`);
});
document.addEventListener("htmx:sendError", () => {
  showNotice("The server does not answer. What you see is from before; try again in a moment.");
});
// A form that is checked while somebody types is answered 422, and shows what is wrong.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status !== 422) return;
  if (!event.detail.xhr.getResponseHeader("Content-Type")?.startsWith("text/html")) return;
  event.detail.shouldSwap = true;
  event.detail.isError = false;
});
document.addEventListener("htmx:afterSettle", () => {
  showNotice(null);
  showCopyButtons();
  for (const error of document.querySelectorAll("[id^='error-']")) {
    const field = document.getElementById(error.id.replace("error-", "field-"));
    if (error.textContent.trim()) field?.setAttribute("aria-invalid", "true");
    else field?.removeAttribute("aria-invalid");
  }
});
showCopyButtons();
