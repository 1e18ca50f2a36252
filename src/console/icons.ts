// The few icons, drawn in the text's colour. All are beside words or on buttons with a label, so they are hidden from
// screen readers.

import { html, type SVGTemplateResult, svg, type TemplateResult } from "lit";

const paths = {
  secrets: svg`<circle cx="7.500" cy="12.500" r="3.500"/><path d="M10 10l7-7m-2.500 2.500l2 2M12.500 7.500l1.500 1.500"/>`,
  sandboxes: svg`<path d="M10 2.500l6.500 3.750v7.500L10 17.500l-6.500-3.750v-7.500zM3.500 6.250L10 10l6.500-3.750M10 10v7.500"/>`,
  traffic: svg`<path d="M2.500 10.500h3l2.250-6 4 11.500 2.500-7 1 1.500h2.250"/>`,
  try: svg`<circle cx="10" cy="10" r="7.500"/><path d="M7.750 7.750a2.300 2.300 0 1 1 3.300 2.100c-.700.350-1.050.800-1.050 1.650M10 14v.010"/>`,
  health: svg`<path d="M10 17s-7-4.100-7-9.200A3.700 3.700 0 0 1 10 6a3.700 3.700 0 0 1 7 1.800C17 12.900 10 17 10 17z"/>`,
  search: svg`<circle cx="9" cy="9" r="5.500"/><path d="M13.250 13.250L17 17"/>`,
  copy: svg`<rect x="7" y="7" width="9.500" height="9.500" rx="1.500"/><path d="M13 7V5a1.500 1.500 0 0 0-1.500-1.500H5A1.500 1.500 0 0 0 3.500 5v6.500A1.500 1.500 0 0 0 5 13h2"/>`,
  check: svg`<path d="M4 10.500l4 4 8-9"/>`,
  plus: svg`<path d="M10 4v12M4 10h12"/>`,
  close: svg`<path d="M5 5l10 10M15 5L5 15"/>`,
  warning: svg`<path d="M10 3L2.500 16.500h15zM10 8v4M10 14.250v.010"/>`,
  pause: svg`<path d="M7 4.500v11M13 4.500v11"/>`,
  play: svg`<path d="M6 4.500l9 5.500-9 5.500z"/>`,
  sun: svg`<circle cx="10" cy="10" r="3.500"/><path d="M10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.350 4.350l1.050 1.050M14.600 14.600l1.050 1.050M15.650 4.350L14.600 5.400M5.400 14.600l-1.050 1.050"/>`,
  moon: svg`<path d="M16.500 11.800A6.800 6.800 0 0 1 8.200 3.500a6.800 6.800 0 1 0 8.300 8.300z"/>`,
  out: svg`<path d="M8 3.500H4.500v13H8M12.500 6.500L16 10l-3.500 3.500M16 10H7.500"/>`,
  up: svg`<path d="M5 12l5-5 5 5"/>`,
  down: svg`<path d="M5 8l5 5 5-5"/>`,
} as const satisfies Record<string, SVGTemplateResult>;

export type IconName = keyof typeof paths;

export function icon(name: IconName): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">${paths[name]}</svg>`;
}
