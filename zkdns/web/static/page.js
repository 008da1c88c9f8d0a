// Keeps the page fresh: events say that something changed, and the sections are fetched again.
// Text from events is set as text, never as markup.
"use strict";
const KEPT = 200;
const live = document.getElementById("live");
const list = document.getElementById("events");
const none = document.getElementById("no-events");
let due = 0, last = 0, busy = false;

async function refresh() {
  if (busy) { soon(); return; }
  busy = true;
  last = Date.now();
  try {
    const reply = await fetch(location.href, { cache: "no-store" });
    if (!reply.ok) throw new Error(String(reply.status));
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const part of document.querySelectorAll("section[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next || next.innerHTML === part.innerHTML) continue;
      const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      part.innerHTML = next.innerHTML;
      part.className = next.className;
      if (focused) {
        for (const link of part.querySelectorAll("a")) if (link.getAttribute("href") === focused) link.focus();
      }
    }
  } catch {
    live.textContent = "The server does not answer; this is what it said last.";
  }
  busy = false;
}

function soon() {
  if (due) return;
  due = setTimeout(() => { due = 0; refresh(); }, Math.max(100, 1000 - (Date.now() - last)));
}

function show(event) {
  const item = document.createElement("li");
  const at = document.createElement("time");
  at.dateTime = event.at;
  at.textContent = new Date(event.at).toLocaleTimeString();
  const who = event.instance ? event.service + "/" + event.instance : event.service;
  const what = [event.change];
  if (event.was && event.state && event.was !== event.state) what.push(event.was + " → " + event.state);
  else if (event.state) what.push(event.state);
  if (event.reason) what.push(event.reason);
  if (event.weight !== undefined) what.push("weight " + event.weight);
  item.append(at, who + ": " + what.join(", "));
  item.className = "fresh";
  list.prepend(item);
  while (list.children.length > KEPT) list.lastChild.remove();
  none.hidden = true;
}

const stream = new EventSource("/api/v1/events");
stream.addEventListener("open", () => { live.textContent = "Live"; refresh(); });
stream.addEventListener("error", () => { live.textContent = "Connecting…"; });
stream.addEventListener("change", (message) => { show(JSON.parse(message.data)); soon(); });
setInterval(() => { if (!document.hidden) soon(); }, 5000);
