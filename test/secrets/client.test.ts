import { createServer } from "node:net";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { maxAnswerBytes, SecretApiClient } from "../../src/secrets/client.ts";
import { FakeApi, gate, problem, wireGrant } from "./fake-api.ts";

let api: FakeApi;
let client: SecretApiClient;
const open = new AbortController().signal;

beforeEach(async () => {
  api = new FakeApi();
  await api.listen();
  client = new SecretApiClient({ url: api.url, key: api.key, requestTimeoutMs: 2000 });
});

afterEach(async () => {
  await client.close();
  await api.close();
});

describe("grants", () => {
  it("come in checked types", async () => {
    const grant = wireGrant("OPENAI", { hosts: ["*.Example.com"], locations: ["header:X-Key"], onViolation: "block" });
    api.put("sb-1", [grant], { sources: ["10.0.0.5"] });
    const answer = await client.fetchGrants("sb-1");
    if (answer.kind !== "answer") throw new Error(inspect(answer));
    expect(answer.etag).toBe('"1"');
    const [read] = answer.value.grants;
    expect(read?.value.reveal().toString()).toBe(grant.value);
    expect(read?.hosts[0]).toMatchObject({ host: "example.com", wildcard: true });
    expect(read?.locations).toEqual([{ surface: "header", part: "x-key" }]);
    expect(read?.onViolation).toBe("block");
    expect(answer.value).toMatchObject({ sandboxId: "sb-1", version: "1", onViolation: undefined, retired: [] });
    expect(answer.value.sources[0]?.text).toBe("10.0.0.5/32");
    expect(client.form).toBe("keyswap");
    expect(inspect(answer, { depth: 10 })).not.toContain(grant.value);
  });

  it("are asked for with the ETag that is held", async () => {
    api.put("sb-1", []);
    expect((await client.fetchGrants("sb-1", '"1"')).kind).toBe("not-modified");
    api.put("sb-1", []);
    expect((await client.fetchGrants("sb-1", '"1"')).kind).toBe("answer");
  });

  it("are absent for an unknown sandbox, and the form stays open", async () => {
    expect(await client.fetchGrants("nobody")).toEqual({ kind: "absent" });
    expect(client.form).toBe("auto");
  });

  it.each(["..", ".", "", "a/b", "a?b", "-x", "a b", "a\u0000", "ä", "x".repeat(201), "../egress/sources"])(
    "are not asked for by the odd name %j",
    async (id) => {
      expect(await client.fetchGrants(id)).toEqual({ kind: "absent" });
      expect(api.asked).toEqual([]);
    },
  );

  it("reads values of any text exactly", async () => {
    const value = 'pässword "\\\n\u0000 €\u{1f600}';
    api.put("sb-1", [wireGrant("A", { value })]);
    const answer = await client.fetchGrants("sb-1");
    expect(answer.kind === "answer" && answer.value.grants[0]?.value.reveal().toString("utf8")).toBe(value);
  });
});

describe("an answer that cannot be read fails whole, and no value is told", () => {
  const good = () => wireGrant("GOOD");
  const bad: [string, (body: Record<string, unknown>) => unknown][] = [
    ["not an object", () => []],
    ["null", () => null],
    ["another sandbox's", (body) => ({ ...body, sandboxId: "sb-2" })],
    ["without a version", (body) => ({ ...body, version: undefined })],
    ["with a number for a version", (body) => ({ ...body, version: 3 })],
    ["without a token's hash", (body) => ({ ...body, tokenHash: null })],
    ["with a hash of another kind", (body) => ({ ...body, tokenHash: "md5:00" })],
    ["without egress rules", (body) => ({ ...body, egress: undefined })],
    ["with half egress rules", (body) => ({ ...body, egress: { allow: [] } })],
    ["with a malformed egress pattern", (body) => ({ ...body, egress: { allow: [], deny: ["a..b"] } })],
    ["with a malformed source", (body) => ({ ...body, sources: ["10.0.0.5/8"] })],
    ["with an unknown onViolation", (body) => ({ ...body, onViolation: "explode" })],
    ["without grants", (body) => ({ ...body, grants: undefined })],
    ["with a null grant", (body) => ({ ...body, grants: [good(), null] })],
    [
      "with a grant without hosts",
      (body) => ({ ...body, grants: [good(), { ...good(), env: "B", hosts: undefined }] }),
    ],
    ["with a grant with null hosts", (body) => ({ ...body, grants: [{ ...good(), hosts: null }] })],
    ["with a malformed host", (body) => ({ ...body, grants: [{ ...good(), hosts: ["https://example.com"] }] })],
    ["with a bare wildcard", (body) => ({ ...body, grants: [{ ...good(), hosts: ["*"] }] })],
    ["with lost locations", (body) => ({ ...body, grants: [{ ...good(), locations: undefined }] })],
    ["with an unknown location", (body) => ({ ...body, grants: [{ ...good(), locations: ["cookie"] }] })],
    ["with a value that is no text", (body) => ({ ...body, grants: [{ ...good(), value: 17 }] })],
    ["with a lone surrogate in a value", (body) => ({ ...body, grants: [{ ...good(), value: "a\ud800b" }] })],
    ["with a tiny placeholder", (body) => ({ ...body, grants: [{ ...good(), placeholder: "a" }] })],
    [
      "with a blank in a placeholder",
      (body) => ({ ...body, grants: [{ ...good(), placeholder: `${"a".repeat(20)} b` }] }),
    ],
    ["with one variable twice", (body) => ({ ...body, grants: [good(), good()] })],
    [
      "with two values for one placeholder",
      (body) => {
        const grant = good();
        return { ...body, grants: [grant, { ...grant, env: "B", value: "another" }] };
      },
    ],
  ];

  it.each(bad)("%s", async (_name, spoil) => {
    api.put("sb-1", [wireGrant("REAL")]);
    const value = api.sandboxes.get("sb-1")?.grants[0]?.value ?? "";
    const body = JSON.stringify(spoil(api.egressBody("sb-1")));
    api.fault = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(body);
    };
    const answer = await client.fetchGrants("sb-1");
    expect(answer).toMatchObject({ kind: "failed", reason: "malformed" });
    expect(inspect(answer)).not.toContain(value);
  });

  it("tells where", async () => {
    api.put("sb-1", [wireGrant("A"), wireGrant("B", { hosts: ["a..b"] })]);
    expect(await client.fetchGrants("sb-1")).toEqual({
      kind: "failed",
      reason: "malformed",
      detail: "the answer is malformed at grants[1].hosts[0]",
    });
  });

  it("but one secret under two names is well-formed", async () => {
    const grant = wireGrant("A");
    api.put("sb-1", [grant, { ...grant, env: "B" }]);
    expect((await client.fetchGrants("sb-1")).kind).toBe("answer");
  });

  it("and fields of later versions are let be", async () => {
    api.put("sb-1", []);
    const body = JSON.stringify({ ...api.egressBody("sb-1"), later: { a: 1 } });
    api.fault = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(body);
    };
    expect((await client.fetchGrants("sb-1")).kind).toBe("answer");
  });

  it.each([
    ["garbage", Buffer.from("value=s3cr3t-garbage")],
    ["half of an answer, well sent", Buffer.from('{"sandboxId":"sb-1","grants":[{"value":"s3cr3t-garbage')],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ["nothing", Buffer.alloc(0)],
  ])("%s", async (_name, body) => {
    api.fault = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(body);
    };
    const answer = await client.fetchGrants("sb-1");
    expect(answer).toEqual({ kind: "failed", reason: "malformed", detail: "the answer is not JSON" });
  });

  it("more bytes than the bound", async () => {
    api.fault = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const chunk = Buffer.alloc(1024 * 1024, 0x20);
      let sent = 0;
      const more = () => {
        while (sent < maxAnswerBytes * 4 && !response.destroyed) {
          sent += chunk.length;
          if (!response.write(chunk)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    };
    expect(await client.fetchGrants("sb-1")).toMatchObject({ kind: "failed", reason: "malformed" });
  });
});

describe("an API that is ill", () => {
  it.each([
    [401, "refused"],
    [403, "refused"],
    [429, "unreachable"],
    [500, "unreachable"],
    [503, "unreachable"],
    [302, "unreachable"],
    [304, "unreachable"],
    [204, "unreachable"],
  ])("answering %i is %s", async (status, reason) => {
    api.fault = (_request, response) => {
      if (status === 302) response.setHeader("location", "http://127.0.0.1:1/");
      response.writeHead(status, { "content-type": "application/json" }).end();
    };
    expect(await client.fetchGrants("sb-1")).toMatchObject({ kind: "failed", reason });
    expect(api.asked).toHaveLength(1);
  });

  it("is not taken for one when a page in its place answers 200 or 404", async () => {
    for (const status of [200, 404]) {
      api.fault = (_request, response) => {
        response.writeHead(status, { "content-type": "text/html" }).end("<html>default backend - 404</html>");
      };
      expect(await client.fetchGrants("sb-1")).toMatchObject({ kind: "failed", reason: "unreachable" });
    }
  });

  it("does not get the proxy's key past a redirect", async () => {
    let redirected = 0;
    api.fault = (request, response) => {
      if (request.url?.endsWith("/elsewhere")) redirected++;
      response.writeHead(307, { location: "/elsewhere" }).end();
    };
    await client.fetchGrants("sb-1");
    expect(redirected).toBe(0);
  });

  it("is unreachable while it is down", async () => {
    await api.close();
    expect(await client.fetchGrants("sb-1")).toEqual({ kind: "failed", reason: "unreachable", detail: "ECONNREFUSED" });
  });

  it("is unreachable when it hangs up in the middle", async () => {
    api.fault = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
      response.write('{"sandboxId"', () => response.destroy());
    };
    expect(await client.fetchGrants("sb-1")).toMatchObject({ kind: "failed", reason: "unreachable" });
  });

  it("is unreachable when it takes the connection and says nothing, or never ends", async () => {
    await client.close();
    client = new SecretApiClient({ url: api.url, key: api.key, requestTimeoutMs: 150 });
    api.fault = () => {};
    expect(await client.fetchGrants("sb-1")).toMatchObject({ detail: "no answer within 150 ms" });
    api.fault = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("{");
    };
    expect(await client.fetchGrants("sb-1")).toMatchObject({ kind: "failed", reason: "unreachable" });
  });

  it("is not waited for by a client that closes", async () => {
    const asked = new Promise<void>((resolve) => {
      api.fault = () => resolve();
    });
    const answer = client.fetchGrants("sb-1");
    await asked;
    await client.close();
    expect(await answer).toEqual({ kind: "failed", reason: "unreachable", detail: "closed" });
    expect(await client.fetchGrants("sb-1")).toEqual({ kind: "failed", reason: "unreachable", detail: "closed" });
  });

  it("is unreachable when it speaks something else", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.resume();
      socket.end("SSH-2.0-OpenSSH\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const other = new SecretApiClient({ url: `http://127.0.0.1:${port}`, key: "k" });
    expect(await other.fetchGrants("sb-1")).toMatchObject({ kind: "failed", reason: "unreachable" });
    await other.close();
    await new Promise((resolve) => server.close(resolve));
  });

  it("is asked once more where it closed a kept connection under the request", async () => {
    api.put("sb-1", []);
    let first = true;
    api.fault = (request, response) => {
      if (first) {
        first = false;
        request.socket.destroy();
        return;
      }
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(api.egressBody("sb-1")));
    };
    expect((await client.fetchGrants("sb-1")).kind).toBe("answer");
    expect(api.asked).toHaveLength(2);
  });
});

describe("Daytona's form", () => {
  beforeEach(() => {
    api.hasEgress = false;
    api.hasResolve = true;
    api.hasChanges = false;
  });

  it("is found out once, and then asked at once", async () => {
    const grant = wireGrant("KEY", { placeholder: "dtn_secret_a7f3b2c1e9d4f6g8" });
    api.put("sb-1", [grant]);
    const answer = await client.fetchGrants("sb-1");
    if (answer.kind !== "answer") throw new Error(inspect(answer));
    expect(answer.value).toMatchObject({ sandboxId: "sb-1", tokenHash: undefined, egress: { allow: [], deny: [] } });
    expect(answer.value.grants[0]).toMatchObject({ env: "KEY", name: "KEY", placeholder: grant.placeholder });
    expect(client.form).toBe("daytona");
    const before = api.asked.length;
    await client.fetchGrants("sb-1");
    expect(api.asked.slice(before)).toEqual(["/api/sandbox/sb-1/secrets"]);
    expect(await client.openChanges(undefined, open)).toEqual({ kind: "absent" });
    expect(await client.fetchSources()).toEqual({ kind: "absent" });
  });

  it("gets versions that change with the contents and do not tell them", async () => {
    api.put("sb-1", [wireGrant("A", { value: "one" })]);
    const first = await client.fetchGrants("sb-1");
    if (first.kind !== "answer") throw new Error(inspect(first));
    expect((await client.fetchGrants("sb-1", first.etag)).kind).toBe("not-modified");
    const [grant] = api.sandboxes.get("sb-1")?.grants ?? [];
    if (grant !== undefined) grant.value = "two";
    const second = await client.fetchGrants("sb-1", first.etag);
    expect(second.kind === "answer" && second.value.version !== first.value.version).toBe(true);
    const other = new SecretApiClient({ url: api.url, key: api.key, form: "daytona" });
    const elsewhere = await other.fetchGrants("sb-1");
    await other.close();
    expect(
      elsewhere.kind === "answer" && second.kind === "answer" && elsewhere.value.version === second.value.version,
    ).toBe(false);
  });

  it("is not believed of an API that learns of the sandbox in between", async () => {
    api.hasEgress = true;
    let calls = 0;
    api.fault = (_request, response) => {
      calls++;
      if (calls === 1) return problem(response, 404, "Not Found");
      api.fault = undefined;
      api.put("sb-1", []);
      response.writeHead(200, { "content-type": "application/json" }).end("[]");
    };
    const answer = await client.fetchGrants("sb-1");
    expect(answer.kind === "answer" && answer.value.tokenHash).toMatch(/^sha256:/);
    expect(client.form).toBe("auto");
    await client.fetchGrants("sb-1");
    expect(client.form).toBe("keyswap");
  });

  it("is never taken up once the API has shown the other form", async () => {
    api.hasEgress = true;
    api.put("sb-1", []);
    await client.fetchGrants("sb-1");
    api.sandboxes.clear();
    expect(await client.fetchGrants("sb-1")).toEqual({ kind: "absent" });
    expect(api.asked.filter((path) => path.endsWith("/secrets"))).toEqual([]);
  });

  it("refuses an answer without hosts", async () => {
    api.fault = (request, response) => {
      if (request.url?.endsWith("/egress")) return problem(response, 404, "Not Found");
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify([{ env: "A", placeholder: "dtn_secret_a7f3b2c1e9d4f6g8", value: "v" }]));
    };
    expect(await client.fetchGrants("sb-1")).toMatchObject({ kind: "failed", reason: "malformed" });
  });
});

describe("the map of sources", () => {
  it("comes checked, and conditionally", async () => {
    api.put("sb-1", [], { sources: ["10.0.0.5/32", "2001:db8::/64"] });
    const answer = await client.fetchSources();
    expect(answer.kind === "answer" && answer.value.map((entry) => entry.cidr.text)).toEqual([
      "10.0.0.5/32",
      "2001:db8::/64",
    ]);
    expect(await client.fetchSources('"1"')).toEqual({ kind: "not-modified" });
  });

  it("is malformed where one block has two owners", async () => {
    api.put("sb-1", [], { sources: ["10.0.0.5"] });
    api.put("sb-2", [], { sources: ["10.0.0.5/32"] });
    expect(await client.fetchSources()).toMatchObject({ kind: "failed", reason: "malformed" });
  });
});

describe("the change stream", () => {
  it("is opened with the version to go on from", async () => {
    const opening = await client.openChanges("4 2", open);
    if (opening.kind !== "open") throw new Error(inspect(opening));
    expect(api.sinces).toEqual(["4 2"]);
    const read: string[] = [];
    try {
      for await (const chunk of opening.chunks) {
        read.push(Buffer.from(chunk).toString());
        opening.close();
      }
    } catch {
      // That is how a closed one ends.
    }
    expect(read.join("")).toContain("event: hello");
  });

  it("is absent where there is no such route", async () => {
    api.hasChanges = false;
    expect(await client.openChanges(undefined, open)).toEqual({ kind: "absent" });
  });

  it("fails where the key is refused, the API is down, or the caller gives up", async () => {
    api.fault = (_request, response) => problem(response, 401, "Unauthorized");
    expect(await client.openChanges(undefined, open)).toMatchObject({ kind: "failed", reason: "refused" });
    api.fault = undefined;
    const held = gate();
    api.gate = held.promise;
    const controller = new AbortController();
    const opening = client.openChanges(undefined, controller.signal);
    controller.abort();
    expect(await opening).toMatchObject({ kind: "failed", reason: "unreachable" });
    held.open();
    await api.close();
    expect(await client.openChanges(undefined, open)).toMatchObject({ kind: "failed", reason: "unreachable" });
  });
});

describe("the client's own settings", () => {
  it.each(["", "nonsense", "ftp://a/", "http://user:pass@a/", "http://a/?q=1", "http://a/#f"])(
    "refuse the URL %j",
    (url) => {
      expect(() => new SecretApiClient({ url, key: "k" })).toThrow(TypeError);
    },
  );

  it("refuse a key that no header can carry, without telling it", () => {
    expect(() => new SecretApiClient({ url: "http://a/", key: "top secret\n" })).toThrow(/printable ASCII/);
  });

  it("do not show the key", () => {
    expect(inspect(client, { depth: 10, showHidden: true })).not.toContain(api.key);
  });

  it("bear a slash at the URL's end", async () => {
    api.put("sb-1", []);
    const other = new SecretApiClient({ url: `${api.url}/`, key: api.key });
    expect((await other.fetchGrants("sb-1")).kind).toBe("answer");
    expect(api.asked).toEqual(["/api/sandbox/sb-1/egress"]);
    await other.close();
  });
});
