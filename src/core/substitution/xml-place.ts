// Whether a place in an XML body is in a CDATA section, where there are no entities. Follows the bytes of the body.

import type { Place } from "./body-text.ts";
import type { ValueContext } from "./encodings.ts";

const openers = /<!\[CDATA\[|<!--/g;
const longestOpener = "<![CDATA[".length;
/** By what ends them. */
const closers = { cdata: "]]>", comment: "-->" } as const;

export class XmlPlace implements Place {
  readonly #content: ValueContext;
  readonly #cdata: ValueContext;
  #section: keyof typeof closers | undefined;
  /** What came last, in which a delimiter may begin. */
  #tail = "";

  /** `isAscii`: the body's charset keeps ASCII, but is not UTF-8. */
  constructor(isAscii: boolean) {
    this.#content = isAscii ? "xml-ascii" : "xml";
    this.#cdata = isAscii ? "cdata-ascii" : "cdata";
  }

  get context(): ValueContext {
    return this.#section === "cdata" ? this.#cdata : this.#content;
  }

  advance(bytes: Buffer, from: number, to: number): void {
    const text = this.#tail + bytes.toString("latin1", from, to);
    let at = 0;
    for (;;) {
      if (this.#section === undefined) {
        openers.lastIndex = at;
        const opener = openers.exec(text)?.[0];
        if (opener === undefined) break;
        this.#section = opener === "<!--" ? "comment" : "cdata";
        at = openers.lastIndex;
      } else {
        const closer = closers[this.#section];
        const end = text.indexOf(closer, at);
        if (end < 0) break;
        this.#section = undefined;
        at = end + closer.length;
      }
    }
    const longest = this.#section === undefined ? longestOpener : closers[this.#section].length;
    this.#tail = text.slice(Math.max(at, text.length - longest + 1));
  }
}
