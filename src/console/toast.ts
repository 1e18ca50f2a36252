// Short notices, read out to screen readers and gone after a while. What needs an answer is a dialog instead.

import { html, type TemplateResult } from "lit";
import { View } from "./view.ts";

const SHOWN_MS = 5_000;

class Toasts extends View {
  #notices: readonly { readonly id: number; readonly text: string; readonly isError: boolean }[] = [];
  #id = 0;

  show(text: string, isError: boolean): void {
    const id = ++this.#id;
    this.#notices = [...this.#notices.slice(-2), { id, text, isError }];
    this.requestUpdate();
    setTimeout(() => {
      this.#notices = this.#notices.filter((notice) => notice.id !== id);
      this.requestUpdate();
    }, SHOWN_MS);
  }

  protected override render(): TemplateResult {
    return html`<div class="toasts" role="status" aria-live="polite">
      ${this.#notices.map(({ text, isError }) => html`<p class="toast ${isError ? "is-error" : ""}">${text}</p>`)}
    </div>`;
  }
}

customElements.define("ks-toasts", Toasts);

export function notify(text: string, isError = false): void {
  document.querySelector<Toasts>("ks-toasts")?.show(text, isError);
}

export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notify(`${what} copied`);
  } catch {
    notify(`The browser did not let ${what.toLowerCase()} be copied`, true);
  }
}
