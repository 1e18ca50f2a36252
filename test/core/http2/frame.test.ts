import { expect, it } from "vitest";
import * as words from "../../../src/core/http2/frame.ts";
import * as theirs from "../../support/http2-frames.ts";

it("says what those who wrote it down apart from it say", () => {
  expect(words.frameType).toEqual(theirs.frameType);
  expect(words.flag).toMatchObject(theirs.flag);
  expect(words.errorCode).toMatchObject(theirs.errorCode);
  expect(words.clientPreface).toHaveLength(24);
});
