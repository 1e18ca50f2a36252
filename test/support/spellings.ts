// How servers write a value into an answer, with encoders that are not this project's own.

export interface EchoSpelling {
  readonly name: string;
  /** The echo's bytes; undefined where the encoder does not take such a value. A part that depends on neighbours is left out. */
  write(value: Buffer): Buffer | undefined;
}

export const spellings: readonly EchoSpelling[] = [
  { name: "raw", write: (value) => value },
  { name: "JSON", write: overText((text) => JSON.stringify(text).slice(1, -1)) },
  { name: "JSON in JSON", write: overText((text) => JSON.stringify(JSON.stringify(text)).slice(3, -3)) },
  {
    name: "JSON with \\u escapes",
    write: overText((text) =>
      JSON.stringify(text)
        .slice(1, -1)
        .replace(/[<>&\u2028\u2029]/g, unicodeEscape),
    ),
  },
  {
    name: "JSON in ASCII",
    write: overText((text) =>
      JSON.stringify(text)
        .slice(1, -1)
        .replace(/[\x7f-\uffff]/g, unicodeEscape),
    ),
  },
  { name: "percent", write: overText(encodeURIComponent) },
  {
    name: "percent, lower case",
    write: overText((text) => encodeURIComponent(text).replace(/%../g, (code) => code.toLowerCase())),
  },
  { name: "form", write: overText((text) => new URLSearchParams([["", text]]).toString().slice(1)) },
  {
    name: "HTML",
    write: overText((text) =>
      text.replace(/[&<>"']/g, (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[char] ?? "&#39;"),
    ),
  },
  { name: "hex", write: (value) => Buffer.from(value.toString("hex")) },
  { name: "HEX", write: (value) => Buffer.from(value.toString("hex").toUpperCase()) },
  ...[0, 1, 2].flatMap((offset) => [
    { name: `base64, offset ${offset}`, write: inBase64("base64", offset) },
    { name: `base64url, offset ${offset}`, write: inBase64("base64url", offset) },
  ]),
];

function overText(encode: (text: string) => string): EchoSpelling["write"] {
  return (value) => {
    const text = value.toString("utf8");
    return Buffer.from(text, "utf8").equals(value) ? Buffer.from(encode(text), "utf8") : undefined;
  };
}

/** Without the characters that hold bits of the neighbours, and without padding. */
function inBase64(alphabet: "base64" | "base64url", offset: number): EchoSpelling["write"] {
  return (value) => {
    const text = Buffer.concat([Buffer.alloc(offset, 0xff), value])
      .toString(alphabet)
      .replace(/=+$/, "");
    const isCut = (offset + value.length) % 3 !== 0;
    return Buffer.from(text.slice(offset === 0 ? 0 : offset + 1, isCut ? -1 : undefined), "latin1");
  };
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
