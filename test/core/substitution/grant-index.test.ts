import { describe, expect, it } from "vitest";
import { parseHost } from "../../../src/core/authority/host.ts";
import type { GrantIndex, HostView } from "../../../src/core/substitution/grant-index.ts";
import { grant, indexOf, placeholder } from "./requests.ts";

function viewOf(index: GrantIndex, text: string): HostView {
  const host = parseHost(text);
  if (host.kind !== "host") throw new Error(host.detail);
  return index.forHost(host.host);
}

describe("a grant index", () => {
  it("knows which grants match a host, wildcards and unrestricted ones too", () => {
    const index = indexOf([
      grant("A", "1", { hosts: ["api.example.com"] }),
      grant("B", "2", { hosts: ["*.example.com"] }),
      grant("C", "3", { hosts: [] }),
      grant("D", "4", { hosts: ["other.test"] }),
    ]);
    const names = viewOf(index, "api.example.com").scrubbed.map((one) => one.name);
    expect(names.sort()).toEqual(["A", "B", "C"]);
    expect(
      viewOf(index, "example.com")
        .scrubbed.map((one) => one.name)
        .sort(),
    ).toEqual(["B", "C"]);
  });

  it("remembers the view of a host", () => {
    const index = indexOf([grant("A", "1")]);
    expect(viewOf(index, "api.example.com")).toBe(viewOf(index, "API.example.com"));
  });

  it("opens a host for retired grants but never writes their values", () => {
    const index = indexOf([], { retired: [grant("A", "1")] });
    const view = viewOf(index, "api.example.com");
    expect(view.granted).toBe(true);
    expect(view.scrubbed.map((one) => one.name)).toEqual(["A"]);
    expect(view.writable("body")).toEqual([]);
    expect(index.byKey("a".repeat(25))).toBeUndefined();
    expect(viewOf(index, "other.test").granted).toBe(false);
  });

  it("finds grants whatever their hosts, one for a secret that is mounted twice", () => {
    const twice = { placeholder: placeholder("a"), hosts: ["other.test"] };
    const index = indexOf([grant("A", "1", twice), grant("A2", "1", twice)]);
    expect(index.byKey("a".repeat(25))?.grant.env).toBe("A");
    expect(viewOf(index, "other.test").scrubbed).toHaveLength(1);
  });

  it("lists callers' own placeholders, longest first", () => {
    const index = indexOf([
      grant("A", "1", { placeholder: "sk-0123456789.abcdef" }),
      grant("B", "2", { placeholder: "sk-0123456789.abcdef-long" }),
    ]);
    expect(index.own.map((own) => own.grant.name)).toEqual(["B", "A"]);
    expect(index.ownPattern?.exec("x sk-0123456789.abcdef-long")?.[0]).toBe("sk-0123456789.abcdef-long");
    expect(index.ownPattern?.test("sk-0123456789Xabcdef")).toBe(false);
    expect(indexOf([]).ownPatterns("json")).toBeUndefined();
  });

  it("takes the grant's policy, else the sandbox's, else the deployment's", () => {
    const policy = (index: GrantIndex): string => index.byKey("a".repeat(25))!.onViolation;
    expect(policy(indexOf([grant("A", "1")], { onViolation: "block" }))).toBe("block");
    expect(policy(indexOf([grant("A", "1")], { onViolation: "block", sandboxOnViolation: "pass" }))).toBe("pass");
    expect(policy(indexOf([grant("A", "1", { onViolation: "block" })], { sandboxOnViolation: "pass" }))).toBe("block");
  });

  it("knows the grants whose values may go to a surface of the host", () => {
    const index = indexOf([
      grant("A", "1", { locations: ["header"] }),
      grant("B", "2"),
      grant("C", "3", { hosts: ["c.test"] }),
    ]);
    expect(
      viewOf(index, "api.example.com")
        .writable("body")
        .map((one) => one.grant.name),
    ).toEqual(["B"]);
  });
});
