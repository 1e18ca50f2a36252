// Basic credentials, from both sides: those of sandboxes for the proxy, and those in which a placeholder stands.

import fc from "fast-check";
import { makeField } from "../../src/core/message.ts";
import { substituteBasic } from "../../src/core/substitution/basic-auth.ts";
import { Draft } from "../../src/core/substitution/draft.ts";
import { readCredentials } from "../../src/proxy/identify.ts";
import { grant, placeholder, scopeFor } from "../core/substitution/requests.ts";
import { damage, damaged } from "./damage.ts";
import type { FuzzTarget } from "./target.ts";

const A = placeholder("a");
const value = "the real value: with a colon";
const texts = fc.string({ unit: fc.constantFrom(...'ab:é \0\n"=', A, A.slice(0, 30), "dtn_secret_"), maxLength: 12 });

export const basicAuth: FuzzTarget = {
  name: "basic-auth",
  open: () => ({
    property: fc.property(texts, texts, damage, (user, password, damage) => {
      const pair = `${user}:${password}`;
      const intact = `Basic ${Buffer.from(pair, "utf8").toString("base64")}`;
      const read = readCredentials([makeField("Proxy-Authorization", intact)]);
      const colon = pair.indexOf(":");
      const expected =
        colon > 0 && colon <= 256 ? { sandboxId: pair.slice(0, colon), token: pair.slice(colon + 1) } : undefined;
      if (JSON.stringify(read) !== JSON.stringify(expected)) throw new Error(`read ${JSON.stringify(read)}`);

      const broken = damaged(Buffer.from(intact, "latin1"), damage).toString("latin1");
      readCredentials([makeField("Proxy-Authorization", broken)]);
      for (const header of [intact, broken]) {
        const out = substituteBasic(header, new Draft(scopeFor([grant("A", value, { placeholder: A })])));
        if (out === header) continue;
        const [before, after] = [header, out].map((text) => Buffer.from(text.slice(6), "base64").toString("utf8"));
        if (before === undefined || after === undefined) continue;
        // What is not a placeholder is as it was, and nothing was moved between user and password.
        if (before.replaceAll(A, value) !== after && !after.includes(A)) throw new Error(`${header} became ${out}`);
        if (
          before.slice(0, before.indexOf(":")).includes(A) &&
          before.includes(":") &&
          after.indexOf(":") < before.indexOf(A)
        )
          throw new Error(`the colon moved: ${after}`);
      }
    }),
  }),
};
