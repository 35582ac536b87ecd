// Requests of both pages to the server, and the dialog for the server's token.

import { element } from "./words.js";

const tokenKey = "turnpike-token";

/** The token that was given in this tab; null without one. */
export const token = () => sessionStorage.getItem(tokenKey);

/** The server's refusal, with its HTTP status. */
class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Requests a document from the server; returns null for an answer without content, and throws a refusal. */
export async function ask(url, headers = {}, method = "GET") {
  const answer = await fetch(url, { method, headers, cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (answer.status === 204) return null;
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, document.error || `HTTP status ${answer.status}`);
  return document;
}

/** The header that carries the token, if there is one. */
export const bearer = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/** The dialog in which a person enters the token. */
export class TokenDialog {
  /** `about`: strings and elements that explain the token's purpose; `action`: the text of the button. */
  constructor(about, action) {
    this.input = element("input", "",
      { id: "token", type: "password", autocomplete: "current-password", required: "" });
    this.problem = element("p", "", { id: "token-problem", class: "problem", role: "alert", hidden: "" });
    const text = element("p");
    text.append(...about);
    const label = element("label");
    label.append(element("span", "Token", { class: "hidden" }), " ", this.input);
    const buttons = element("div", "", { class: "buttons" });
    buttons.append(element("button", action, { class: "primary", value: "ok" }));
    const form = element("form", "", { method: "dialog" });
    form.append(element("h2", "Token", { id: "token-title" }), text, label, this.problem, buttons);
    this.dialog = element("dialog", "", { id: "token-dialog", "aria-labelledby": "token-title" });
    this.dialog.append(form);
    document.body.append(this.dialog);
  }

  /** Asks for the token; resolves when one is given. */
  ask(problem) {
    this.problem.textContent = problem;
    this.problem.hidden = !problem;
    this.input.value = "";
    if (!this.dialog.open) this.dialog.showModal();
    return new Promise((resolve) => {
      this.dialog.addEventListener("close", () => {
        const value = this.input.value.trim();
        if (value) sessionStorage.setItem(tokenKey, value);
        resolve();
      }, { once: true });
    });
  }
}
