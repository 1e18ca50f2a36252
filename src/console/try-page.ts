// Would this request be substituted? The proxy's own decisions on a request that is described and not sent.

import { html, nothing, type TemplateResult } from "lit";
import { call, messageOf, queryOf } from "./api.ts";
import type { Explanation, Page, Sandbox, Secret, Session } from "./api-types.ts";
import { icon } from "./icons.ts";
import { failure, fieldsOf } from "./parts.ts";
import { View } from "./view.ts";

const titles: Readonly<Record<Explanation["outcome"], string>> = {
  substituted: "Yes, it is substituted",
  partly: "Only in part",
  withheld: "No, it goes out unchanged",
  blocked: "No, the request is refused",
  denied: "No, the host may not be reached",
  tunnelled: "No, the connection is not opened up",
  nothing: "There is nothing to substitute",
};

const surfaceWords: Readonly<Record<string, string>> = {
  header: "a header",
  basic: "Basic credentials",
  path: "the path",
  query: "the query",
  body: "the body",
  base64: "Base64 in the body",
};

class TryPage extends View {
  static override properties = { session: { attribute: false } };
  declare session: Session;

  #answer: Explanation | undefined;
  #failure: string | undefined;
  #isBusy = false;
  #sandboxes: readonly Sandbox[] = [];
  #secrets: readonly Secret[] = [];

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#suggest();
  }

  protected override render(): TemplateResult {
    return html`<div class="page"><div class="page-head"><div><h1>Try it</h1>
        <p class="lead">Would this request be substituted? Nothing is sent.</p></div></div>
      <div class="two">
        <form class="card" @submit=${(event: SubmitEvent) => void this.#ask(event)}>
          <datalist id="try-sandboxes">${this.#sandboxes.map(({ id, name }) => html`<option value=${name}>${id}</option>`)}</datalist>
          <datalist id="try-secrets">${this.#secrets.map(({ name }) => html`<option value=${name}></option>`)}</datalist>
          <div class="pair">
            <div><label for="try-sandbox">Sandbox <span class="faint">name or id</span></label>
              <input id="try-sandbox" name="sandbox" list="try-sandboxes" autocomplete="off" spellcheck="false" /></div>
            <div><label for="try-secret">or a secret by itself</label>
              <input id="try-secret" name="secret" list="try-secrets" autocomplete="off" spellcheck="false" /></div>
          </div>
          <div class="pair is-narrow">
            <div><label for="try-method">Method</label>
              <select id="try-method" name="method">${["GET", "POST", "PUT", "PATCH", "DELETE"].map((method) => html`<option>${method}</option>`)}</select></div>
            <div><label for="try-url">URL</label>
              <input id="try-url" name="url" required placeholder="https://api.openai.com/v1/models" autocomplete="off" spellcheck="false" /></div>
          </div>
          <label for="try-headers">Headers <span class="faint">one a line</span></label>
          <textarea id="try-headers" name="headers" rows="3" spellcheck="false" placeholder="Authorization: Bearer $OPENAI_API_KEY" aria-describedby="try-help"></textarea>
          <label for="try-body">Body <span class="faint">optional</span></label>
          <textarea id="try-body" name="body" rows="4" spellcheck="false"></textarea>
          <p class="help" id="try-help"><code>$NAME</code> stands for the placeholder of the sandbox's variable, as in a shell. Without any placeholder, a
            secret by itself is tried as a Bearer token.</p>
          ${failure(this.#failure)}
          <button class="primary" ?disabled=${this.#isBusy}>${icon("try")} Explain</button>
        </form>
        <section class="card result" aria-live="polite" aria-label="Explanation">${this.#answer === undefined ? this.#renderEmpty() : this.#renderAnswer(this.#answer)}</section>
      </div></div>`;
  }

  #renderEmpty(): TemplateResult {
    return html`<div class="empty is-small">${icon("try")}<h2>The proxy's own decision</h2>
      <p>Whether the host may be reached, whether the connection is opened up, and for each placeholder whether the value is written, or which rule says no.</p></div>`;
  }

  #renderAnswer(answer: Explanation): TemplateResult {
    return html`<h2 class="verdict is-${answer.outcome}">${titles[answer.outcome]}</h2>
      <p>${answer.summary}</p>
      <dl class="facts is-wide"><div><dt>Destination</dt><dd>${answer.authority}</dd></div>
        <div><dt>Connection</dt><dd>${answer.connection.explain}</dd></div></dl>
      ${
        answer.substituted.length + answer.notSubstituted.length === 0
          ? nothing
          : html`<h3>Placeholders</h3><ul class="decisions">
              ${answer.substituted.map((entry) => html`<li class="is-yes">${icon("check")}<span>${entry.secret} is written into ${surfaceWords[entry.surface] ?? entry.surface}</span></li>`)}
              ${answer.notSubstituted.map((entry) => html`<li class="is-no">${icon("close")}<span>${entry.explain}</span></li>`)}</ul>`
      }
      <h3>Secrets and this host</h3>
      ${
        answer.grants.length === 0
          ? html`<p class="faint">The sandbox has none.</p>`
          : html`<ul class="decisions">${answer.grants.map(
              (
                grant,
              ) => html`<li class=${grant.allowed ? "is-yes" : "is-no"}>${icon(grant.allowed ? "check" : "close")}<span><strong>${grant.secret}</strong>
                ${grant.unrestricted ? "is unrestricted: it may go to any host" : grant.allowed ? html`may go there by <code>${grant.pattern}</code>` : "may not go there"}
                <span class="faint">· ${grant.locations.join(", ")}</span></span></li>`,
            )}</ul>`
      }
      <h3>Taken for granted</h3><ul class="assumed">${answer.assumed.map((text) => html`<li>${text}</li>`)}
        <li>the settings of the process that serves this page; a proxy elsewhere may be set otherwise</li></ul>`;
  }

  async #suggest(): Promise<void> {
    const query = queryOf({ sort: "name", order: "asc", limit: 100 });
    const nothingKnown = { items: [], total: 0, nextCursor: null };
    const [sandboxes, secrets] = await Promise.all([
      call<Page<Sandbox>>("GET", `/sandbox${query}`).catch(() => nothingKnown),
      call<Page<Secret>>("GET", `/console/secrets${query}`).catch(() => nothingKnown),
    ]);
    this.#sandboxes = sandboxes.items;
    this.#secrets = secrets.items;
    this.requestUpdate();
  }

  async #ask(event: SubmitEvent): Promise<void> {
    const { sandbox = "", secret = "", method, url, headers = "", body } = fieldsOf(event);
    this.#isBusy = true;
    this.#failure = undefined;
    this.requestUpdate();
    try {
      this.#answer = await call<Explanation>("POST", "/explain", {
        ...(sandbox === "" ? {} : { sandbox }),
        ...(secret === "" ? {} : { secret }),
        method,
        url,
        headers: headersIn(headers),
        body,
      });
    } catch (error) {
      const message = messageOf(error);
      this.#failure =
        message === "Access denied" ? "This API key may not ask: it takes manage:secrets or write:sandboxes." : message;
      this.#answer = undefined;
    }
    this.#isBusy = false;
    this.requestUpdate();
  }
}

function headersIn(text: string): readonly { readonly name: string; readonly value: string }[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const colon = line.indexOf(":");
      return colon === -1
        ? { name: line.trim(), value: "" }
        : { name: line.slice(0, colon).trim(), value: line.slice(colon + 1).trim() };
    });
}

customElements.define("ks-try-page", TryPage);
