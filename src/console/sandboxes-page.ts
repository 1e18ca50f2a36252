// Who may call through the proxy, with which secrets.

import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { call, messageOf, queryOf } from "./api.ts";
import type { Page, Sandbox, Session } from "./api-types.ts";
import { ago, dateTime, plural } from "./format.ts";
import { icon } from "./icons.ts";
import { debounced, empty, failure } from "./parts.ts";
import { rangeOf } from "./rows.ts";
import "./sandbox-drawer.ts";
import { View } from "./view.ts";

const PAGE_SIZE = 100;

class SandboxesPage extends View {
  static override properties = { session: { attribute: false } };
  declare session: Session;

  #items: readonly Sandbox[] = [];
  #total: number | undefined;
  #cursor: string | null = null;
  #isLoading = false;
  #question = 0;
  #search = "";
  #failure: string | undefined;
  #open: string | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#ask();
  }

  protected override updated(_: PropertyValues): void {
    const wanted = /^#\/sandboxes\/([^/?]+)$/.exec(location.hash)?.[1];
    if (wanted !== undefined && this.#open === undefined) this.#show(decodeURIComponent(wanted));
  }

  protected override render(): TemplateResult {
    const mayWrite = this.session.permissions.includes("write:sandboxes");
    const isEmpty = this.#failure === undefined && this.#total === 0;
    const make = html`<button type="button" class="primary" @click=${() => this.#show("new")}>${icon("plus")} New sandbox</button>`;
    return html`<div class="page is-list">
      <div class="page-head">
        <div><h1>Sandboxes</h1>
          <p class="lead">${this.#total === undefined ? "…" : plural(this.#total, "sandbox", "sandboxes")}</p></div>
        <div class="tools">
          <div class="search">${icon("search")}<input type="search" aria-label="Search sandboxes by name" placeholder="Search by name"
            @input=${(event: InputEvent) => this.#find((event.target as HTMLInputElement).value)} /></div>
          ${mayWrite ? make : nothing}
        </div>
      </div>
      ${failure(this.#failure)}
      ${
        isEmpty
          ? this.#search === ""
            ? empty(
                "sandboxes",
                "No sandboxes yet",
                "A sandbox is whoever calls through the proxy: it has a token, and secrets under names of its environment.",
                mayWrite ? make : undefined,
              )
            : empty("search", "No sandbox has this in its name", "Try a shorter part of it.")
          : html`<ks-rows class="sandbox-rows" .total=${this.#total ?? 0} .rowHeight=${56} .label=${"Sandboxes"} .version=${this.#items}
              .head=${html`<span role="columnheader">Name</span><span role="columnheader">Secrets</span>
                <span role="columnheader" class="cell-wide">If it may not be written</span><span role="columnheader">Expires</span>
                <span role="columnheader">Changed</span>`}
              .keyOf=${(index: number) => this.#items[index]?.id ?? index} .row=${(index: number) => this.#renderRow(index)}
              @range=${(event: Event) => this.#want(rangeOf(event).end)}></ks-rows>`
      }
      ${
        this.#open === undefined
          ? nothing
          : html`<ks-sandbox-drawer .sandboxId=${this.#open} .mayWrite=${mayWrite}
              .mayDelete=${this.session.permissions.includes("delete:sandboxes") || mayWrite}
              @closed=${() => this.#show(undefined)} @changed=${() => void this.#ask()}></ks-sandbox-drawer>`
      }
    </div>`;
  }

  #renderRow(index: number): TemplateResult | undefined {
    const sandbox = this.#items[index];
    if (sandbox === undefined) return undefined;
    const mounts = sandbox.secrets.flatMap((mount) => Object.entries(mount));
    return html`
      <span role="cell" class="cell-name"><button type="button" class="link" @click=${() => this.#show(sandbox.id)}>${sandbox.name}</button>
        ${sandbox.name === sandbox.id ? nothing : html`<span class="sub">${sandbox.id}</span>`}</span>
      <span role="cell" class="cell-hosts">${
        mounts.length === 0
          ? html`<span class="faint">none</span>`
          : html`${mounts.slice(0, 2).map(([env]) => html`<span class="chip">${env}</span>`)}${
              mounts.length > 2 ? html`<span class="more">+${mounts.length - 2}</span>` : nothing
            }`
      }</span>
      <span role="cell" class="cell-wide">${sandbox.onViolation === "block" ? "refused" : sandbox.onViolation === "pass" ? "passed on" : html`<span class="faint">default</span>`}</span>
      <span role="cell">${sandbox.expiresAt === null ? html`<span class="faint">never</span>` : html`<span title=${dateTime(sandbox.expiresAt)}>${ago(sandbox.expiresAt)}</span>`}</span>
      <span role="cell" title=${dateTime(sandbox.updatedAt)}>${ago(sandbox.updatedAt)}</span>`;
  }

  readonly #find = debounced((text: string) => {
    this.#search = text.trim();
    void this.#ask();
  }, 150);

  #show(id: string | undefined): void {
    this.#open = id;
    const hash = id === undefined || id === "new" ? "#/sandboxes" : `#/sandboxes/${encodeURIComponent(id)}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    this.requestUpdate();
  }

  async #ask(): Promise<void> {
    this.#question += 1;
    this.#isLoading = false;
    await this.#load(this.#question, null, []);
  }

  #want(upTo: number): void {
    if (this.#cursor !== null && upTo > this.#items.length && !this.#isLoading) {
      void this.#load(this.#question, this.#cursor, this.#items);
    }
  }

  async #load(question: number, cursor: string | null, before: readonly Sandbox[]): Promise<void> {
    this.#isLoading = true;
    try {
      const query = queryOf({ name: this.#search, sort: "name", order: "asc", limit: PAGE_SIZE, cursor });
      const page = await call<Page<Sandbox>>("GET", `/sandbox${query}`);
      if (question !== this.#question) return;
      this.#items = [...before, ...page.items];
      this.#total = page.total;
      this.#cursor = page.nextCursor;
      this.#failure = undefined;
    } catch (error) {
      if (question !== this.#question) return;
      this.#failure = messageOf(error) === "Access denied" ? "This API key may not see sandboxes." : messageOf(error);
    }
    this.#isLoading = false;
    this.requestUpdate();
  }
}

customElements.define("ks-sandboxes-page", SandboxesPage);
