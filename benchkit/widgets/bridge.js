// What a page can do and a kernel cannot: say that it is still there, open a file, and copy a text.
function config() {
  try {
    return JSON.parse(document.getElementById("jupyter-config-data").textContent);
  } catch {
    return {};
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that are not served securely have no clipboard of their own.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function render({ model, el }) {
  el.style.display = "none";
  const say = (what) => model.send({ event: what, root: config().serverRoot || "", base: config().baseUrl || "/" });
  const listen = async (message) => {
    if (message.do === "open") {
      window.open(message.url, "_blank", "noopener");
    } else if (message.do === "copy") {
      say((await copy(message.text)) ? "copied" : "not_copied");
    }
  };
  model.on("msg:custom", listen);
  const beat = setInterval(() => say("here"), 5000);
  say("here");
  return () => {
    clearInterval(beat);
    model.off("msg:custom", listen);
    say("gone");
  };
}

export default { render };
