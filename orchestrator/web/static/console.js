// The console of one machine: a ticket for one use, then a WebSocket. What the machine says is only ever drawn.

const here = (id) => document.getElementById(id);
const page = here("console");
const form = here("console-form");
const place = here("console-place");
const kinds = here("console-kinds");
const words = (name) => page.querySelector(`[data-word="${name}"]`)?.textContent;
const whileOpen = ["console-paste", "console-full", "console-close"];
const LARGEST = 16 * 1024;

let socket = null;
let shown = null;
let kindShown = "";

function say(text) {
  here("console-status").textContent = text;
}

function look(open) {
  here("console-open").hidden = open;
  for (const id of whileOpen) here(id).hidden = !open;
  here("console-del").hidden = !open || kindShown !== "screen";
  for (const button of kinds.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(open && button.dataset.kind === kindShown));
  }
}

async function ticket(kind) {
  const body = new URLSearchParams(new FormData(form));
  if (kind) body.set("kind", kind);
  const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
  const type = answer.headers.get("content-type") || "";
  if (!type.startsWith("application/json")) throw new Error(words("signed-out"));
  const given = await answer.json();
  if (!answer.ok) throw new Error(given.refused || words("unreachable"));
  return given;
}

async function open(kind, note) {
  close();
  say(words("opening"));
  let given;
  try {
    given = await ticket(kind);
  } catch (error) {
    say(error instanceof TypeError ? words("unreachable") : error.message);
    look(false);
    return;
  }
  // What shows it has to be there before the first byte comes.
  const module = await import(given.kind === "serial" ? "./console_terminal.js" : "./console_screen.js");
  kindShown = given.kind;
  kinds.hidden = given.kinds.length < 2;
  const address = new URL(page.dataset.socket, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const mine = new WebSocket(address, ["binary", `ticket.${given.ticket}`]);
  mine.binaryType = "arraybuffer";
  socket = mine;
  look(true);
  mine.addEventListener("message", () => say(note || words("opened")), { once: true });
  mine.addEventListener("close", (event) => {
    if (socket !== mine) return;
    socket = null;
    if (event.code === 4001 && kindShown === "serial") {
      open("screen", words("fallback"));
      return;
    }
    say(words(String(event.code)) || (event.wasClean ? words("closed") : words("unreachable")));
    look(false);
    here("console-open").focus();
  });
  place.replaceChildren();
  shown = module.show(place, mine, LARGEST);
  shown.focus();
}

function close() {
  const was = socket;
  socket = null;
  was?.close(1000);
  shown?.end();
  shown = null;
  look(false);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  open("");
});
kinds.addEventListener("click", (event) => {
  const kind = event.target.dataset?.kind;
  if (kind) open(kind);
});
here("console-close").addEventListener("click", () => {
  close();
  say(words("closed"));
  here("console-open").focus();
});
here("console-del").addEventListener("click", () => {
  shown?.ctrlAltDel?.();
  shown?.focus();
});
here("console-full").addEventListener("click", async () => {
  await place.requestFullscreen?.();
  shown?.focus();
});
here("console-paste").addEventListener("click", () => here("console-text").showModal());
here("console-text").addEventListener("close", () => {
  const typed = here("console-typed");
  if (here("console-text").returnValue === "type") shown?.paste(typed.value);
  typed.value = "";
  shown?.focus();
});
// Tab and Escape belong to the machine: this gives the keyboard back to the page.
place.addEventListener(
  "keydown",
  (event) => {
    if (!(event.ctrlKey && event.shiftKey && event.key === "F6")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    here("console-close").focus();
  },
  true,
);
addEventListener("pagehide", close);
