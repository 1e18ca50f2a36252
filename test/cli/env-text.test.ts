import { generateKeyPairSync, randomBytes } from "node:crypto";
import { parseEnv } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readEnvText } from "../../src/cli/env-text.ts";

const read = (text: string) => Object.fromEntries(readEnvText(text).variables.map(({ name, value }) => [name, value]));
const faultsOf = (text: string) => readEnvText(text).faults;

describe("variables", () => {
  test.each([
    ["plain ones, comments and blank lines", "# a\n\nA=1\n  export B_2 = two words # said\nc-d.e=x=y==\n"],
    ["empty ones", "A=\n\nB=\"\"\nC=''\n"],
    ["quoted ones of several lines", 'A="x\n#y=\n" # z\nB=\'p\n"q=\'\nC=`r`\n'],
    ["escaped line feeds", 'A="x\\ny"\nB=x\\ny\n'],
    ["a PEM block on one line", "A=-----BEGIN KEY-----\\nabc=\\n-----END KEY-----\nB=1\n"],
    ["carriage returns", 'A=1\r\nB="x\r\ny"\r\n\r\nC=3'],
    ["a key in hexadecimal above an empty one", `A=${"0123456789abcdef".repeat(4)}\nABC=\n`],
    ["the last of several of one name", "A=1\nA=2\n"],
  ])("are what parseEnv says: %s", (_what, text) => {
    expect(faultsOf(text)).toEqual([]);
    expect(read(text)).toEqual({ ...parseEnv(text) });
  });

  test("that are given in lines agree with parseEnv", () => {
    const name = fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,8}$/);
    const plain = fc.stringMatching(/^[a-z0-9 #+./:-]{0,12}$/);
    const quoted = fc
      .tuple(fc.constantFrom('"', "'", "`"), fc.stringMatching(/^[a-z0-9 #=\n+./-]{0,20}$/))
      .map(([quote, text]) => quote + text + quote);
    const lines = fc.array(fc.tuple(name, fc.oneof(plain, quoted)));
    fc.assert(
      fc.property(lines, (given) => {
        const text = given.map(([key, value]) => `${key}=${value}`).join("\n");
        // Node 26 takes the line below for the value of a variable with nothing but blanks.
        fc.pre(!/=[ ]+$/m.test(text));
        expect(faultsOf(text)).toEqual([]);
        expect(read(text)).toEqual({ ...parseEnv(text) });
      }),
    );
  });

  test("know their lines and the comment right above", () => {
    const text = '# far\n\n# near\nA="x\n# inside\n"\nB=2';
    expect(readEnvText(text).variables).toMatchObject([
      { name: "A", start: 3, end: 6, comment: "# near" },
      { name: "B", start: 6, end: 7, comment: undefined },
    ]);
  });
});

describe("faults", () => {
  const wrapped = (bytes: number, width: number) =>
    randomBytes(bytes)
      .toString("base64")
      .replaceAll("+", "a")
      .replaceAll("/", "b")
      .match(new RegExp(`.{1,${width}}`, "g"))!;

  test.each<[string, () => string, string]>([
    [
      "a key of several lines",
      () => `KEY=${generateKeyPairSync("rsa", { modulusLength: 2048, ...pem }).privateKey}`,
      "line 1 begins a PEM block",
    ],
    [
      "a PEM block of which every line is a variable by its form",
      () => "KEY=-----BEGIN K-----\nabcd==\n",
      "line 1 begins",
    ],
    [
      "base64 that ends with two equals signs",
      () => `KEY=${wrapped(64, 64).join("\n")}\n`,
      "line 2 reads like the end of",
    ],
    [
      "base64 of 76 characters a line",
      () => `KEY=${wrapped(76 * 0.75 + 2, 76).join("\n")}\n`,
      "line 2 reads like the end of",
    ],
    ["JSON of several lines", () => 'KEY={\n  "a": "b=c"\n}\n', "line 2 is no variable"],
    ["a line without an equals sign", () => "A=1\nhunter2\n", "line 2 is no variable"],
    ["a line without a name", () => "A=1\n=hunter2\n", "line 2 is no variable"],
    ["a quote that is never closed", () => 'A="hunter2\nB=1\n', "line 1 opens a quote"],
    ["quotes in quotes", () => 'A="{\\"a\\":1}"\n', "line 1 holds a value that goes on"],
    ["a quote that another variable closes", () => 'A="x\nB="hunter2"\n', "line 1 holds a value that goes on"],
  ])("are told once, by their line: %s", (_what, make, fault) => {
    const { variables, faults } = readEnvText(make());
    expect(variables).toEqual([]);
    expect(faults[0]).toMatch(new RegExp(`^${fault}`));
    expect(faults.length).toBeLessThanOrEqual(2);
  });

  test("quote nothing of the text", () => {
    const known =
      /^line \d+ (is no variable|begins a PEM block|reads like the end of a base64 text|opens a quote that is never closed|holds a value that goes on after its closing quote); [a-z ,"]+$|^line \d+ opens a quote that is never closed$/;
    const text = fc.string({
      unit: fc.constantFrom("A", "b", "0", "=", "\n", '"', "'", "`", "#", " ", "-----BEGIN ", "\r", "é"),
    });
    fc.assert(
      fc.property(text, (given) => {
        for (const fault of faultsOf(given)) expect(fault).toMatch(known);
      }),
    );
  });
});

const pem = {
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
} as const;
