// Whether everything that substitution stands on is well: the API and its store, the proxies, the certificate authority.

import { html, nothing, type TemplateResult } from "lit";
import { call, messageOf } from "./api.ts";
import type { Session, Status } from "./api-types.ts";
import { ago, count, dateTime } from "./format.ts";
import { copyButton, failure, warning } from "./parts.ts";
import { View } from "./view.ts";

const REFRESH_MS = 5_000;
const DAY_MS = 86_400_000;
/** A CA's end is said loudly from here on. */
const SOON_MS = 60 * DAY_MS;

class HealthPage extends View {
  static override properties = { session: { attribute: false } };
  declare session: Session;

  #status: Status | undefined;
  #failure: string | undefined;
  #timer: number | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#load();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#timer);
  }

  protected override render(): TemplateResult {
    const status = this.#status;
    return html`<div class="page"><div class="page-head"><div><h1>Health</h1><p class="lead">What substitution stands on.</p></div></div>
      ${failure(this.#failure)}
      ${
        status === undefined
          ? nothing
          : html`<div class="cards">${this.#renderProxies(status)} ${this.#renderStore(status)} ${this.#renderCa(status)} ${this.#renderApi(status)}</div>`
      }</div>`;
  }

  #renderProxies(status: Status): TemplateResult {
    const { proxies } = status;
    return html`<section class="card is-full"><h2>Proxies ${
      proxies.length === 0 ? badge(false, "none") : badge(proxies.every(isWell), `${count(proxies.length)} connected`)
    }</h2>
      ${
        proxies.length === 0
          ? warning(
              "No proxy has reported to this API in the last half minute. Sandboxes that go through a proxy which cannot reach the API use the last grants it has, for five minutes by default.",
            )
          : html`<div class="table-scroll" tabindex="0" role="region" aria-label="Proxies"><table><thead><tr><th scope="col">Name</th><th scope="col">Heard</th><th scope="col">Changes</th><th scope="col">Sandboxes held</th><th scope="col">CA</th></tr></thead>
            <tbody>${proxies.map(
              (proxy) => html`<tr><th scope="row">${proxy.name}<span class="sub">${proxy.id}</span></th>
                <td title=${dateTime(proxy.seenAt)}>${ago(proxy.seenAt)}</td>
                <td>${
                  proxy.behind === null
                    ? badge(false, "not live")
                    : proxy.behind === 0
                      ? badge(true, "up to date")
                      : badge(false, `${count(proxy.behind)} behind`)
                }</td>
                <td>${count(proxy.sandboxes)}</td>
                <td>${proxy.hasSameCa === null ? html`<span class="faint">unknown</span>` : badge(proxy.hasSameCa, proxy.hasSameCa ? "the same" : "another one")}</td></tr>`,
            )}</tbody></table></div>`
      }</section>`;
  }

  #renderStore({ store, changesVersion }: Status): TemplateResult {
    return html`<section class="card"><h2>Store ${badge(store.answers, store.answers ? "answers" : "does not answer")}</h2>
      <dl class="facts is-wide"><div><dt>Kind</dt><dd>${store.kind === "sqlite" ? "SQLite, a file on this machine" : "PostgreSQL, shared by replicas"}</dd></div>
        <div><dt>Answers in</dt><dd>${store.answerMs.toFixed(1)} ms</dd></div>
        <div><dt>Version of changes</dt><dd>${changesVersion ?? "the store is lost"}</dd></div></dl></section>`;
  }

  #renderCa({ ca }: Status): TemplateResult {
    if (ca === null)
      return html`<section class="card"><h2>Certificate authority ${badge(false, "missing")}</h2><p>The API has no certificate to give to sandboxes.</p></section>`;
    const left = new Date(ca.notAfter).getTime() - Date.now();
    return html`<section class="card"><h2>Certificate authority ${badge(left > SOON_MS, left > 0 ? `ends ${ago(ca.notAfter)}` : "has ended")}</h2>
      <dl class="facts is-wide"><div><dt>Name</dt><dd>${ca.subject}</dd></div>
        <div><dt>Valid</dt><dd>${dateTime(ca.notBefore)} to ${dateTime(ca.notAfter)}</dd></div>
        <div><dt>SHA-256</dt><dd class="copyable"><code class="fingerprint">${ca.fingerprint}</code>${copyButton(ca.fingerprint, "Fingerprint")}</dd></div></dl>
      <p><a href="/api/ca" download="keyswap-ca.pem">Download the certificate</a></p></section>`;
  }

  #renderApi(status: Status): TemplateResult {
    const { unsampled, lost } = status.traffic;
    return html`<section class="card"><h2>Secret API ${badge(true, `version ${status.version}`)}</h2>
      <dl class="facts is-wide"><div><dt>Node.js</dt><dd>${status.node}</dd></div>
        <div><dt>Started</dt><dd title=${dateTime(status.startedAt)}>${ago(status.startedAt)}</dd></div>
        <div><dt>Sandboxes reach the proxy at</dt><dd><code>${status.proxyUrl}</code></dd></div>
        <div><dt>Traffic not listed</dt><dd>${count(unsampled)} counted only, ${count(lost)} lost</dd></div></dl>
      <p class="help">Traffic and last uses are kept in memory since the start. With several API replicas, each shows what was reported to it.</p></section>`;
  }

  async #load(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      this.#status = await call<Status>("GET", "/console/status");
      this.#failure = undefined;
    } catch (error) {
      this.#failure = messageOf(error);
    }
    this.requestUpdate();
    if (this.isConnected) this.#timer = setTimeout(() => void this.#load(), REFRESH_MS);
  }
}

function isWell(proxy: Status["proxies"][number]): boolean {
  return proxy.behind === 0 && proxy.hasSameCa !== false;
}

function badge(isGood: boolean, text: string): TemplateResult {
  return html`<span class="badge ${isGood ? "is-good" : "is-warning"}">${text}</span>`;
}

customElements.define("ks-health-page", HealthPage);
