// How common encoders write text into JSON, HTML, XML and URLs. Each table names who writes so. A placeholder needs no
// escape in any of them.
//
// Left out on purpose: encoders that escape every single character, HTML's named letters (`&eacute;`), and two layers of
// escapes other than JSON inside JSON.

/** One character (a whole code point) to what is written for it; undefined: it stays. */
type Escape = (char: string) => string | undefined;

/** Adds byte strings: Latin-1 strings, one character a byte. */
type Add = (bytes: string) => void;

/** Every encoder here leaves these as they are. */
const plain = /^[A-Za-z0-9_.-]*$/;
const isAscii = /^[\0-\x7f]*$/;
const isLatin1 = /^[\0-\xff]*$/;
const special = /[^A-Za-z0-9]/gu;

/** A longer value is looked for only as the commonest encoders write it: a hundred copies of 64 KiB are too many. */
export const longValueBytes = 4096;

/** All escaped spellings of a value, as byte strings; some come more than once, and some are the value itself. */
export function escapedForms(value: Buffer): readonly string[] {
  const bytes = value.toString("latin1");
  if (plain.test(bytes)) return [];
  const forms: string[] = [];
  const add: Add = (form) => forms.push(form);
  const addUtf8: Add = (form) => forms.push(isAscii.test(form) ? form : utf8Bytes(form));
  const text = value.toString("utf8");
  const isUtf8 = isAscii.test(bytes) || utf8Bytes(text) === bytes;
  const encoders = value.length > longValueBytes ? commonEncoders : allEncoders;
  escapeAll(bytes, encoders.percent, add);
  escapeText(isUtf8 ? text : bytes, encoders, isUtf8 ? addUtf8 : add);
  if (isAscii.test(bytes)) return forms;

  // A receiver that takes fields for Latin-1 echoes each byte as a character of its own.
  addUtf8(bytes);
  escapeText(bytes, encoders, addUtf8);
  // Fields carry text that fits Latin-1 as Latin-1, one byte a character.
  if (isUtf8 && isLatin1.test(text)) {
    add(text);
    escapeAll(text, encoders.percent, add);
    escapeText(text, encoders, add);
  }
  return forms;
}

function escapeText(text: string, encoders: Encoders, add: Add): void {
  escapeAll(text, encoders.markup, add);
  escapeAll(text, encoders.json, (escaped) => {
    add(escaped);
    // The echo of a JSON body as a string inside JSON.
    escapeAll(escaped, jsonEscapes.slice(0, 1), add);
  });
}

/** Writes the text once for each different way in which the encoders treat its special characters. */
function escapeAll(text: string, encoders: readonly Escape[], add: Add): void {
  const specials = [...new Set(text.match(special))];
  const seen = new Set<string>([specials.join("\n")]);
  for (const encoder of encoders) {
    const written = specials.map((char) => encoder(char) ?? char);
    const treatment = written.join("\n");
    if (seen.has(treatment)) continue;
    seen.add(treatment);
    const table = new Map(specials.map((char, index) => [char, written[index]!]));
    add(text.replace(special, (char) => table.get(char)!));
  }
}

function utf8Bytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

// --- JSON

interface JsonStyle {
  /** Characters written as \uXXXX although JSON does not ask for it. */
  readonly also?: string;
  readonly hex?: "lower" | "upper";
  /** Of the characters in `also`, where it differs from `hex`. */
  readonly alsoHex?: "upper";
  /** All that is not ASCII is escaped. */
  readonly ascii?: boolean;
  /** `/` becomes `\/`. */
  readonly slash?: boolean;
  /** \b and \f are written as \u0008 and \u000c. */
  readonly longControls?: boolean;
}

const lineSeparators = "\u2028\u2029";

const jsonStyles: readonly JsonStyle[] = [
  {}, // JSON.stringify, serde_json, Python with ensure_ascii=False, Perl
  { ascii: true, also: "\x7f" }, // Python
  { slash: true, ascii: true }, // PHP
  { also: `<>&${lineSeparators}` }, // Go, Rails
  { also: "\"'&<>+`\x7f", ascii: true, hex: "upper" }, // .NET's System.Text.Json
  // Less common.
  { hex: "upper" }, // Jackson
  { ascii: true }, // Ruby's ascii_only
  { ascii: true, hex: "upper" }, // Jackson's ESCAPE_NON_ASCII
  { slash: true, also: "\x7f" }, // lua-cjson
  { slash: true }, // PHP with JSON_UNESCAPED_UNICODE
  { slash: true, ascii: true, also: "<>&'\"", alsoHex: "upper" }, // PHP with JSON_HEX_*
  { also: `<>&${lineSeparators}`, longControls: true }, // Go before 1.22
  { also: lineSeparators, longControls: true }, // Go with SetEscapeHTML(false)
  { also: `<>&='${lineSeparators}` }, // Gson
  { also: `\u0085${lineSeparators}` }, // Newtonsoft
];

const jsonEscapes: readonly Escape[] = jsonStyles.map((style) => {
  const also = new Set(style.also);
  return (char) => {
    if (also.has(char)) return unicodeEscape(char, style.alsoHex ?? style.hex ?? "lower");
    if (char >= " " && char <= "~") {
      if (char === '"' || char === "\\") return `\\${char}`;
      return char === "/" && style.slash === true ? "\\/" : undefined;
    }
    if (char < " ") {
      const isLong = style.longControls === true && (char === "\b" || char === "\f");
      return (isLong ? undefined : shortControls[char]) ?? unicodeEscape(char, style.hex ?? "lower");
    }
    return style.ascii === true && char > "\x7f" ? unicodeEscape(char, style.hex ?? "lower") : undefined;
  };
});

const shortControls: Readonly<Record<string, string>> = {
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function unicodeEscape(char: string, hex: "lower" | "upper"): string {
  let escaped = "";
  for (let i = 0; i < char.length; i++) {
    const digits = char.charCodeAt(i).toString(16).padStart(4, "0");
    escaped += `\\u${hex === "lower" ? digits : digits.toUpperCase()}`;
  }
  return escaped;
}

// --- HTML and XML

interface MarkupStyle {
  readonly entities: Readonly<Record<string, string>>;
  /** How what is not ASCII is written; undefined: as it is. */
  readonly beyondAscii?: "decimal" | "hex";
}

const text = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const attribute = { ...text, '"': "&quot;" };

const markupStyles: readonly MarkupStyle[] = [
  { entities: text }, // XML text, Python with quote=False
  { entities: { ...attribute, "'": "&#39;", "\r": "&#13;" } }, // what substitution writes
  { entities: { ...attribute, "'": "&#39;" } }, // Rails, lodash, escape-html
  { entities: { ...attribute, "'": "&#x27;" } }, // Python, Django, React
  { entities: { ...text, '"': "&#34;", "'": "&#39;" } }, // Go, Jinja
  { entities: { ...attribute, "'": "&#039;" } }, // PHP
  // Less common.
  { entities: { "&": "&amp;", "<": "&lt;" } }, // minimal XML text
  { entities: { "&": "&amp;", '"': "&quot;" } }, // HTML attributes as browsers serialize them
  { entities: { "&": "&amp;", "<": "&lt;", '"': "&quot;" } }, // minimal XML attributes
  { entities: attribute }, // PHP before 8.1, xml2
  { entities: { ...attribute, "'": "&#39;" }, beyondAscii: "decimal" }, // .NET's WebUtility
  { entities: { ...attribute, "'": "&#x27;" }, beyondAscii: "hex" },
  { entities: { ...attribute, "'": "&apos;" } }, // XML writers
  { entities: { ...attribute, "'": "&#x27;", "`": "&#x60;" } }, // Underscore
  { entities: { ...attribute, "'": "&#x27;", "`": "&#x60;", "=": "&#x3D;" } }, // Handlebars
  { entities: { ...attribute, "'": "&#39;", "`": "&#x60;", "=": "&#x3D;", "/": "&#x2F;" } }, // Mustache
  { entities: { ...attribute, "'": "&#x27;", "/": "&#x2F;" } }, // OWASP's list
  { entities: { ...attribute, "'": "&#x27;", "`": "&#x60;", "+": "&#x2B;" }, beyondAscii: "hex" }, // .NET's HtmlEncoder
  { entities: { ...text, "\r": "&#13;" } }, // libxml2
  { entities: { ...text, "\r": "&#xD;" } }, // Canonical XML, .NET's XmlWriter
  { entities: { ...attribute, "\t": "&#9;", "\n": "&#10;", "\r": "&#13;" } }, // libxml2's attributes
  { entities: { ...attribute, "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;" } }, // .NET's attributes
  { entities: { ...text, '"': "&#34;", "'": "&#39;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;" } }, // Go's XML
  { entities: { "&": "&#38;", "<": "&#60;", ">": "&#62;", '"': "&#34;", "'": "&#39;" } },
  { entities: { "&": "&#x26;", "<": "&#x3c;", ">": "&#x3e;", '"': "&#x22;", "'": "&#x27;" } },
  { entities: { "&": "&#x26;", "<": "&#x3C;", ">": "&#x3E;", '"': "&#x22;", "'": "&#x27;" } },
];

const markupEscapes: readonly Escape[] = markupStyles.map(({ entities, beyondAscii }) => {
  const table = new Map(Object.entries(entities));
  return (char) => {
    if (char <= "\x7f" || beyondAscii === undefined) return table.get(char);
    // A string that is not empty has a first code point.
    const code = char.codePointAt(0)!;
    return beyondAscii === "decimal" ? `&#${code};` : `&#x${code.toString(16).toUpperCase()};`;
  };
});

// --- percent-encoding

interface PercentStyle {
  /** What stays besides letters and digits. */
  readonly safe: string;
  /** A blank becomes `+`. */
  readonly plus?: boolean;
}

const percentStyles: readonly PercentStyle[] = [
  { safe: "-._~" }, // RFC 3986's unreserved: PHP's rawurlencode, Java's URI templates, most SDKs
  { safe: "-._~!*'()" }, // encodeURIComponent
  { safe: "-._~:@!$*,=()" }, // what substitution writes into a path
  { safe: "*-._", plus: true }, // WHATWG's form, Java's URLEncoder
  // Less common.
  { safe: "-._~/" }, // Python's quote
  { safe: "-._~!*'();,/?:@&=+$#" }, // encodeURI
  { safe: "-._~$&+=:@" }, // Go's PathEscape
  { safe: "-._~!$&'()*+,;=:@" }, // RFC 3986's pchar
  { safe: "-._~!$&'()*+,;=:@/?" },
  { safe: "-._~!$&'()*+,;=:@/%[]|\\" }, // WHATWG's path
  { safe: "-._~!$&()*+,;=:@/?%[]|\\^`{}" }, // WHATWG's query
  { safe: "-._~", plus: true }, // Go's QueryEscape, Python's quote_plus
  { safe: "-._", plus: true }, // PHP's urlencode
  { safe: "-_.!*()", plus: true }, // .NET's HttpUtility
];

/** Over the characters of a byte string. Letters and digits never come here. */
const percentEscapes: readonly Escape[] = percentStyles.flatMap(({ safe, plus }) =>
  [upperHexOf, lowerHexOf].map((hexOf): Escape => {
    return (char) => {
      if (safe.includes(char)) return undefined;
      return char === " " && plus === true ? "+" : `%${hexOf(char)}`;
    };
  }),
);

function lowerHexOf(char: string): string {
  return char.charCodeAt(0).toString(16).padStart(2, "0");
}

function upperHexOf(char: string): string {
  return lowerHexOf(char).toUpperCase();
}

// --- which of them

interface Encoders {
  readonly json: readonly Escape[];
  readonly markup: readonly Escape[];
  readonly percent: readonly Escape[];
}

const allEncoders: Encoders = { json: jsonEscapes, markup: markupEscapes, percent: percentEscapes };

/** Those that stand before "Less common" in each table; each percent style is there in two cases. */
const commonEncoders: Encoders = {
  json: jsonEscapes.slice(0, 5),
  markup: markupEscapes.slice(0, 6),
  percent: percentEscapes.slice(0, 8),
};
