// The rules of the house as functions of a source tree, so that they can be tried on trees that break them.
//
//   source text ─► stripped of comments, strings and regular expressions ─► imports, identifiers ─► violations

import { posix } from "node:path";

/** Path from the repository's root, with slashes → source text. */
export type SourceTree = ReadonlyMap<string, string>;

export interface Import {
  readonly specifier: string;
  readonly isDynamic: boolean;
}

/** One line per broken rule. */
export function findViolations(tree: SourceTree, dependencies: ReadonlySet<string>): readonly string[] {
  return [
    ...breaksFolderRule(tree),
    ...importsUnknown(tree, dependencies),
    ...breaksPurity(tree),
    ...lacksTest(tree),
    ...findCycles(tree),
  ].toSorted();
}

/** Folders whose files may import everything; `""` stands for files directly in `src`. */
const wiring = new Set(["", "cli"]);

/** A folder imports only core and itself. */
function breaksFolderRule(tree: SourceTree): string[] {
  return [...edges(tree)].flatMap(({ from, to }) => {
    const [own, other] = [folderOf(from), folderOf(to)];
    if (other === undefined) return [`${from} imports ${to}, which is outside src`];
    if (own === undefined || wiring.has(own) || other === own || other === "core") return [];
    return [`${from} imports ${to}: ${own} may import only core and itself`];
  });
}

/** Files that are there, packages that are declared. */
function importsUnknown(tree: SourceTree, dependencies: ReadonlySet<string>): string[] {
  return sources(tree).flatMap(([from, text]) =>
    findImports(text).flatMap(({ specifier }) => {
      if (specifier.startsWith("node:")) return [];
      if (specifier.startsWith(".")) {
        const to = resolveFrom(from, specifier);
        return tree.has(to) ? [] : [`${from} imports ${to}, which does not exist`];
      }
      const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
      return dependencies.has(name) ? [] : [`${from} imports ${name}, which is no dependency`];
    }),
  );
}

/** What would bring I/O, time or chance into the core. `new Date(ms)` is arithmetic and may stay. */
const impurities: readonly (readonly [RegExp, string])[] = [
  [/\bDate\s*\.\s*now\b|\bnew\s+Date\s*\(\s*\)|(?<!new\s)\bDate\s*\(\s*\)/, "reads the clock"],
  [/(?<![.\w])performance\b/, "reads the clock"],
  [/\bMath\s*\.\s*random\b|(?<![.\w])crypto\b/, "uses randomness"],
  [/\bawait\b|\basync\b/, "waits"],
  [/(?<![.\w])(?:setTimeout|setInterval|setImmediate|queueMicrotask)\b/, "uses timers"],
  [/(?<![.\w])(?:process|fetch|console|globalThis)\b(?!\s*:)/, "reaches out of the core"],
];

function breaksPurity(tree: SourceTree): string[] {
  return sources(tree).flatMap(([path, text]) => {
    if (folderOf(path) !== "core") return [];
    const code = stripLiterals(text);
    return [
      ...findImports(text)
        .filter(({ specifier }) => !specifier.startsWith("."))
        .map(({ specifier }) => `${path} imports ${specifier}: core has no imports but its own`),
      ...impurities.filter(([pattern]) => pattern.test(code)).map(([, fault]) => `${path} ${fault}: core is pure`),
    ];
  });
}

/** Every file of core has its test at the mirrored path. */
function lacksTest(tree: SourceTree): string[] {
  return sources(tree).flatMap(([path]) => {
    if (folderOf(path) !== "core") return [];
    const test = path.replace(/^src\//, "test/").replace(/\.ts$/, ".test.ts");
    return tree.has(test) ? [] : [`${path} has no ${test}`];
  });
}

/** Types count, too: what cannot be read on its own is one thing in two files. */
function findCycles(tree: SourceTree): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges(tree)) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at !== -1) found.push(`cycle: ${[...trail.slice(at), path].join(" → ")}`);
    if (at !== -1 || done.has(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
  return found;
}

function* edges(tree: SourceTree): Generator<{ readonly from: string; readonly to: string }> {
  for (const [from, text] of sources(tree)) {
    for (const { specifier } of findImports(text)) {
      if (specifier.startsWith(".")) yield { from, to: resolveFrom(from, specifier) };
    }
  }
}

function sources(tree: SourceTree): [string, string][] {
  return [...tree].filter(([path]) => path.startsWith("src/") && !path.endsWith(".d.ts"));
}

/** `core` for `src/core/wire/head.ts`, `""` for `src/main.ts`, undefined outside `src`. */
function folderOf(path: string): string | undefined {
  const parts = path.split("/");
  if (parts[0] !== "src") return undefined;
  return parts.length === 2 ? "" : parts[1];
}

function resolveFrom(from: string, specifier: string): string {
  return posix.join(posix.dirname(from), specifier);
}

/** Static and dynamic imports and re-exports, types included. */
export function findImports(text: string): readonly Import[] {
  // Strings stay here: the specifiers are strings. Their places are found in the stripped text, which is equally long.
  const code = stripLiterals(text);
  const pattern = /\b(?:import|export)\b(?<clause>[\w\s{},*$]*?)(?:\bfrom\s*|(?<=import)\s*)(?<call>\(\s*)?"/g;
  const imports: Import[] = [];
  for (const match of code.matchAll(pattern)) {
    const start = match.index + match[0].length;
    const end = code.indexOf('"', start);
    imports.push({ specifier: text.slice(start, end), isDynamic: match.groups?.call !== undefined });
  }
  return imports;
}

/**
 * The same text with comments, and what stands within quotes and regular expressions, replaced by blanks. The quotes
 * stay, and so does the code within `${}`.
 */
export function stripLiterals(text: string): string {
  // By UTF-16 units, as indices into the text are.
  const out = text.split("");
  const blank = (from: number, to: number) => {
    for (let index = from; index < to && index < out.length; index++) if (out[index] !== "\n") out[index] = " ";
  };
  /** Depths of braces at which a template goes on. */
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  const passTemplate = () => {
    const start = at;
    while (at < text.length && text[at] !== "`" && !text.startsWith("${", at)) at += text[at] === "\\" ? 2 : 1;
    blank(start, at);
    if (text[at] === "`") at += 1;
    else {
      templates.push(depth);
      depth += 1;
      at += 2;
    }
  };
  while (at < text.length) {
    const char = text[at]!;
    if (text.startsWith("//", at) || text.startsWith("/*", at)) {
      const end = text[at + 1] === "/" ? text.indexOf("\n", at) : text.indexOf("*/", at + 2) + 2;
      const stop = end < at + 2 ? text.length : end;
      blank(at, stop);
      at = stop;
    } else if (char === '"' || char === "'" || (char === "/" && startsRegExp(out, at))) {
      const start = ++at;
      let isClass = false;
      while (at < text.length && (isClass || text[at] !== char)) {
        if (char === "/") isClass = text[at] === "[" || (isClass && text[at] !== "]");
        at += text[at] === "\\" ? 2 : 1;
      }
      blank(start, at);
      at += 1;
    } else {
      at += 1;
      if (char === "`") passTemplate();
      else if (char === "{") depth += 1;
      else if (char === "}") {
        depth -= 1;
        if (templates.at(-1) === depth) {
          templates.pop();
          passTemplate();
        }
      }
    }
  }
  return out.join("");
}

/** A slash is a division after a value, and opens a regular expression after everything else. */
function startsRegExp(code: readonly string[], at: number): boolean {
  const before = code
    .slice(Math.max(0, at - 40), at)
    .join("")
    .trimEnd();
  return (
    before === "" ||
    /[({[,;:=!&|?+\-*%~^<>]$/.test(before) ||
    /\b(?:return|typeof|case|in|of|yield|await)$/.test(before)
  );
}
