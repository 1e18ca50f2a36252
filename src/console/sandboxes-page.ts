// Who may call through the proxy, with which secrets.

import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { call, messageOf, queryOf } from "./api.ts";
import type { Page, Presence, Sandbox, Session } from "./api-types.ts";
import { ago, dateTime, plural } from "./format.ts";
import { icon } from "./icons.ts";
import { debounced, empty, failure } from "./parts.ts";
import { rangeOf } from "./rows.ts";
import "./sandbox-drawer.ts";
import { View } from "./view.ts";

const PAGE_SIZE = 100;
const PRESENCE_MS = 5_000;
/** Rows in sight, at most; as many as one question may have. */
const MAX_WATCHED = 100;

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
  /** By sandbox id, of the rows in sight. */
  #presence: ReadonlyMap<string, Presence> = new Map();
  #inSight: { readonly first: number; readonly end: number } = { first: 0, end: 0 };
  #timer: number | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#ask();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#timer);
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
          : html`<ks-rows class="sandbox-rows" .total=${this.#total ?? 0} .rowHeight=${56} .label=${"Sandboxes"} .version=${[this.#items, this.#presence]}
              .head=${html`<span role="columnheader">Name</span><span role="columnheader">Secrets</span>
                <span role="columnheader" class="cell-wide">If it may not be written</span><span role="columnheader">Now</span>
                <span role="columnheader">Expires</span>
                <span role="columnheader">Changed</span>`}
              .keyOf=${(index: number) => this.#items[index]?.id ?? index} .row=${(index: number) => this.#renderRow(index)}
              @range=${(event: Event) => this.#look(rangeOf(event))}></ks-rows>`
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
      <span role="cell">${renderPresence(this.#presence.get(sandbox.id))}</span>
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

  #look(inSight: { readonly first: number; readonly end: number }): void {
    this.#inSight = inSight;
    const isKnown = this.#watched().every(({ id }) => this.#presence.has(id));
    // Scrolling asks soon, but not at each step.
    if (!isKnown) this.#watchIn(150);
    if (this.#cursor !== null && inSight.end > this.#items.length && !this.#isLoading) {
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
    void this.#watch();
  }

  #watched(): readonly Sandbox[] {
    return this.#items.slice(this.#inSight.first, Math.min(this.#inSight.end, this.#inSight.first + MAX_WATCHED));
  }

  #watchIn(ms: number): void {
    clearTimeout(this.#timer);
    if (this.isConnected) this.#timer = setTimeout(() => void this.#watch(), ms);
  }

  /** What the rows in sight have open, and who is ready for them; again while the page is shown. */
  async #watch(): Promise<void> {
    clearTimeout(this.#timer);
    const ids = this.#watched().map(({ id }) => id);
    if (ids.length > 0) {
      const answer = await call<{ items: readonly Presence[] }>(
        "GET",
        `/console/presence${queryOf({ ids: ids.join(",") })}`,
      ).catch(() => undefined);
      // Nothing known is better than what was once.
      this.#presence = new Map(answer?.items.map((each) => [each.sandboxId, each]));
      this.requestUpdate();
    }
    this.#watchIn(PRESENCE_MS);
  }
}

function renderPresence(presence: Presence | undefined): TemplateResult {
  if (presence === undefined) return html`<span class="faint">…</span>`;
  const { connections, isComplete, proxies, readyProxies } = presence;
  if (proxies === 0) return html`<span class="faint">no proxy</span>`;
  return html`${isComplete ? "" : "at least "}${plural(connections, "connection")}
    <span class="sub">ready at ${readyProxies} of ${plural(proxies, "proxy", "proxies")}</span>`;
}

customElements.define("ks-sandboxes-page", SandboxesPage);
