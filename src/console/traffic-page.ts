// What happens on the wire: numbers per minute, busiest hosts, and the exchanges themselves as they come, each with its
// decision in words. What is not shown is said: a sample is called one.

import { html, nothing, type TemplateResult } from "lit";
import { call, messageOf, queryOf } from "./api.ts";
import type {
  TrafficPage as Listing,
  Outcome,
  Page,
  Sandbox,
  Session,
  TrafficItem,
  TrafficNumbers,
  TrafficSummary,
} from "./api-types.ts";
import { timeline, topHosts } from "./charts.ts";
import { Feed, type FeedState, type TrafficMessage } from "./feed.ts";
import { bytes, clockTime, count, dateTime, duration } from "./format.ts";
import { icon } from "./icons.ts";
import { debounced, empty, failure, outcomeBadge, outcomeWords } from "./parts.ts";
import { View } from "./view.ts";
import "./rows.ts";

interface Filter {
  readonly sandbox: string;
  readonly host: string;
  readonly secret: string;
  readonly outcome: string;
}

/** Items kept in the page. */
const MAX_ITEMS = 2_000;
const SUMMARY_MS = 5_000;
/** Over which the rate is told. */
const RATE_MS = 5_000;
const MINUTES = 60;

class TrafficView extends View {
  static override properties = { session: { attribute: false } };
  declare session: Session;

  #filter: Filter = filterInAddress();
  #items: readonly TrafficItem[] = [];
  /** What came while paused. */
  #held: readonly TrafficItem[] = [];
  #isPaused = false;
  #summary: TrafficSummary | undefined;
  #since: string | undefined;
  #state: FeedState = "connecting";
  #failure: string | undefined;
  #selected: TrafficItem | undefined;
  #arrivals: readonly {
    readonly at: number;
    readonly shown: number;
    readonly skipped: number;
    readonly events: number;
  }[] = [];
  #timer: number | undefined;
  /** Names of sandboxes by id, as far as this key may see them. */
  #names: ReadonlyMap<string, string> = new Map();
  readonly #feed = new Feed({
    message: (message) => this.#take(message),
    state: (state) => {
      this.#state = state;
      this.requestUpdate();
    },
  });

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#ask();
    void this.#summarize();
    void this.#findNames();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#timer);
    this.#feed.close();
  }

  protected override render(): TemplateResult {
    if (this.#failure !== undefined) return html`<div class="page"><h1>Traffic</h1>${failure(this.#failure)}</div>`;
    const summary = this.#summary;
    return html`<div class="page is-list traffic">
      <div class="page-head"><div><h1>Traffic</h1><p class="lead">${this.#renderState()}</p></div>
        <div class="tools"><button type="button" aria-pressed=${this.#isPaused} @click=${() => this.#pause()}>
          ${icon(this.#isPaused ? "play" : "pause")} ${this.#isPaused ? `Resume${this.#held.length > 0 ? ` (${count(this.#held.length)} new)` : ""}` : "Pause"}</button></div>
      </div>
      ${
        summary === undefined
          ? nothing
          : html`<div class="tiles">${tiles(summary.minutes)}</div>
              <div class="charts">${timeline(summary.minutes)}${topHosts(summary.hosts)}</div>`
      }
      ${this.#renderFilter()}
      ${this.#items.length === 0 ? this.#renderEmpty() : this.#renderFeed()}
      ${this.#selected === undefined ? nothing : this.#renderDetail(this.#selected)}
    </div>`;
  }

  #renderState(): TemplateResult {
    const rate = this.#arrivals.reduce((sum, { events }) => sum + events, 0) / (RATE_MS / 1_000);
    const shown = this.#arrivals.reduce((sum, each) => sum + each.shown, 0);
    const skipped = this.#arrivals.reduce((sum, each) => sum + each.skipped, 0);
    const state = { connecting: "Connecting…", live: "Live", broken: "Disconnected, trying again…" }[this.#state];
    return html`<span class="live is-${this.#state}">${state}</span> · ${rate < 10 ? rate.toFixed(1) : count(Math.round(rate))} a second
      ${skipped > 0 ? html`· <strong>a sample:</strong> ${Math.max(1, Math.round((100 * shown) / (shown + skipped)))} % of what matches is listed; the numbers count all` : nothing}
      ${this.#isPaused ? html`· <strong>paused</strong>` : nothing}`;
  }

  #renderFilter(): TemplateResult {
    const field = (name: keyof Filter, label: string, placeholder: string) => html`<label>${label}
      <input name=${name} list=${name === "sandbox" ? "traffic-sandboxes" : nothing} .value=${this.#filter[name]} placeholder=${placeholder} spellcheck="false" autocomplete="off"
        @input=${(event: InputEvent) => this.#refine(name, (event.target as HTMLInputElement).value)} /></label>`;
    const outcomes = Object.keys(outcomeWords) as Outcome[]; // the keys of a literal
    return html`<form class="filter" role="search" aria-label="Filter traffic" @submit=${(event: Event) => event.preventDefault()}>
      <datalist id="traffic-sandboxes">
        ${[...this.#names].map(([id, name]) => html`<option value=${id}>${name}</option>`)}</datalist>
      ${field("host", "Host", "any")} ${field("secret", "Secret", "any")} ${field("sandbox", "Sandbox id", "any")}
      <label>Outcome<select name="outcome" @change=${(event: Event) => this.#refine("outcome", (event.target as HTMLSelectElement).value)}>
        <option value="">any</option>
        ${outcomes.map((outcome) => html`<option value=${outcome} ?selected=${this.#filter.outcome === outcome}>${outcomeWords[outcome]}</option>`)}</select></label>
      ${this.#isFiltered() ? html`<button type="button" class="quiet" @click=${() => this.#clear()}>Clear</button>` : nothing}
    </form>`;
  }

  #renderFeed(): TemplateResult {
    return html`<ks-rows class="feed" .total=${this.#items.length} .rowHeight=${52} .label=${"Exchanges, newest first"} .version=${this.#items}
      .keyOf=${(index: number) => this.#items[index]?.seq ?? -index} .row=${(index: number) => this.#renderItem(index)}></ks-rows>`;
  }

  #renderItem(index: number): TemplateResult | undefined {
    const item = this.#items[index];
    if (item === undefined) return undefined;
    const { event } = item;
    return html`<span role="cell" class="feed-time">${clockTime(event.time)}</span>
      <span role="cell" class="feed-outcome">${outcomeBadge(item.outcome)}</span>
      <span role="cell" class="feed-what"><button type="button" class="link" @click=${() => this.#select(item)}>${requestOf(item)}</button>
        <span class="sub">${[this.#nameOf(event.sandbox), ...item.decisions].join(" · ")}</span></span>
      <span role="cell" class="feed-status">${event.status ?? html`<span class="faint">–</span>`}</span>
      <span role="cell" class="feed-took">${event.durationMs === undefined ? "" : duration(event.durationMs)}</span>`;
  }

  #renderEmpty(): TemplateResult {
    if (this.#isFiltered())
      return empty("search", "Nothing matches yet", "New exchanges that match appear here by themselves.");
    return empty(
      "traffic",
      "No traffic yet",
      html`Nothing was reported since ${this.#since === undefined ? "the API started" : dateTime(this.#since)}. Give a sandbox its environment
        and make a request, for example <code>keyswap run --secret OPENAI_API_KEY=OPENAI -- curl https://api.openai.com</code>.`,
    );
  }

  #renderDetail(item: TrafficItem): TemplateResult {
    const { event } = item;
    const facts: readonly (readonly [string, string | TemplateResult | undefined])[] = [
      ["When", dateTime(event.time)],
      [
        "Sandbox",
        event.sandbox === undefined
          ? undefined
          : html`<a href="#/sandboxes/${encodeURIComponent(event.sandbox)}">${this.#nameOf(event.sandbox)}</a>`,
      ],
      ["Destination", event.authority],
      ["Request", event.method === undefined ? undefined : `${event.method} ${event.path ?? ""}`],
      ["Status", event.status === undefined ? undefined : String(event.status)],
      ["Protocol", event.protocol],
      ["Came in by", event.way],
      ["Sent", sizeOf(event.requestBytes ?? event.sentBytes)],
      ["Received", sizeOf(event.responseBytes ?? event.receivedBytes)],
      ["First byte after", event.firstByteMs === undefined ? undefined : duration(event.firstByteMs)],
      ["Took", event.durationMs === undefined ? undefined : duration(event.durationMs)],
      ["Audit id", event.id],
    ];
    return html`<aside class="detail" aria-label="One exchange" tabindex="-1">
      <header class="drawer-head"><h2>${outcomeBadge(item.outcome)}</h2>
        <button type="button" class="icon-button" aria-label="Close details" @click=${() => this.#select(undefined)}>${icon("close")}</button></header>
      <ul class="decisions">${item.decisions.map((decision) => html`<li>${decision}</li>`)}</ul>
      <dl class="facts is-wide">${facts.map(([name, value]) => (value === undefined ? nothing : html`<div><dt>${name}</dt><dd>${value}</dd></div>`))}</dl>
    </aside>`;
  }

  #take({ items, skipped, numbers }: TrafficMessage): void {
    const now = Date.now();
    const newest = items.toReversed();
    if (this.#isPaused) this.#held = [...newest, ...this.#held].slice(0, MAX_ITEMS);
    else this.#items = [...newest, ...this.#items].slice(0, MAX_ITEMS);
    const arrival = { at: now, shown: items.length, skipped, events: numbers.events };
    this.#arrivals = [...this.#arrivals.filter(({ at }) => at > now - RATE_MS), arrival];
    this.requestUpdate();
  }

  #nameOf(sandbox: string | undefined): string {
    if (sandbox === undefined) return "no sandbox";
    return this.#names.get(sandbox) ?? sandbox.slice(0, 8);
  }

  async #findNames(): Promise<void> {
    const query = queryOf({ sort: "updatedAt", order: "desc", limit: 200 });
    const page = await call<Page<Sandbox>>("GET", `/sandbox${query}`).catch(() => undefined);
    this.#names = new Map(page?.items.map(({ id, name }) => [id, name]));
    this.requestUpdate();
  }

  #pause(): void {
    this.#isPaused = !this.#isPaused;
    if (!this.#isPaused) {
      this.#items = [...this.#held, ...this.#items].slice(0, MAX_ITEMS);
      this.#held = [];
    }
    this.requestUpdate();
  }

  #select(item: TrafficItem | undefined): void {
    this.#selected = item;
    this.requestUpdate();
    if (item !== undefined) void this.updateComplete.then(() => this.querySelector<HTMLElement>(".detail")?.focus());
  }

  #refine(name: keyof Filter, value: string): void {
    this.#filter = { ...this.#filter, [name]: value.trim() };
    this.#askSoon();
  }

  #clear(): void {
    this.#filter = { sandbox: "", host: "", secret: "", outcome: "" };
    void this.#ask();
  }

  #isFiltered(): boolean {
    return Object.values(this.#filter).some((value) => value !== "");
  }

  readonly #askSoon = debounced(() => void this.#ask(), 250);

  async #ask(): Promise<void> {
    const query = queryOf({ ...this.#filter });
    history.replaceState(null, "", `#/traffic${query}`);
    // First the stream, then the past: what is in both is known by its number.
    this.#items = [];
    this.#held = [];
    this.#feed.open(query);
    try {
      const page = await call<Listing>("GET", `/traffic${queryOf({ ...this.#filter, limit: 200 })}`);
      const known = new Set(this.#items.map(({ seq }) => seq));
      this.#items = [...this.#items, ...page.items.filter(({ seq }) => !known.has(seq))];
      this.#since = page.since;
    } catch (error) {
      this.#feed.close();
      this.#failure =
        messageOf(error) === "Access denied"
          ? "This API key may not see traffic: it takes read:audit_logs or manage:secrets."
          : messageOf(error);
    }
    this.requestUpdate();
  }

  async #summarize(): Promise<void> {
    clearTimeout(this.#timer);
    const summary = await call<TrafficSummary>("GET", `/traffic/summary?minutes=${MINUTES}`).catch(() => undefined);
    if (!this.isConnected) return;
    const now = Date.now();
    this.#arrivals = this.#arrivals.filter(({ at }) => at > now - RATE_MS);
    if (summary !== undefined) this.#summary = summary;
    this.requestUpdate();
    this.#timer = setTimeout(() => void this.#summarize(), SUMMARY_MS);
  }
}

function tiles(minutes: readonly TrafficNumbers[]): TemplateResult {
  const total = (key: keyof TrafficNumbers) => count(minutes.reduce((sum, minute) => sum + minute[key], 0));
  const tile = (title: string, key: keyof TrafficNumbers, name: string) =>
    html`<div class="tile ${name}"><p class="tile-number">${total(key)}</p><p class="tile-title">${title}</p></div>`;
  return html`${tile("events in the last hour", "events", "")} ${tile("substituted", "substituted", "outcome-substituted")}
    ${tile("not substituted", "withheld", "outcome-withheld")} ${tile("refused", "refused", "outcome-refused")}
    ${tile("answers scrubbed", "scrubbed", "outcome-scrubbed")} ${tile("tunnelled", "tunnelled", "")}`;
}

function requestOf({ event }: TrafficItem): string {
  const authority = (event.authority ?? "no destination").replace(/:443$/, "");
  return event.type === "exchange"
    ? `${event.method} ${authority}${event.path}`
    : `${event.type === "tunnel" ? "Tunnel to" : "Refused:"} ${authority}`;
}

function sizeOf(value: number | undefined): string | undefined {
  return value === undefined ? undefined : bytes(value);
}

function filterInAddress(): Filter {
  const query = new URLSearchParams(/\?(.*)$/.exec(location.hash)?.[1] ?? "");
  const get = (name: string) => query.get(name) ?? "";
  return { sandbox: get("sandbox"), host: get("host"), secret: get("secret"), outcome: get("outcome") };
}

customElements.define("ks-traffic-page", TrafficView);
