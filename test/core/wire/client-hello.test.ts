import { createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  maxClientHelloBytes,
  parseClientHello,
  startsLikeTls,
  unrecognizedNameAlert,
} from "../../../src/core/wire/client-hello.ts";
import {
  alpn,
  captureHello,
  hello,
  helloBody,
  inRecords,
  isInstalled,
  runClient,
  serverName,
  vector,
} from "../../support/client-hello.ts";
import { fuzzRuns } from "../../support/fuzz.ts";

const name = "api.example.com";
const said = (serverName: string | undefined, ...protocols: readonly string[]) => ({
  kind: "hello",
  serverName,
  alpn: protocols,
});

/** For a test's name: why it is skipped. */
function unless(tool: string): string {
  return isInstalled(tool) ? "" : ` (skipped: ${tool} is not installed)`;
}

describe("ClientHellos of real clients", () => {
  it("reads Node's", async () => {
    const bytes = await captureHello((port) =>
      connectTls({ host: "127.0.0.1", port, servername: name, ALPNProtocols: ["h2", "http/1.1"] }),
    );
    expect(parseClientHello(bytes)).toEqual(said(name, "h2", "http/1.1"));
    everyCutIsIncomplete(bytes);
  });

  it("reads Node's without a name", async () => {
    const bytes = await captureHello((port) => connectTls({ host: "127.0.0.1", port }));
    expect(parseClientHello(bytes)).toEqual(said(undefined));
  });

  it.skipIf(!isInstalled("openssl"))(
    `reads those of openssl s_client, in TLS 1.2 and 1.3${unless("openssl")}`,
    async () => {
      for (const version of ["-tls1_2", "-tls1_3"]) {
        const bytes = await captureHello((port) =>
          runClient(
            "openssl",
            "s_client",
            version,
            "-connect",
            `127.0.0.1:${port}`,
            "-servername",
            name,
            "-alpn",
            "h2,acme-tls/1",
          ),
        );
        expect(parseClientHello(bytes)).toEqual(said(name, "h2", "acme-tls/1"));
        everyCutIsIncomplete(bytes);
      }
    },
  );

  it.skipIf(!isInstalled("curl"))(`reads curl's${unless("curl")}`, async () => {
    const bytes = await captureHello((port) =>
      runClient(
        "curl",
        "--noproxy",
        "*",
        "--http1.1",
        "--resolve",
        `${name}:${port}:127.0.0.1`,
        `https://${name}:${port}/`,
      ),
    );
    expect(parseClientHello(bytes)).toEqual(said(name, "http/1.1"));
    everyCutIsIncomplete(bytes);
  });

  it.skipIf(!isInstalled("python3"))(`reads Python's${unless("python3")}`, async () => {
    const script = [
      "import socket, ssl, sys",
      "context = ssl.create_default_context()",
      "context.set_alpn_protocols(['http/1.1'])",
      `context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))), server_hostname='${name}')`,
    ].join("\n");
    const bytes = await captureHello((port) => runClient("python3", "-c", script, String(port)));
    expect(parseClientHello(bytes)).toEqual(said(name, "http/1.1"));
    everyCutIsIncomplete(bytes);
  });
});

/** Whatever has arrived so far: more is needed, and nothing is thrown. */
function everyCutIsIncomplete(bytes: Buffer): void {
  for (let length = 0; length < bytes.length; length++) {
    expect(parseClientHello(bytes.subarray(0, length)), `${length} bytes`).toEqual({ kind: "incomplete" });
  }
}

describe("parseClientHello", () => {
  it("ignores GREASE, ECH and unknown extensions", () => {
    const bytes = hello(
      [0x0a0a, Buffer.alloc(0)],
      [0xfe0d, Buffer.from("the outer name counts")],
      serverName(name),
      [0xffce, Buffer.alloc(100)],
      alpn("\x0a\x0a", "h2"),
      [0x1a1a, Buffer.of(0)],
    );
    expect(parseClientHello(bytes)).toEqual(said(name, "\x0a\x0a", "h2"));
    everyCutIsIncomplete(bytes);
  });

  it("reads a message that is spread over records, however it is cut", () => {
    for (const recordBytes of [5, 7, 100]) {
      const bytes = inRecords(helloBody([serverName(name), alpn("h2")]), { recordBytes });
      expect(parseClientHello(bytes)).toEqual(said(name, "h2"));
      everyCutIsIncomplete(bytes);
    }
  });

  it("reads a message whose own header is cut by a record", () => {
    const bytes = inRecords(helloBody([serverName(name)], Buffer.alloc(0)).subarray(0), { recordBytes: 3 });
    expect(parseClientHello(bytes)).toEqual(said(name));
  });

  it("bounds the number of records", () => {
    const body = helloBody([serverName(name)]);
    expect(parseClientHello(inRecords(body, { recordBytes: Math.ceil((body.length + 4) / 64) })).kind).toBe("hello");
    expect(parseClientHello(inRecords(body, { recordBytes: 1 }))).toEqual({
      kind: "malformed",
      detail: "too many records",
    });
  });

  it("leaves what follows the message to others", () => {
    const early = Buffer.from("1703030001", "hex");
    expect(parseClientHello(Buffer.concat([hello(serverName(name)), early]))).toEqual(said(name));
  });

  it("reads a hello without extensions", () => {
    expect(parseClientHello(inRecords(helloBody(undefined)))).toEqual(said(undefined));
    expect(parseClientHello(inRecords(helloBody([])))).toEqual(said(undefined));
  });

  it("gives the name as it was sent", () => {
    expect(parseClientHello(hello(serverName("API.Example.COM.")))).toEqual(said("API.Example.COM."));
    expect(parseClientHello(hello(serverName("a\0b\xff")))).toEqual(said("a\0b\xff"));
  });

  it.each([
    ["duplicate extension", hello(serverName(name), serverName("other.example.com"))],
    ["duplicate extension", hello([0x0a0a, Buffer.alloc(0)], [0x0a0a, Buffer.alloc(0)])],
    ["server_name", hello(serverName(name, "other.example.com"))],
    ["server_name", hello(serverName(name, name))],
    ["server_name", hello(serverName(""))],
    ["server_name", hello(serverName())],
    ["server_name", hello([0, Buffer.alloc(0)])],
    ["server_name", hello([0, vector(2, Buffer.of(1), vector(2, Buffer.from(name)))])],
    ["server_name", hello([0, Buffer.concat([serverName(name)[1], Buffer.of(0)])])],
    ["alpn", hello([16, vector(2, Buffer.of(5), Buffer.from("h2"))])],
    ["alpn", hello([16, Buffer.concat([alpn("h2")[1], Buffer.of(0)])])],
    ["ClientHello", inRecords(Buffer.concat([helloBody([serverName(name)]), Buffer.of(0)]))],
    ["ClientHello", inRecords(helloBody([serverName(name)]).subarray(0, 20))],
    ["not a ClientHello", inRecords(helloBody([]), { type: 2 })],
    ["record length", Buffer.from("1603010000", "hex")],
    ["record length", Buffer.from("160301ffff", "hex")],
    [
      "record header",
      Buffer.concat([inRecords(helloBody([]), { recordBytes: 20 }).subarray(0, 25), Buffer.from("1503010002", "hex")]),
    ],
    ["ClientHello too large", Buffer.from("16030140000101000000", "hex")],
  ])("refuses: %s", (detail, bytes) => {
    expect(parseClientHello(bytes)).toEqual({ kind: "malformed", detail });
  });

  it("takes a hello as large as the bound and none larger", () => {
    const padded = (size: number): Buffer => {
      const extensions = [serverName(name), [21, Buffer.alloc(0)] as const];
      return inRecords(
        helloBody([...extensions.slice(0, 1), [21, Buffer.alloc(size - helloBody(extensions).length - 4)]]),
      );
    };
    expect(parseClientHello(padded(maxClientHelloBytes))).toEqual(said(name));
    expect(() => padded(maxClientHelloBytes + 1)).not.toThrow();
    expect(parseClientHello(padded(maxClientHelloBytes + 1)).kind).toBe("malformed");
  });

  it("tells TLS from anything else by the first bytes", () => {
    expect(parseClientHello(Buffer.alloc(0))).toEqual({ kind: "incomplete" });
    expect(parseClientHello(Buffer.from("GET / HTTP/1.1\r\n"))).toEqual({ kind: "not-tls" });
    expect(parseClientHello(Buffer.of(22, 2))).toEqual({ kind: "not-tls" });
    expect(startsLikeTls(Buffer.of(22))).toBe(true);
    expect(startsLikeTls(Buffer.of(22, 3))).toBe(true);
    expect(startsLikeTls(Buffer.of(22, 2))).toBe(false);
    expect(startsLikeTls(Buffer.of(5))).toBe(false);
    expect(startsLikeTls(Buffer.alloc(0))).toBe(false);
  });

  it("never throws on damaged hellos, nor takes one that is not there yet", () => {
    const valid = inRecords(helloBody([[0x0a0a, Buffer.of(0)], serverName(name), alpn("h2", "http/1.1")]), {
      recordBytes: 60,
    });
    const damage = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(damage, fc.nat(valid.length), (changes, length) => {
        const bytes = Buffer.from(valid);
        for (const [at, value] of changes) bytes[at] = value;
        const parsed = parseClientHello(bytes.subarray(0, length));
        expect(["hello", "incomplete", "malformed", "not-tls"]).toContain(parsed.kind);
        if (parsed.kind === "hello") expect(length).toBeGreaterThan(60);
      }),
      fuzzRuns(3000),
    );
  });

  it("never throws on random bytes", () => {
    const kinds = new Set<string>();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(3), (tail, headers) => {
        const prefix = Buffer.from("16030100c8010000c40303", "hex").subarray(0, [0, 3, 5, 11][headers]);
        kinds.add(parseClientHello(Buffer.concat([prefix, tail])).kind);
      }),
      fuzzRuns(3000),
    );
    expect(kinds.size).toBeGreaterThan(2);
  });
});

describe("unrecognizedNameAlert", () => {
  it("is a fatal alert of that name", () => {
    expect(Buffer.from(unrecognizedNameAlert).toString("hex")).toBe("15030300020270");
  });

  it("is what Node's TLS client calls it", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(unrecognizedNameAlert));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const error = await new Promise<Error>((resolve) => {
      connectTls({ host: "127.0.0.1", port: port ?? 0, servername: name }).on("error", resolve);
    });
    server.close();
    expect(error.message).toMatch(/unrecognized name/);
  });
});
