import { expect, it } from "vitest";
import { neighbourhoodOf } from "../../../src/core/authority/neighbourhood.ts";

it.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["::ffff:c000:207", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8:1:2::", "2001:db8:1:2::/64"],
  ["2001:db8:1:3::", "2001:db8:1:3::/64"],
  ["fe80::1%eth0", "fe80::/64"],
  ["::1", "::/64"],
  ["", ""],
  ["not:an:address", "not:an:address"],
])("%s stands for %s", (address, stands) => {
  expect(neighbourhoodOf(address)).toBe(stands);
});
