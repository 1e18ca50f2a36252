import { expect, test } from "vitest";
import { Distribution } from "../../src/telemetry/distribution.ts";

function valuesOf(distribution: Distribution): Record<string, number> {
  return Object.fromEntries(
    [...distribution.values("x")].map(({ metricName, labels, value }) => [
      [metricName, ...Object.entries(labels).map((pair) => pair.join("="))].join(" "),
      value,
    ]),
  );
}

test("each bucket counts all that is not above its bound", () => {
  const distribution = new Distribution([1, 2, 5]);
  for (const value of [0.5, 1, 1.5, 5, 100]) distribution.observe(value);
  expect(valuesOf(distribution)).toEqual({
    "x_bucket le=1": 2,
    "x_bucket le=2": 3,
    "x_bucket le=5": 4,
    "x_bucket le=+Inf": 5,
    x_sum: 108,
    x_count: 5,
  });
});

test("without a label there are zeros before anything happened; with one there is nothing", () => {
  expect(valuesOf(new Distribution([1]))).toEqual({ "x_bucket le=1": 0, "x_bucket le=+Inf": 0, x_sum: 0, x_count: 0 });
  expect(valuesOf(new Distribution([1], "outcome"))).toEqual({});
});

test("each value of the label is a series by itself", () => {
  const distribution = new Distribution([1], "outcome");
  distribution.observe(0.5, "ok");
  distribution.observe(3, "refused");
  expect(valuesOf(distribution)).toMatchObject({
    "x_bucket le=1 outcome=ok": 1,
    "x_bucket le=1 outcome=refused": 0,
    "x_count outcome=ok": 1,
    "x_sum outcome=refused": 3,
  });
});
