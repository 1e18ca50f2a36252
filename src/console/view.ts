// What all elements of the console share. They render into the page itself (no shadow root), so that one style sheet, labels and
// landmarks work across them.
//
//   main.ts            <ks-app>: session, navigation, theme        api.ts     requests to the Secret API
//   *-page.ts          one page each                               feed.ts    the stream of traffic
//   *-drawer.ts        one thing in detail, over its page          format.ts  times, numbers, names for people
//   rows.ts            a list that draws only what is in sight     charts.ts  the timeline and the top hosts
//
// Nothing here holds a value but the field in which a new one is typed, and that is emptied when it was sent.

import { LitElement } from "lit";

export abstract class View extends LitElement {
  protected override createRenderRoot(): HTMLElement {
    return this;
  }
}
