// Keeps the page fresh: events say that something changed, and the parts that differ are put in place, so that
// focus, folds and what is typed stay. Text from events is set as text, never as markup.
"use strict";
const KEPT = 200;
const PATIENCE = 4000;
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const list = document.getElementById("events");
const none = document.getElementById("no-events");
let due = 0, last = 0, busy = false, heard = Date.now(), stream = null;
document.documentElement.classList.add("js");

const key = (node) => node.nodeType === 1 ? node.dataset.key || node.id : "";

function morph(was, now) {
  for (const { name } of [...was.attributes]) if (name !== "open" && !now.hasAttribute(name)) was.removeAttribute(name);
  for (const { name, value } of now.attributes) {
    if (name !== "open" && was.getAttribute(name) !== value) was.setAttribute(name, value);
  }
  const keyed = new Map([...was.children].filter(key).reverse().map((child) => [key(child), child]));
  let at = was.firstChild;
  for (const next of [...now.childNodes]) {
    let same = key(next) ? keyed.get(key(next)) : at && !key(at) && at.nodeName === next.nodeName ? at : null;
    keyed.delete(key(next)); // of several with one key each is one
    if (same && same.nodeName !== next.nodeName) same = null;
    if (!same) { was.insertBefore(document.importNode(next, true), at); continue; }
    if (same === at) at = at.nextSibling; else was.insertBefore(same, at);
    if (same.nodeType === 1) morph(same, next);
    else if (same.data !== next.data) same.data = next.data;
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

function put(fresh) {
  const focused = document.activeElement;
  const parts = [...fresh.querySelectorAll("section[data-live]")];
  for (const next of parts) {
    const part = document.getElementById(next.id);
    if (part) morph(part, next);
    else {
      const before = next.previousElementSibling && document.getElementById(next.previousElementSibling.id);
      if (before) before.after(document.importNode(next, true));
    }
  }
  const ids = new Set(parts.map((part) => part.id));
  for (const part of document.querySelectorAll("section[data-live]")) if (!ids.has(part.id)) part.remove();
  document.title = fresh.title;
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus();
}

function span(ms) {
  for (const [size, unit] of [[3600000, "h"], [60000, "min"]]) if (ms >= size) return Math.round(ms / size) + " " + unit;
  return Math.round(ms / 1000) + " s";
}

function found() {
  heard = Date.now();
  lost.hidden = true;
  document.body.classList.remove("lost");
}

function mourn() {
  const since = new Date(heard);
  const said = `This server has not answered since ${since.toLocaleTimeString()}, ${span(Date.now() - heard)} ago. ` +
    "What stands below is what it said last, and may be wrong by now.";
  if (!lost.hidden && lost.textContent === said) return;
  lost.textContent = said;
  lost.hidden = false;
  live.textContent = "Not answering";
  document.body.classList.add("lost");
  if (!document.title.startsWith("(lost) ")) document.title = "(lost) " + document.title;
}

async function refresh() {
  if (busy) { soon(); return; }
  busy = true;
  last = Date.now();
  try {
    const reply = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!reply.ok && reply.status !== 503) throw new Error(String(reply.status));
    if (reply.ok) put(new DOMParser().parseFromString(await reply.text(), "text/html"));
    found();
    if (stream.readyState === 1) live.textContent = "Live";
    else if (stream.readyState === 2) follow();
  } catch {
    mourn();
  }
  busy = false;
}

function soon() {
  if (due) return;
  due = setTimeout(() => { due = 0; refresh(); }, Math.max(100, 1000 - (Date.now() - last)));
}

// One clock for the whole page: how long ago, and the moment itself for whoever points at it.
function since(time) {
  return span(Math.max(0, Date.now() - new Date(time.dateTime))) + " ago";
}

// As the rest of the page is made: a mark of direction would turn around what stands beside it.
function plain(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => {
    const code = c.codePointAt(0).toString(16);
    const [mark, digits] = code.length > 4 ? ["U", 8] : code.length > 2 ? ["u", 4] : ["x", 2];
    return "\\" + mark + code.padStart(digits, "0");
  });
}

function show(event) {
  const item = document.createElement("li");
  const at = document.createElement("time");
  at.dateTime = event.at;
  at.title = event.at;
  at.textContent = since(at);
  const who = event.instance ? event.service + "/" + event.instance : event.service;
  const what = [event.change];
  if (event.was && event.state && event.was !== event.state) what.push(event.was + " → " + event.state);
  else if (event.state) what.push(event.state);
  if (event.reason) what.push(event.reason);
  if (event.weight !== undefined) what.push("weight " + event.weight);
  item.append(at, plain(who + ": " + what.join(", ")));
  item.className = "fresh";
  list.prepend(item);
  while (list.children.length > KEPT) list.lastChild.remove();
  none.hidden = true;
}

function follow() {
  stream = new EventSource("/api/v1/events");
  stream.addEventListener("open", () => { live.textContent = "Live"; refresh(); });
  stream.addEventListener("error", () => { live.textContent = "Connecting…"; soon(); });
  stream.addEventListener("change", (message) => { show(JSON.parse(message.data)); soon(); });
}

async function copy(button) {
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP there is no clipboard: what is marked can be copied by hand.
    getSelection().selectAllChildren(button.previousElementSibling);
    if (!document.execCommand("copy")) return;
  }
  live.textContent = "Copied: " + text;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(button);
});

follow();
setInterval(() => {
  if (document.hidden) return;
  for (const time of list.querySelectorAll("time")) time.textContent = since(time);
  if (!lost.hidden) mourn();
  soon();
}, 5000);
