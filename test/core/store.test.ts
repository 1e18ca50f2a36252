import { describe, expectTypeOf, it } from "vitest";
import type { SecretValue } from "../../src/core/secret-value.ts";
import type { EgressRecord, NewSecret, SecretRecord, SecretStore, StoredGrant } from "../../src/core/store.ts";

// Types alone: these fail in `npm run types`. The behaviour is the store contract's.
describe("store port", () => {
  it("answers secrets without their values", () => {
    expectTypeOf<SecretRecord>().not.toHaveProperty("value");
    expectTypeOf<Awaited<ReturnType<SecretStore["get"]>>>().toEqualTypeOf<SecretRecord | undefined>();
    expectTypeOf<SecretValue>().not.toExtend<SecretRecord[keyof SecretRecord]>();
  });

  it("takes and gives values only as SecretValue", () => {
    expectTypeOf<NewSecret["value"]>().toEqualTypeOf<SecretValue>();
    expectTypeOf<StoredGrant["value"]>().toEqualTypeOf<SecretValue>();
    expectTypeOf<string>().not.toExtend<NewSecret["value"]>();
  });

  it("gives a token's hash to proxies, never the token", () => {
    expectTypeOf<EgressRecord>().toHaveProperty("tokenHash");
    expectTypeOf<EgressRecord>().not.toHaveProperty("token");
  });
});
