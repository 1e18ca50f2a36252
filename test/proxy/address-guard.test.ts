import { networkInterfaces } from "node:os";
import { describe, expect, test } from "vitest";
import { CidrSet, formatIp, type IpAddress, parseCidr, parseIp } from "../../src/core/authority/ip.ts";
import { KeyswapError } from "../../src/core/errors.ts";
import { AddressGuard, type OwnListener } from "../../src/proxy/address-guard.ts";

function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

function guard(allow: string[] = [], own: OwnListener[] = []): AddressGuard {
  const cidrs = allow.flatMap((text) => parseCidr(text) ?? []);
  expect(cidrs.length).toBe(allow.length);
  return new AddressGuard({ allowPrivate: new CidrSet(cidrs), ownListeners: () => own });
}

function verdict(of: AddressGuard, addresses: string[], port = 443): string[] | string {
  try {
    return of.admit("name.example", addresses.map(ip), port).map(formatIp);
  } catch (error) {
    if (!(error instanceof KeyswapError)) throw error;
    return `${error.code}: ${error.detail}`;
  }
}

const all = ["0.0.0.0/0", "::/0"];

describe("internal addresses", () => {
  test.each([
    ["127.0.0.1", "loopback"],
    ["::1", "loopback"],
    ["10.1.2.3", "private"],
    ["fd12::1", "private"],
    ["169.254.169.254", "metadata"],
    ["fd00:ec2::254", "metadata"],
    ["169.254.1.1", "link-local"],
    ["fe80::1", "link-local"],
    ["100.64.0.1", "cgnat"],
    ["0.0.0.0", "unspecified"],
    ["::ffff:10.0.0.1", "private"],
    ["64:ff9b::a00:1", "private"],
    ["2002:7f00:1::", "loopback"],
  ])("%s is refused, and dialled where the operator allows it", (address, kind) => {
    expect(verdict(guard(), [address])).toBe(`address-private: name.example: ${kind}`);
    expect(verdict(guard(all), [address])).toEqual([formatIp(ip(address))]);
  });

  test("of mixed answers the public ones remain, in their order", () => {
    const addresses = ["10.0.0.1", "93.184.216.34", "::1", "2606:2800:220:1::1", "127.0.0.1"];
    expect(verdict(guard(), addresses)).toEqual(["93.184.216.34", "2606:2800:220:1::1"]);
    expect(verdict(guard(["10.0.0.0/8"]), addresses)).toEqual(["10.0.0.1", "93.184.216.34", "2606:2800:220:1::1"]);
  });

  test("what is allowed goes no further than its block", () => {
    expect(verdict(guard(["10.0.0.0/30"]), ["10.0.0.4"])).toBe("address-private: name.example: private");
  });

  test("no address at all is a failure of the name", () => {
    expect(verdict(guard(), [])).toBe("dns-failed: name.example: no address");
  });
});

describe("keyswap's own listeners", () => {
  const refused = "address-own: name.example, port 8181";

  test("are refused even where their address is allowed, on their port alone", () => {
    const own = guard(all, [{ address: "127.0.0.1", port: 8181 }]);
    expect(verdict(own, ["127.0.0.1"], 8181)).toBe(refused);
    expect(verdict(own, ["::ffff:127.0.0.1"], 8181)).toBe(refused);
    expect(verdict(own, ["127.0.0.1"], 8182)).toEqual(["127.0.0.1"]);
    expect(verdict(own, ["10.0.0.1"], 8181)).toEqual(["10.0.0.1"]);
  });

  test.each(["0.0.0.0", "::"])("are refused through an unspecified address: %s", (address) => {
    expect(verdict(guard(all, [{ address: "127.0.0.1", port: 8181 }]), [address], 8181)).toBe(refused);
  });

  test.each(["0.0.0.0", "::", "localhost"])(
    "bound to %s, are refused at each of the machine's addresses",
    (address) => {
      const own = guard(all, [{ address, port: 8181 }]);
      const local = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map((entry) => entry.address));
      for (const each of ["127.0.0.1", "127.9.9.9", "::1", ...local]) expect(verdict(own, [each], 8181)).toBe(refused);
      expect(verdict(own, ["93.184.216.34"], 8181)).toEqual(["93.184.216.34"]);
      expect(verdict(own, ["127.0.0.1"], 443)).toEqual(["127.0.0.1"]);
    },
  );

  test("are followed as they come and go", () => {
    const listeners: OwnListener[] = [];
    const own = guard(all, listeners);
    expect(verdict(own, ["127.0.0.1"], 8181)).toEqual(["127.0.0.1"]);
    listeners.push({ address: "127.0.0.1", port: 8181 });
    expect(verdict(own, ["127.0.0.1"], 8181)).toBe(refused);
  });

  test("do not stand in the way of a name's other addresses", () => {
    const own = guard(all, [{ address: "127.0.0.1", port: 8181 }]);
    expect(verdict(own, ["127.0.0.1", "127.0.0.2"], 8181)).toEqual(["127.0.0.2"]);
  });
});
