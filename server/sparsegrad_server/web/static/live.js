// A page that moves: filled in by server-sent events, and honest about a connection that was lost.

import { announce } from "./page.js";

const SILENCE = 16000; // milliseconds: the server says something every five seconds
const FIRST_REST = 1000;
const LONGEST_REST = 15000;
const WORDS = {
  live: "Live",
  lost: "Connection lost. What you see is from before; trying again…",
  full: "Too many live pages are open in this browser. Close one; trying again…",
  out: "You are signed out. Load this page again to sign in.",
  ended: "Complete",
  failed: "Nothing more happens by itself",
};

const ENDS = ["ended", "failed"];

function each(name, act) {
  for (const element of document.querySelectorAll(`[data-${name}]`)) act(element);
}

/** Puts a number of things into the page, by the names that its elements bear. */
export function fill(live) {
  each("text", (element) => {
    const text = live.texts[element.dataset.text];
    if (text !== undefined && element.textContent !== text) element.textContent = text;
  });
  each("bar", (element) => {
    const bar = live.bars[element.dataset.bar];
    if (!bar) return element.removeAttribute("value");
    element.max = Math.max(1, bar[1]);
    element.value = bar[0];
  });
  each("state-of", (element) => {
    const state = live.states[element.dataset.stateOf];
    if (state === undefined) return;
    element.dataset.state = state;
    if (state === "current") element.setAttribute("aria-current", "step");
    else element.removeAttribute("aria-current");
  });
  each("shown", (element) => {
    const shown = live.shown[element.dataset.shown];
    if (shown !== undefined) element.hidden = !shown;
  });
  each("link", (element) => {
    const link = live.links[element.dataset.link];
    if (link !== undefined) element.setAttribute("href", link);
  });
}

/**
 * Follows what the page shows, until it has ended.
 *
 * @param address makes the stream's address, anew for each connection.
 * @param onState called with each event, after the page was filled in.
 */
export function follow(address, onState = () => {}) {
  const shown = document.getElementById("connection");
  let source = null;
  let silence = 0;
  let waiting = 0;
  let rest = FIRST_REST;
  let said = null;
  let state = null;
  let failed = false;

  function show(next) {
    if (next === state) return;
    // Not said on the way in: only what changes is news; and of the end the page itself tells.
    if (state !== null && !ENDS.includes(next)) announce(next === "live" ? "Connected again" : WORDS[next]);
    state = next;
    shown.hidden = false;
    shown.dataset.state = next === "full" || next === "out" ? "lost" : next;
    shown.textContent = WORDS[next];
  }

  function close() {
    clearTimeout(silence);
    clearTimeout(waiting);
    source?.close();
    source = null;
  }

  function lose(why = "lost") {
    close();
    show(why);
    if (why === "out") return;
    waiting = setTimeout(open, rest);
    rest = Math.min(2 * rest, LONGEST_REST);
  }

  // An event source does not tell why it was refused: a plain request does.
  async function ask() {
    close();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "application/json" } });
      return lose(answer.status === 401 ? "out" : answer.ok ? "full" : "lost");
    } catch {
      return lose();
    }
  }

  function hear() {
    clearTimeout(silence);
    silence = setTimeout(lose, SILENCE);
  }

  function open() {
    close();
    source = new EventSource(address());
    hear();
    source.addEventListener("state", (event) => {
      hear();
      rest = FIRST_REST;
      show("live");
      const live = JSON.parse(event.data);
      failed = Object.values(live.states).includes("failed");
      fill(live);
      onState(live);
      if (said !== null && live.said !== said && live.said) announce(live.said);
      said = live.said;
    });
    source.addEventListener("end", () => {
      close();
      show(failed ? "failed" : "ended");
    });
    source.onerror = () => {
      // Cut off: the browser comes again by itself, after a second. Refused: it does not.
      if (source?.readyState === EventSource.CLOSED) ask();
      else show("lost");
    };
  }

  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (event.persisted) open(); // back from the browser's own store of pages
  });
  open();
}
