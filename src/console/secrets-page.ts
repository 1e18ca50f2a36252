// Which secrets exist, where each may go, who has it, and when it was last used. Pages of the list are fetched as they come
// into sight, so ten thousand are no more than two hundred.

import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { call, messageOf, queryOf } from "./api.ts";
import type { Page, SecretRow, Session } from "./api-types.ts";
import { ago, count, dateTime, plural, shortened } from "./format.ts";
import { icon } from "./icons.ts";
import { copyButton, debounced, empty, failure, hostChips } from "./parts.ts";
import { type Rows, rangeOf } from "./rows.ts";
import "./secret-drawer.ts";
import { View } from "./view.ts";

type Sort = "name" | "createdAt" | "updatedAt";

const PAGE_SIZE = 200;

class SecretsPage extends View {
  static override properties = { session: { attribute: false } };
  declare session: Session;

  #items: readonly SecretRow[] = [];
  #total: number | undefined;
  #cursor: string | null = null;
  #wantedUpTo = 0;
  #loading: Promise<void> | undefined;
  /** Rises with every new question, so that answers to old ones are dropped. */
  #question = 0;
  #search = "";
  #sort: Sort = "name";
  #order: "asc" | "desc" = "asc";
  #failure: string | undefined;
  /** An id, `"new"`, or nothing. */
  #open: string | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#ask();
  }

  protected override render(): TemplateResult {
    const mayManage = this.session.permissions.includes("manage:secrets");
    const total = this.#total ?? 0;
    return html`<div class="page is-list">
      <div class="page-head">
        <div>
          <h1>Secrets</h1>
          <p class="lead">${this.#total === undefined ? "…" : plural(total, this.#search === "" ? "secret" : "match", this.#search === "" ? "secrets" : "matches")}</p>
        </div>
        <div class="tools">
          <div class="search">${icon("search")}
            <input type="search" aria-label="Search secrets by name" placeholder="Search by name" .value=${this.#search}
              @input=${(event: InputEvent) => this.#find((event.target as HTMLInputElement).value)} /></div>
          ${
            mayManage
              ? html`<button type="button" class="primary" @click=${() => this.#show("new")}>${icon("plus")} New secret</button>`
              : nothing
          }
        </div>
      </div>
      ${failure(this.#failure)}
      ${this.#failure === undefined && this.#total === 0 ? this.#renderEmpty(mayManage) : this.#renderRows(total)}
      ${
        this.#open === undefined
          ? nothing
          : html`<ks-secret-drawer .secretId=${this.#open} .mayManage=${mayManage} @closed=${() => this.#show(undefined)}
              @changed=${() => void this.#ask()}></ks-secret-drawer>`
      }
    </div>`;
  }

  protected override updated(_: PropertyValues): void {
    const wanted = /^#\/secrets\/([\w-]+)$/.exec(location.hash)?.[1];
    if (wanted !== undefined && this.#open === undefined) this.#show(wanted);
  }

  #renderRows(total: number): TemplateResult {
    return html`<ks-rows class="secret-rows" .total=${total} .rowHeight=${56} .label=${"Secrets"} .head=${this.#renderHead()}
      .version=${this.#items} .row=${(index: number) => this.#renderRow(index)} .keyOf=${(index: number) => this.#items[index]?.id ?? index}
      @range=${(event: Event) => this.#want(rangeOf(event).end)}></ks-rows>`;
  }

  #renderHead(): TemplateResult {
    return html`${this.#sortHeader("name", "Name")}
      <span role="columnheader">May go to</span>
      <span role="columnheader" class="cell-wide">Placeholder</span>
      <span role="columnheader">Mounted in</span>
      <span role="columnheader">Last used</span>
      ${this.#sortHeader("updatedAt", "Changed")}`;
  }

  #sortHeader(sort: Sort, title: string): TemplateResult {
    const isSorted = this.#sort === sort;
    const state = isSorted ? (this.#order === "asc" ? "ascending" : "descending") : "none";
    return html`<span role="columnheader" aria-sort=${state}>
      <button type="button" class="sort" @click=${() => this.#sortBy(sort)}>${title}${
        isSorted ? icon(this.#order === "asc" ? "up" : "down") : nothing
      }</button></span>`;
  }

  #renderRow(index: number): TemplateResult | undefined {
    const secret = this.#items[index];
    if (secret === undefined) return undefined;
    return html`
      <span role="cell" class="cell-name"><button type="button" class="link" @click=${() => this.#show(secret.id)}>${secret.name}</button>
        <span class="sub">${secret.description ?? ""}</span></span>
      <span role="cell" class="cell-hosts">${hostChips(secret.hosts)}</span>
      <span role="cell" class="cell-wide cell-placeholder"><code title=${secret.placeholder}>${shortened(secret.placeholder, 19)}</code>${copyButton(secret.placeholder, "Placeholder")}</span>
      <span role="cell">${secret.mounts === 0 ? html`<span class="faint">nowhere</span>` : plural(secret.mounts, "sandbox", "sandboxes")}</span>
      <span role="cell" title=${secret.lastUsedAt === null ? "Not since the API started" : dateTime(secret.lastUsedAt)}>${
        secret.lastUsedAt === null ? html`<span class="faint">not seen</span>` : ago(secret.lastUsedAt)
      }</span>
      <span role="cell" title=${dateTime(secret.updatedAt)}>${ago(secret.updatedAt)}</span>`;
  }

  #renderEmpty(mayManage: boolean): TemplateResult {
    if (this.#search !== "")
      return empty(
        "search",
        "No secret has this in its name",
        `“${this.#search}” matches none. Names are searched, not hosts.`,
      );
    return empty(
      "secrets",
      "No secrets yet",
      "A secret is a value and the hosts it may go to. Sandboxes get a placeholder for it; the value is put in on the way out.",
      mayManage
        ? html`<button type="button" class="primary" @click=${() => this.#show("new")}>${icon("plus")} New secret</button>`
        : undefined,
    );
  }

  readonly #find = debounced((text: string) => {
    this.#search = text.trim();
    void this.#ask();
  }, 150);

  #sortBy(sort: Sort): void {
    if (this.#sort === sort) this.#order = this.#order === "asc" ? "desc" : "asc";
    else {
      this.#sort = sort;
      this.#order = sort === "name" ? "asc" : "desc";
    }
    this.querySelector<Rows>("ks-rows")?.scrollToTop();
    void this.#ask();
  }

  #show(id: string | undefined): void {
    this.#open = id;
    const hash = id === undefined || id === "new" ? "#/secrets" : `#/secrets/${id}`;
    if (location.hash !== hash) history.replaceState(null, "", hash);
    this.requestUpdate();
  }

  /** From the first page on. */
  async #ask(): Promise<void> {
    const question = ++this.#question;
    this.#loading = undefined;
    await this.#load(question, null, []);
    this.#want(this.#wantedUpTo);
  }

  /** Has rows fetched up to this index, one page after another. */
  #want(upTo: number): void {
    this.#wantedUpTo = upTo;
    if (this.#cursor === null || upTo <= this.#items.length || this.#loading !== undefined) return;
    const question = this.#question;
    this.#loading = this.#load(question, this.#cursor, this.#items).finally(() => {
      if (question !== this.#question) return;
      this.#loading = undefined;
      if (this.#failure === undefined) this.#want(this.#wantedUpTo);
    });
  }

  async #load(question: number, cursor: string | null, before: readonly SecretRow[]): Promise<void> {
    const query = queryOf({ name: this.#search, sort: this.#sort, order: this.#order, limit: PAGE_SIZE, cursor });
    try {
      const page = await call<Page<SecretRow>>("GET", `/console/secrets${query}`);
      if (question !== this.#question) return;
      this.#items = [...before, ...page.items];
      this.#total = page.total;
      this.#cursor = page.nextCursor;
      this.#failure = undefined;
    } catch (error) {
      if (question !== this.#question) return;
      this.#failure = messageOf(error) === "Access denied" ? "This API key may not see secrets." : messageOf(error);
    }
    this.requestUpdate();
  }

  /** For screen readers and tests: how much is loaded. */
  get loaded(): string {
    return `${count(this.#items.length)} of ${count(this.#total ?? 0)}`;
  }
}

customElements.define("ks-secrets-page", SecretsPage);
