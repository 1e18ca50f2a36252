// The way in: an API key for a session.

import { html, type TemplateResult } from "lit";
import { call, messageOf } from "./api.ts";
import type { Session } from "./api-types.ts";
import { icon } from "./icons.ts";
import { failure } from "./parts.ts";
import { View } from "./view.ts";

class SignIn extends View {
  #failure: string | undefined;
  #isBusy = false;

  protected override render(): TemplateResult {
    return html`<main class="sign-in" id="main">
      <form class="card" @submit=${(event: SubmitEvent) => void this.#submit(event)}>
        <p class="brand"><img src=${iconUrl()} alt="" width="36" height="36" /> keyswap</p>
        <h1>Sign in</h1>
        <p class="lead">See which secrets exist and where they may go, and what happened on the wire.</p>
        <label for="api-key">API key</label>
        <input id="api-key" name="apiKey" type="password" required autocomplete="current-password" spellcheck="false" autofocus
          aria-describedby="api-key-help" />
        <p class="help" id="api-key-help">The first one is in the file <code>api-key</code> of keyswap's data folder,
          <code>~/.keyswap</code> by default. It is kept in no page: a cookie that scripts cannot read stands for it.</p>
        ${failure(this.#failure)}
        <button class="primary wide" ?disabled=${this.#isBusy}>${icon("secrets")} Sign in</button>
      </form>
    </main>`;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const input = this.querySelector("input")!; // rendered above
    this.#isBusy = true;
    this.requestUpdate();
    try {
      const session = await call<Session>("POST", "/session", { apiKey: input.value });
      input.value = "";
      this.dispatchEvent(new CustomEvent("signed-in", { detail: session }));
    } catch (error) {
      this.#failure = messageOf(error) === "Invalid credentials" ? "No API key is like this one." : messageOf(error);
      input.select();
    }
    this.#isBusy = false;
    this.requestUpdate();
  }
}

customElements.define("ks-sign-in", SignIn);

export function iconUrl(): string {
  return new URL("./icon.svg", import.meta.url).pathname;
}
