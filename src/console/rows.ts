// A list that draws only what is in sight: ten thousand rows cost as much as thirty. Rows have one height; the place of
// each is set by hand. To screen readers it is a table with its true number of rows.

import { html, type PropertyValues, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { View } from "./view.ts";

/** Rows drawn beyond the edges, so that scrolling does not flicker. */
const SPARE = 6;

export class Rows extends View {
  static override properties = {
    total: { attribute: false },
    rowHeight: { attribute: false },
    label: { attribute: false },
    head: { attribute: false },
    row: { attribute: false },
    keyOf: { attribute: false },
    version: { attribute: false },
  };

  declare total: number;
  /** In pixels. */
  declare rowHeight: number;
  declare label: string;
  /** The column headers: cells with role columnheader. */
  declare head: TemplateResult | undefined;
  /** The cells of a row, each with role cell; undefined: not loaded yet. */
  declare row: (index: number) => TemplateResult | undefined;
  declare keyOf: (index: number) => unknown;
  /** Change it to have the rows drawn anew. */
  declare version: unknown;

  #first = 0;
  #count = 20;
  #scroller: HTMLElement | undefined;
  readonly #resized = new ResizeObserver(() => this.#measure());

  constructor() {
    super();
    this.total = 0;
    this.rowHeight = 52;
    this.label = "";
    this.head = undefined;
    this.row = () => undefined;
    this.keyOf = (index) => index;
    this.version = 0;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resized.disconnect();
    this.#scroller = undefined;
  }

  scrollToTop(): void {
    this.#scroller?.scrollTo({ top: 0 });
  }

  protected override updated(changed: PropertyValues): void {
    const scroller = this.querySelector<HTMLElement>(".rows-scroll") ?? undefined;
    if (scroller !== this.#scroller) {
      this.#resized.disconnect();
      this.#scroller = scroller;
      if (scroller !== undefined) this.#resized.observe(scroller);
    }
    this.#place();
    if (changed.has("total") || changed.has("rowHeight")) this.#measure();
  }

  protected override render(): TemplateResult {
    const last = Math.min(this.total, this.#first + this.#count);
    const indices = Array.from({ length: Math.max(0, last - this.#first) }, (_, at) => this.#first + at);
    return html`<div class="rows-scroll" @scroll=${() => this.#measure()} tabindex="0" role="region" aria-label=${this.label}>
      <div role="table" aria-label=${this.label} aria-rowcount=${this.total + (this.head === undefined ? 0 : 1)}>
        ${
          this.head === undefined
            ? ""
            : html`<div role="rowgroup" class="rows-head"><div role="row" class="row" aria-rowindex="1">${this.head}</div></div>`
        }
        <div role="rowgroup" class="rows-body">
          ${repeat(indices, this.keyOf, (index) => this.#renderRow(index))}
        </div>
      </div>
    </div>`;
  }

  #renderRow(index: number): TemplateResult {
    return html`<div role="row" class="row" aria-rowindex=${index + (this.head === undefined ? 1 : 2)} data-at=${index}>
      ${this.row(index) ?? html`<span role="cell" class="cell-loading"></span>`}
    </div>`;
  }

  /** By script: the page's policy lets no style stand in an attribute. */
  #place(): void {
    const body = this.querySelector<HTMLElement>(".rows-body");
    if (body === null) return;
    body.style.height = `${this.total * this.rowHeight}px`;
    for (const row of body.querySelectorAll<HTMLElement>(":scope > .row")) {
      row.style.height = `${this.rowHeight}px`;
      row.style.transform = `translateY(${Number(row.dataset.at) * this.rowHeight}px)`;
    }
  }

  #measure(): void {
    const scroller = this.#scroller;
    if (scroller === undefined) return;
    const first = Math.max(0, Math.floor(scroller.scrollTop / this.rowHeight) - SPARE);
    const count = Math.ceil(scroller.clientHeight / this.rowHeight) + 2 * SPARE;
    const end = Math.min(this.total, first + count);
    if (first !== this.#first || count !== this.#count) {
      this.#first = first;
      this.#count = count;
      this.requestUpdate();
    }
    this.dispatchEvent(new CustomEvent("range", { detail: { first, end } }));
  }
}

customElements.define("ks-rows", Rows);

/** The detail of a `range` event: rows from `first` to before `end` are in sight. */
export function rangeOf(event: Event): { readonly first: number; readonly end: number } {
  // Only Rows sends it.
  return (event as CustomEvent<{ first: number; end: number }>).detail;
}
