// A serial port as a terminal. Links, titles and clipboards that the machine asks for are left undone.

// The terminal makes style sheets of its own, and styles in attributes, which the page's policy refuses. The same by the
// interfaces that it allows: the only page that has a terminal is this one.
const create = document.createElement.bind(document);
document.createElement = (name, options) => {
  if (name === "style") return styleSheet();
  const element = create(name, options);
  if (name === "span") {
    const set = element.setAttribute.bind(element);
    element.setAttribute = (key, value) => {
      if (key === "style") element.style.cssText = value;
      else set(key, value);
    };
  }
  return element;
};

function styleSheet() {
  const element = create("i");
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  element.hidden = true;
  Object.defineProperty(element, "textContent", {
    get: () => "",
    set: (text) => sheet.replaceSync(text),
  });
  return element;
}

const { Terminal } = await import("./vendor/xterm/xterm.mjs");
const { FitAddon } = await import("./vendor/xterm-addon-fit/addon-fit.mjs");

export function show(place, socket, largest) {
  const terminal = new Terminal({
    allowProposedApi: false,
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    fontSize: 14,
    linkHandler: { activate: () => {} },
    scrollback: 5000,
    screenReaderMode: true,
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);

  const send = (bytes) => {
    for (let at = 0; at < bytes.length; at += largest) {
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes.subarray(at, at + largest));
    }
  };
  const tellSize = () => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify([terminal.cols, terminal.rows]));
  };
  const encoder = new TextEncoder();
  terminal.onData((text) => send(encoder.encode(text)));
  terminal.onBinary((text) => send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  terminal.onResize(tellSize);
  socket.addEventListener("message", (event) => {
    if (event.data instanceof ArrayBuffer) terminal.write(new Uint8Array(event.data));
  });
  const watch = new ResizeObserver(() => fit.fit());
  watch.observe(place);
  fit.fit();
  if (socket.readyState === WebSocket.OPEN) tellSize();
  else socket.addEventListener("open", tellSize);

  return {
    focus: () => terminal.focus(),
    paste: (text) => terminal.paste(text),
    end: () => watch.disconnect(), // what was shown last stays to be read
  };
}
