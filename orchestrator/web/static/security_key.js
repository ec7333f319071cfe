// Security keys (WebAuthn): asks the browser, puts the answer into the form's field `key`, and sends the form.

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const written = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const named = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

async function created(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: named(options.excludeCredentials),
    },
  });
  const { clientDataJSON, attestationObject } = made.response;
  return [made, { clientDataJSON: written(clientDataJSON), attestationObject: written(attestationObject) }];
}

async function got(options) {
  const shown = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      allowCredentials: named(options.allowCredentials),
    },
  });
  const { clientDataJSON, authenticatorData, signature } = shown.response;
  return [
    shown,
    {
      clientDataJSON: written(clientDataJSON),
      authenticatorData: written(authenticatorData),
      signature: written(signature),
    },
  ];
}

for (const form of document.querySelectorAll("form[data-security-key]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const alert = form.querySelector("[role=alert]");
    alert.hidden = true;
    try {
      const options = JSON.parse(form.dataset.options);
      const [key, response] = await (form.dataset.securityKey === "create" ? created(options) : got(options));
      form.elements.key.value = JSON.stringify({ id: key.id, rawId: written(key.rawId), type: key.type, response });
      form.submit();
    } catch {
      alert.hidden = false;
    }
  });
  form.querySelector("button").disabled = false; // sent before now, the form would have no answer of a key in it
}
