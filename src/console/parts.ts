// Pieces that several pages draw alike.

import { html, nothing, type TemplateResult } from "lit";
import type { Outcome } from "./api-types.ts";
import { type IconName, icon } from "./icons.ts";
import { copyText } from "./toast.ts";

export function empty(
  name: IconName,
  title: string,
  text: TemplateResult | string,
  action?: TemplateResult,
): TemplateResult {
  return html`<div class="empty">${icon(name)}
    <h2>${title}</h2>
    <p>${text}</p>
    ${action ?? nothing}
  </div>`;
}

export function failure(message: string | undefined): TemplateResult | typeof nothing {
  return message === undefined
    ? nothing
    : html`<p class="notice is-error" role="alert">${icon("warning")}<span>${message}</span></p>`;
}

export function warning(content: TemplateResult | string): TemplateResult {
  return html`<p class="notice is-warning">${icon("warning")}<span>${content}</span></p>`;
}

export function copyButton(text: string, what: string): TemplateResult {
  return html`<button type="button" class="icon-button" aria-label="Copy ${what.toLowerCase()}" title="Copy ${what.toLowerCase()}" @click=${(
    event: Event,
  ) => {
    event.stopPropagation();
    void copyText(text, what);
  }}>${icon("copy")}</button>`;
}

export const outcomeWords: Readonly<Record<Outcome, string>> = {
  substituted: "Substituted",
  withheld: "Not substituted",
  passed: "Passed",
  tunnelled: "Tunnelled",
  refused: "Refused",
  failed: "Failed",
};

export function outcomeBadge(outcome: Outcome): TemplateResult {
  return html`<span class="badge outcome-${outcome}">${outcomeWords[outcome]}</span>`;
}

export function hostChips(hosts: readonly string[], shown = 2): TemplateResult {
  if (hosts.length === 0) return html`<span class="badge is-warning">Unrestricted</span>`;
  return html`${hosts.slice(0, shown).map((host) => html`<span class="chip">${host}</span>`)}${
    hosts.length > shown
      ? html`<span class="more" title=${hosts.slice(shown).join(", ")}>+${hosts.length - shown}</span>`
      : nothing
  }`;
}

/** The values of a form's fields. */
export function fieldsOf(event: SubmitEvent): Readonly<Record<string, string>> {
  event.preventDefault();
  const entries = [...new FormData(event.currentTarget as HTMLFormElement)]; // the form it is bound to
  return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === "string" ? value : ""]));
}

/** Calls at most once in so many milliseconds, with the last arguments. */
export function debounced<Args extends readonly unknown[]>(
  work: (...args: Args) => void,
  ms: number,
): (...args: Args) => void {
  let timer: number | undefined;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
}
