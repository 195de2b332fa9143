// One job as it goes on: its numbers, and what it says, line by line.

import { follow } from "./live.js";

const log = document.getElementById("log");
const list = log.querySelector("ol");
const known = () => Number(list.lastElementChild?.dataset.number ?? 0);

function entry({ number, at, time, level, text }) {
  const item = document.createElement("li");
  item.dataset.number = number;
  item.dataset.level = level;
  const when = document.createElement("time");
  when.dateTime = at;
  when.textContent = time;
  const said = document.createElement("span");
  said.textContent = level === "info" ? text : `${level}: ${text}`;
  item.append(when, said);
  return item;
}

/** Adds lines, and stays at the end for who was there. */
function add(lines) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
  const last = known();
  // An event may come twice: after a connection was lost, the lines from before are asked for.
  list.append(...lines.filter((line) => line.number > last).map(entry));
  if (atEnd) log.scrollTop = log.scrollHeight;
}

log.scrollTop = log.scrollHeight;
const { follow: address } = log.dataset;
if (address) follow(() => `${address}?after=${known()}`, (live) => add(live.lines));
