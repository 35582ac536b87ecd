"""Texts of strangers on the demo page, and requests that its policy refuses. Used by demo.py."""

import json

from report import Failure

EVIL = "<img src=x onerror=globalThis.hacked=1>"
SCRIPT = "<script>globalThis.hacked=1</script>"


def texts(path, one, two):
    """Names, lines of chat and names of files that are HTML are shown as they are, and run nothing."""
    one.evaluate(f"document.getElementById('name').value = {json.dumps(EVIL)}")
    try:
        for mode in ("live", "data"):
            _meet(path, mode, one, two)
            if mode == "data":
                one.evaluate("demo.room.panels.peers[0].transfer.send("
                             f"new File(['x'], {json.dumps(EVIL)}, {{type: 'text/html'}}))")
                two.until("document.querySelectorAll('#files li').length === 1")
                if EVIL not in two.text("files"):
                    raise Failure("the name of the file is not shown as it is")
            one.write(EVIL + SCRIPT)
            two.until_read(SCRIPT)
            if EVIL not in two.evaluate("document.getElementById('view-room').innerText"):
                raise Failure("the name is not shown as it is")
            made = two.evaluate("document.querySelectorAll('#view-room img, #view-room script').length")
            if made or two.evaluate("globalThis.hacked"):
                raise Failure(f"{mode}: {made} elements were made of texts")
    finally:
        one.evaluate("demo.room.hangUp(); document.getElementById('name').value = 'Ann'")
        two.evaluate("demo.room.hangUp()")


def _meet(path, mode, one, two):
    """Both enter the room and see each other."""
    for tab in (one, two):
        tab.set(mode, path, "test")
    one.click("start")
    one.until_in_room()
    two.click("watch" if mode == "live" else "start")
    two.arrived(path)
    if mode == "data":
        one.until("demo.room.panels.peers[0]?.channel.readyState === 'open'")


def policy(tab):
    """A script of a text, another server, and a frame are refused, even if a text became HTML."""
    seen = json.loads(tab.evaluate("""(async () => {
      const seen = [];
      document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
      const script = document.createElement("script");
      script.textContent = "globalThis.hacked = 1";
      document.body.append(script);
      await fetch("http://127.0.0.2:1/").catch(() => {});
      const image = new Image();
      image.src = "http://127.0.0.2:1/x";
      const frame = document.createElement("iframe");
      frame.src = "data:text/html,x";
      document.body.append(frame);
      await new Promise((resolve) => setTimeout(resolve, 300));
      script.remove();
      frame.remove();
      return JSON.stringify([...new Set(seen)].sort());
    })()"""))
    if seen != ["connect-src", "frame-src", "img-src", "script-src-elem"]:
        raise Failure(f"the policy has refused only {seen}")
    if tab.evaluate("globalThis.hacked"):
        raise Failure("a script of a text ran")
    return {"refused": seen}
