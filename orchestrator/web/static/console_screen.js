// A screen by VNC. Clipboards and titles that the machine offers are not taken.

import RFB from "./vendor/novnc/core/rfb.js";
import KeyTable from "./vendor/novnc/core/input/keysym.js";
import keysyms from "./vendor/novnc/core/input/keysymdef.js";

const SHIFTED = /[A-Z~!@#$%^&*()_+{}|:"<>?]/; // on the keyboard that QEMU has: a US one
const KEYS = { "\n": KeyTable.XK_Return, "\t": KeyTable.XK_Tab };

export function show(place, socket) {
  const screen = new RFB(place, socket, { shared: true });
  screen.scaleViewport = true;
  screen.focusOnClick = true;
  screen.background = "#000";

  const type = (letter) => {
    const key = KEYS[letter] ?? keysyms.lookup(letter.codePointAt(0));
    if (!key) return;
    const shifted = SHIFTED.test(letter);
    if (shifted) screen.sendKey(KeyTable.XK_Shift_L, "ShiftLeft", true);
    screen.sendKey(key, null);
    if (shifted) screen.sendKey(KeyTable.XK_Shift_L, "ShiftLeft", false);
  };

  return {
    focus: () => screen.focus(),
    paste: (text) => [...text.replace(/\r\n?/g, "\n")].forEach(type),
    ctrlAltDel: () => screen.sendCtrlAltDel(),
    end: () => {},
  };
}
