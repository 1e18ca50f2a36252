// The two drawings of the page Traffic: numbers per minute, and the busiest hosts. Plain SVG; what they show is also said in
// words for those who do not see them.

import { html, svg, type TemplateResult } from "lit";
import type { TrafficNumbers, TrafficSummary } from "./api-types.ts";
import { count, plural } from "./format.ts";

/** From the bottom up. Colours are the style sheet's. */
const series = [
  { key: "substituted", title: "Substituted" },
  { key: "scrubbed", title: "Scrubbed" },
  { key: "withheld", title: "Not substituted" },
  { key: "refused", title: "Refused" },
] as const satisfies readonly { key: keyof TrafficNumbers; title: string }[];

const WIDTH = 720;
const HEIGHT = 120;
const GAP = 2;

export function timeline(minutes: TrafficSummary["minutes"]): TemplateResult {
  const sumOf = (minute: TrafficNumbers) => series.reduce((sum, { key }) => sum + minute[key], 0);
  const highest = Math.max(1, ...minutes.map(sumOf));
  const step = WIDTH / Math.max(1, minutes.length);
  const totals = series.map(({ key, title }) => ({
    key,
    title,
    total: minutes.reduce((sum, each) => sum + each[key], 0),
  }));
  const words = `The last ${plural(minutes.length, "minute")}: ${totals.map(({ title, total }) => `${count(total)} ${title.toLowerCase()}`).join(", ")}.`;
  return html`<figure class="chart">
    <figcaption><h2>Per minute</h2>
      <ul class="legend">${totals.map(({ key, title, total }) => html`<li class="series-${key}"><span class="swatch"></span>${title} <strong>${count(total)}</strong></li>`)}</ul>
    </figcaption>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT + 18}" role="img" aria-label=${words} preserveAspectRatio="none">
      <line class="grid" x1="0" x2=${WIDTH} y1=${HEIGHT} y2=${HEIGHT} />
      <line class="grid is-faint" x1="0" x2=${WIDTH} y1=${HEIGHT / 2} y2=${HEIGHT / 2} />
      ${minutes.map((minute, index) => {
        let y = HEIGHT;
        return svg`<g><title>${tip(minute)}</title>
          <rect class="hit" x=${index * step} y="0" width=${step} height=${HEIGHT} />
          ${series.map(({ key }) => {
            const height = minute[key] === 0 ? 0 : Math.max(1.5, (minute[key] / highest) * (HEIGHT - 8));
            y -= height;
            return svg`<rect class="series-${key}" x=${index * step + GAP / 2} y=${y} width=${Math.max(1, step - GAP)} height=${height} />`;
          })}</g>`;
      })}
    </svg>
    <p class="axis" aria-hidden="true"><span>${timeOf(minutes[0]?.time)}</span><span>highest ${count(highest)} a minute</span><span>now</span></p>
  </figure>`;
}

function tip(minute: TrafficSummary["minutes"][number]): string {
  const parts = series
    .filter(({ key }) => minute[key] > 0)
    .map(({ key, title }) => `${count(minute[key])} ${title.toLowerCase()}`);
  return `${timeOf(minute.time)}: ${plural(minute.events, "event")}${parts.length === 0 ? "" : `, ${parts.join(", ")}`}`;
}

function timeOf(time: string | undefined): string {
  return time === undefined
    ? ""
    : new Date(time).toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false });
}

const BAR = 100;

export function topHosts(hosts: TrafficSummary["hosts"]): TemplateResult {
  const highest = Math.max(1, ...hosts.map(({ events }) => events));
  return html`<figure class="chart hosts-chart">
    <figcaption><h2>Busiest hosts</h2></figcaption>
    ${
      hosts.length === 0
        ? html`<p class="faint">None yet.</p>`
        : html`<ol>${hosts.slice(0, 8).map((host) => {
            const quiet = Math.max(0, host.events - host.substituted - host.withheld - host.refused);
            const parts = [
              ["substituted", host.substituted],
              ["withheld", host.withheld],
              ["refused", host.refused],
              ["quiet", quiet],
            ] as const;
            let x = 0;
            return html`<li><span class="host-name" title=${host.authority}>${host.authority === "" ? "others" : host.authority.replace(/:443$/, "")}</span>
              <svg viewBox="0 0 ${BAR} 8" preserveAspectRatio="none" role="img" aria-label="${plural(host.events, "event")}, ${count(host.substituted)} substituted, ${count(host.withheld)} not substituted, ${count(host.refused)} refused">
                ${parts.map(([name, value]) => {
                  const width = (value / highest) * BAR;
                  x += width;
                  return svg`<rect class="series-${name}" x=${x - width} y="0" width=${width} height="8" />`;
                })}
              </svg><span class="host-count">${count(host.events)}</span></li>`;
          })}</ol>`
    }
  </figure>`;
}
